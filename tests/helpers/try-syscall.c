/* Makes system calls by name and prints what the kernel returned, a line each: 0, 3, -14.

   usage: try-syscall NAME [ARGUMENT]... [+ NAME [ARGUMENT]...]...

   An ARGUMENT that begins with a digit or "-" is a number as in C, anything else a pointer to that text.
   NAME may be a number too. Without a C library, so that nothing but the calls asked for, write and exit
   is ever called: what runs under a policy is what the test says. Built for x86_64 and, with -m32, i386. */
#include <asm/unistd.h>

struct row { const char *name; long number; };
#define ROW(name) {#name, __NR_##name}
static const struct row rows[] = {
    ROW(mkdir), ROW(mknod), ROW(mknodat), ROW(rmdir), ROW(open), ROW(read), ROW(write), ROW(close), ROW(mount),
    ROW(umount2), ROW(unlink), ROW(personality), ROW(getpid), ROW(getppid), ROW(chdir), ROW(chroot), ROW(ioctl),
    ROW(sethostname), ROW(keyctl), ROW(unshare), ROW(exit), ROW(exit_group), ROW(execve), ROW(kill), ROW(lseek),
    ROW(socket), ROW(accept4), ROW(shmget), ROW(shmctl), ROW(reboot), ROW(prctl), ROW(setuid), ROW(access), ROW(dup),
#ifdef __i386__
    ROW(socketcall), ROW(ipc), ROW(umount), ROW(waitpid),
#else
    ROW(accept),
#endif
};

static long call(long number, const long *a) {
    long answer;
#ifdef __x86_64__
    register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(answer)
                     : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
#else
    __asm__ volatile("pushl %%ebp\n\tmovl %7, %%ebp\n\tint $0x80\n\tpopl %%ebp" : "=a"(answer)
                     : "0"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4]), "m"(a[5])
                     : "memory");
#endif
    return answer;
}

static int equal(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

static int is_number(const char *word) {
    return (*word >= '0' && *word <= '9') || *word == '-';
}

static long number_of(const char *word) {
    unsigned long value = 0, base = 10;
    int negative = *word == '-';
    if (negative) word++;
    if (word[0] == '0' && word[1] == 'x') base = 16, word += 2;
    else if (word[0] == '0') base = 8;
    for (; *word; word++) value = value * base + (*word <= '9' ? *word - '0' : *word - 'a' + 10);
    return negative ? -value : value;
}

static void print(long value) {
    char text[32];
    int at = sizeof text, negative = value < 0;
    unsigned long left = negative ? -value : value;
    text[--at] = '\n';
    do text[--at] = '0' + left % 10;
    while (left /= 10);
    if (negative) text[--at] = '-';
    long arguments[6] = {1, (long)(text + at), sizeof text - at};
    call(__NR_write, arguments);
}

static void leave(long status) {
    long arguments[6] = {status};
    for (;;) call(__NR_exit, arguments);
}

__attribute__((used)) void begin(long *stack) {
    char **words = (char **)(stack + 2); /* argc, argv[0], ... */
    while (*words) {
        const char *name = *words++;
        long number = -1, arguments[6] = {0};
        if (is_number(name)) number = number_of(name);
        else for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) if (equal(rows[i].name, name)) number = rows[i].number;
        if (number == -1) leave(99);
        for (int i = 0; *words && !equal(*words, "+"); words++, i++)
            arguments[i] = is_number(*words) ? number_of(*words) : (long)*words;
        if (*words) words++;
        print(call(number, arguments));
    }
    leave(0);
}

#ifdef __x86_64__
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#else
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall begin\n");
#endif
