/* The calls of libsystemd's sd-bus that lib/cgroup makes, as pointers: the library is loaded when a scope is
 * first asked for, so that nobody else needs it.
 *
 * Declared here, not taken from <systemd/sd-bus.h>: they are twenty, their ABI has been kept since libsystemd.so.0,
 * and a build on a machine without libsystemd-dev must not be one that can't ask systemd. */
#ifndef CX_CGROUP_SDBUS_H
#define CX_CGROUP_SDBUS_H

#include <conex/base.h>

typedef struct sd_bus sd_bus;
typedef struct sd_bus_slot sd_bus_slot;
typedef struct sd_bus_message sd_bus_message;
typedef struct { const char *name, *message; int need_free; } sd_bus_error;
typedef int (*sd_bus_handler)(sd_bus_message *m, void *data, sd_bus_error *ret);

/* Nothing that hands out memory to be freed by us: a static program has a C library of its own beside that of
 * libsystemd. */
#define CX_SDBUS_CALLS(F) \
	F(int, open_system, (sd_bus **ret)) \
	F(int, open_user, (sd_bus **ret)) \
	F(int, new, (sd_bus **ret)) \
	F(int, set_address, (sd_bus *bus, const char *address)) \
	F(int, start, (sd_bus *bus)) \
	F(void, close, (sd_bus *bus)) \
	F(sd_bus *, unref, (sd_bus *bus)) \
	F(int, get_fd, (sd_bus *bus)) \
	F(int, process, (sd_bus *bus, sd_bus_message **ret)) \
	F(int, match_signal, (sd_bus *bus, sd_bus_slot **ret, const char *sender, const char *path, \
		const char *interface, const char *member, sd_bus_handler fn, void *data)) \
	F(int, call, (sd_bus *bus, sd_bus_message *m, uint64_t usec, sd_bus_error *error, sd_bus_message **ret)) \
	F(int, call_async, (sd_bus *bus, sd_bus_slot **ret, sd_bus_message *m, sd_bus_handler fn, void *data, \
		uint64_t usec)) \
	F(sd_bus_slot *, slot_unref, (sd_bus_slot *slot)) \
	F(int, message_new_method_call, (sd_bus *bus, sd_bus_message **ret, const char *destination, \
		const char *path, const char *interface, const char *member)) \
	F(int, message_append, (sd_bus_message *m, const char *types, ...)) \
	F(int, message_append_array, (sd_bus_message *m, char type, const void *data, size_t size)) \
	F(int, message_open_container, (sd_bus_message *m, char type, const char *contents)) \
	F(int, message_close_container, (sd_bus_message *m)) \
	F(int, message_read, (sd_bus_message *m, const char *types, ...)) \
	F(const sd_bus_error *, message_get_error, (sd_bus_message *m)) \
	F(sd_bus_message *, message_unref, (sd_bus_message *m)) \
	F(void, error_free, (sd_bus_error *e))

struct cx_sdbus {
	void *library;
#define CX_SDBUS_FIELD(type, name, arguments) type (*name) arguments;
	CX_SDBUS_CALLS(CX_SDBUS_FIELD)
#undef CX_SDBUS_FIELD
};

/* 0; -ELIBACC: it isn't there, or too old; -EOPNOTSUPP: built without. */
int cx_sdbus_load(struct cx_sdbus *ret, conex_error **err);
void cx_sdbus_unload(struct cx_sdbus *s);

#endif
