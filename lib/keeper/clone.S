/* clone3 and clone with a function for the child, on a stack of its own: syscall(2) can't do this, since
 * the child would return into a stack frame that isn't there. Nothing but registers is touched, so it may
 * run in a child that shares the host's memory (CLONE_VM).
 *
 *	long cx_keeper_clone3(struct clone_args *args, size_t size, int (*fn)(void *), void *arg);
 *	long cx_keeper_clone(unsigned long flags, void *stack_top, int (*fn)(void *), void *arg);
 *
 * Both return the child's pid, or -errno; in the child fn(arg) is called and its result is the exit code. */

	.text
	.globl	cx_keeper_clone3
	.globl	cx_keeper_clone
	.hidden	cx_keeper_clone3
	.hidden	cx_keeper_clone
	.type	cx_keeper_clone3, %function
	.type	cx_keeper_clone, %function

#if defined(__x86_64__)
	.balign	16
cx_keeper_clone3:
	endbr64
	movq	%rdx, %r8		/* the kernel keeps r8 and r9 */
	movq	%rcx, %r9
	movl	$435, %eax
	syscall
	testq	%rax, %rax
	jz	child
	ret

	.balign	16
cx_keeper_clone:
	endbr64
	movq	%rdx, %r8		/* tls: not looked at without CLONE_SETTLS. Not on the new stack: */
	movq	%rcx, %r9		/* valgrind makes a fork of this, and the child stays on ours */
	xorl	%edx, %edx		/* parent_tid */
	xorl	%r10d, %r10d		/* child_tid */
	movl	$56, %eax
	syscall
	testq	%rax, %rax
	jz	child
	ret
child:
	xorl	%ebp, %ebp
	movq	%r9, %rdi
	call	*%r8
	movl	%eax, %edi
	movl	$60, %eax
	syscall
	hlt
#elif defined(__aarch64__)
	.balign	16
cx_keeper_clone3:
	hint	#34			/* bti c */
	mov	x8, #435
	svc	#0
	cbz	x0, 1f
	ret

	.balign	16
cx_keeper_clone:
	hint	#34
	mov	x9, x2
	mov	x10, x3
	mov	x2, #0
	mov	x3, #0
	mov	x4, #0
	mov	x8, #220
	svc	#0
	mov	x2, x9
	mov	x3, x10
	cbz	x0, 1f
	ret
1:	mov	x29, #0
	mov	x30, #0
	mov	x0, x3
	blr	x2
	mov	x8, #93
	svc	#0
	brk	#0
#else
#error "this architecture needs its dozen instructions here"
#endif
	.size	cx_keeper_clone3, . - cx_keeper_clone3
	.section .note.GNU-stack, "", %progbits
