/* A library that is loaded only when it is needed shows nowhere in an ELF file but in such a note, which packagers'
 * tools read: https://systemd.io/ELF_DLOPEN_METADATA */
#ifndef CX_BASE_DLNOTE_H
#define CX_BASE_DLNOTE_H

#include <stddef.h>
#include <stdint.h>

#define CX_DLOPEN_ABOUT(feature, description, soname) "[{\"feature\":\"" feature "\",\"description\":\"" description "\"," \
	"\"priority\":\"suggested\",\"soname\":[\"" soname "\"]}]"

#define CX_DLOPEN_NOTE(feature, description, soname) \
	static const struct { \
		uint32_t name_size, text_size, type; \
		char name[4]; \
		char text[(sizeof CX_DLOPEN_ABOUT(feature, description, soname) + 3) & ~(size_t)3]; \
	} note __attribute__((used, aligned(4), section(".note.dlopen"))) = { \
		.name_size = 4, .text_size = sizeof CX_DLOPEN_ABOUT(feature, description, soname), \
		.type = 0x407c0c0a, .name = "FDO", .text = CX_DLOPEN_ABOUT(feature, description, soname), \
	}

#endif
