/* The keeper program as bytes of the library; keeper/spawn.c copies them into a sealed memfd.
 * Runs nothing, holds no address: the same for x86-64 and arm64. The path counts from the build tree. */
	.section .rodata.cx_keeper_blob, "a", %progbits
	.balign 4096
	.globl cx_keeper_blob
	.hidden cx_keeper_blob
	.type cx_keeper_blob, %object
cx_keeper_blob:
	.incbin "lib/keeper/conex-keeper"
	.globl cx_keeper_blob_end
	.hidden cx_keeper_blob_end
	.type cx_keeper_blob_end, %object
cx_keeper_blob_end:
	.size cx_keeper_blob, cx_keeper_blob_end - cx_keeper_blob
	.byte 0
	.section .note.GNU-stack, "", %progbits
