# What calls one function in Bochs: a ROM of 4 MB, which goes from the reset vector to long mode with AMX on, copies itself
# to memory, calls, and sends results through port E9. At BLOCK lie the orders (in_bochs.py): the function, where to
# count how often each instruction is executed (4 bytes each, 0: nowhere), n and n words of arguments, m and m pairs of
# address and length to be sent back. 32 bytes precede those: a mark, what was returned (or 256 and the number of a fault),
# instructions.

        .set    BASE, 0x200000
        .set    BLOCK, BASE + 0x100000
        .set    ROM, 0xffc00000

        .section .rom, "ax"                     # the last 4 KB below 4 GB
        .code16
real:   lgdtl   %cs:gdt_pointer - real + 0xf000
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $protected
        .code32
protected:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $ROM, %esi
        movl    $BASE, %edi
        movl    $0x100000, %ecx
        rep movsl
        movl    $level4, %eax
        movl    %eax, %cr3
        movl    $0x40620, %eax                  # PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx               # EFER.LME
        movl    $0x100, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $0x80000033, %eax               # paging, numeric errors, protection
        movl    %eax, %cr0
        ljmpl   $24, $long_mode
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt - BASE + ROM
        .org    0xff0
        .code16
        jmp     real
        .org    0x1000

        .text
        .code64
long_mode:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        leaq    stack_end, %rsp
        lgdt    gdt_pointer_in_memory
        movl    $tss, %eax                      # the base of a segment is in three pieces
        movw    %ax, gdt + 34
        shrl    $16, %eax
        movb    %al, gdt + 36
        movb    %ah, gdt + 39
        movw    $32, %ax
        ltr     %ax
        leaq    vectors, %rsi
        leaq    idt, %rdi
        movl    $32, %ecx
1:      movq    %rsi, %rax
        movw    %ax, (%rdi)
        movl    $0x8e010018, 2(%rdi)            # code segment, the stack of `tss`, interrupt gate
        shrq    $16, %rax
        movw    %ax, 6(%rdi)
        addq    $16, %rsi
        addq    $16, %rdi
        loop    1b
        lidt    idt_pointer
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        movl    $0x600e7, %eax                  # x87, SSE, AVX, the three of AVX-512, tile configuration and data
        xsetbv

        movl    $BLOCK, %ebx
        movq    16(%rbx), %rcx
        leaq    24(%rbx,%rcx,8), %r13           # past the arguments
        leaq    -6(%rcx), %rcx
        leaq    24 + 48(%rbx), %rsi
        leaq    (,%rcx,8), %rax
        subq    %rax, %rsp
        andq    $-64, %rsp
        movq    %rsp, %rdi
        rep movsq
        movq    24(%rbx), %rdi
        movq    32(%rbx), %rsi
        movq    40(%rbx), %rdx
        movq    48(%rbx), %rcx
        movq    56(%rbx), %r8
        movq    64(%rbx), %r9
        movq    %rdx, %r14
        rdtsc
        shlq    $32, %rdx
        leaq    (%rdx,%rax), %r12
        movq    %r14, %rdx
        movq    8(%rbx), %r14
        testq   %r14, %r14
        jz      2f
        pushfq
        orl     $0x100, (%rsp)                  # single steps: `step` below
        popfq
2:      call    *(%rbx)
        pushfq
        andl    $~0x100, (%rsp)
        popfq
        movl    %eax, %eax
        movq    %rax, answer + 16
        rdtsc
        shlq    $32, %rdx
        addq    %rdx, %rax
        subq    %r12, %rax
        movq    %rax, answer + 24
        movl    $0xe9, %edx
        leaq    answer, %rsi
        movl    $32, %ecx
        rep outsb
        movq    (%r13), %r12
3:      testq   %r12, %r12
        jz      stop
        movq    8(%r13), %rsi
        movq    16(%r13), %rcx
        rep outsb
        addq    $16, %r13
        decq    %r12
        jmp     3b

        .balign 16
vectors:                                        # 16 bytes each; a fault answers with 256 and its number
        .set    number, 0
        .rept   32
        .balign 16
        .if     number == 1
        jmp     step
        .else
        movl    $256 + number, %eax
        jmp     fault
        .endif
        .set    number, number + 1
        .endr

step:   pushq   %rax                            # one more of the instruction that comes next
        pushq   %rbx
        movq    16(%rsp), %rax
        movq    BLOCK + 8, %rbx
        subq    $BASE, %rax
        incl    (%rbx,%rax,4)
        popq    %rbx
        popq    %rax
        iretq

fault:  movq    %rax, answer + 16
        movq    (%rsp), %rax                    # the address, or an error's code
        movq    %rax, answer + 24
        leaq    answer, %rsi
        movl    $0xe9, %edx
        movl    $32, %ecx
        rep outsb
stop:   leaq    shutdown, %rsi
        movl    $8, %ecx
        movl    $0x8900, %edx
        rep outsb
        hlt

        .globl  NRT_MemInfo_alloc_aligned, NRT_MemInfo_call_dtor
NRT_MemInfo_alloc_aligned:                      # (size, alignment up to 64); nothing is freed
        movq    heap_top, %rax
        movq    $1, (%rax)
        movq    $0, 8(%rax)
        movq    $0, 16(%rax)
        leaq    64(%rax), %rdx
        movq    %rdx, 24(%rax)
        movq    %rdi, 32(%rax)
        movq    $0, 40(%rax)
        leaq    63(%rdx,%rdi), %rdx
        andq    $-64, %rdx
        movq    %rdx, heap_top
NRT_MemInfo_call_dtor:
        ret
kernels:                                        # the rest of the code is theirs

        .data
answer: .ascii  "<hwsim-in-bochs>"
        .quad   0, 0
shutdown:
        .ascii  "Shutdown"
heap_top:
        .quad   heap
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff, 0x0000890000000067, 0
gdt_end:
gdt_pointer_in_memory:
        .word   gdt_end - gdt - 1
        .quad   gdt
idt_pointer:
        .word   16 * 32 - 1
        .quad   idt
        .balign 16
idt:    .fill   512, 1, 0
tss:    .fill   36, 1, 0
        .quad   fault_stack_end
        .fill   60, 1, 0
        .balign 4096
level4: .quad   level3 + 3
        .fill   511, 8, 0
level3: .quad   low + 3, 0, 0, high + 3
        .fill   508, 8, 0
low:    .quad   0                               # a call of what is not there, address 0, is a fault
        .set    number, 1
        .rept   511
        .quad   number * 0x200000 + 0x83
        .set    number, number + 1
        .endr
high:   .fill   510, 8, 0
        .quad   ROM + 0x83, ROM + 0x200083
        .balign 64
heap:   .fill   0x10000, 1, 0xa5                # not zero: what is read before it is written shows
        .fill   0x10000, 1, 0xa5
stack_end:
        .fill   0x1000, 1, 0
fault_stack_end:
