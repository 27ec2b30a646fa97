/* Makes a system call in another process by ptrace(2) and prints what it returned.

   usage: inject attach|seize PID i386|x86_64 NUMBER TEXT [ARGUMENT]

   The call's first argument is a pointer to TEXT, written below the other process's stack, or TEXT's
   value when it is a number; the second is ARGUMENT. The process must sit in a system call, as an init
   that waits does: its own syscall instruction is used again (for i386 overwritten by int 0x80 meanwhile).
   Prints "attach: -ERRNO" when it may not trace the process, else the call's result, or "gone" when
   the process died of it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static void check(int failed, const char *what) {
    if (!failed) return;
    printf("%s: -%d\n", what, errno);
    exit(1);
}

static void wait_for_stop(pid_t pid) {
    int status;
    check(waitpid(pid, &status, __WALL) != pid, "wait");
    if (WIFSTOPPED(status)) return;
    printf("gone\n");
    exit(0);
}

int main(int argc, char **argv) {
    if (argc < 6) return 99;
    pid_t pid = atoi(argv[2]);
    int narrow = !strcmp(argv[3], "i386"), seize = !strcmp(argv[1], "seize");
    struct user_regs_struct before, regs;
    setvbuf(stdout, NULL, _IONBF, 0);

    check(ptrace(seize ? PTRACE_SEIZE : PTRACE_ATTACH, pid, NULL, NULL), "attach");
    if (seize) check(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), "interrupt");
    wait_for_stop(pid);
    check(ptrace(PTRACE_GETREGS, pid, NULL, &before), "getregs");
    regs = before;

    unsigned long text = (before.rsp - 1024) & ~15UL, old_text[8], old_code;
    if (narrow) text = 0; /* its pointers have 32 bits: only a number will do */
    for (int i = 0; text && i < 8; i++) old_text[i] = ptrace(PTRACE_PEEKDATA, pid, text + 8 * i, NULL);
    char padded[64] = {0};
    strncpy(padded, argv[5], sizeof padded - 1);
    for (int i = 0; text && i < 8; i++) check(ptrace(PTRACE_POKEDATA, pid, text + 8 * i, ((long *)padded)[i]), "poke");

    regs.rip = before.rip - 2;
    errno = 0;
    old_code = ptrace(PTRACE_PEEKTEXT, pid, regs.rip, NULL);
    check(errno, "peek");
    if ((old_code & 0xffff) != 0x050f) return 98; /* not a syscall instruction */
    if (narrow) check(ptrace(PTRACE_POKETEXT, pid, regs.rip, (old_code & ~0xffffUL) | 0x80cd), "poketext");
    int number = *argv[5] >= '0' && *argv[5] <= '9';
    long first = number ? strtol(argv[5], NULL, 0) : (long)text, second = argc > 6 ? strtol(argv[6], NULL, 0) : 0;
    regs.rax = atoi(argv[4]);
    regs.orig_rax = -1; /* nothing is to be restarted */
    if (narrow) regs.rbx = first, regs.rcx = second;
    else regs.rdi = first, regs.rsi = second;
    check(ptrace(PTRACE_SETREGS, pid, NULL, &regs), "setregs");
    check(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), "step");
    wait_for_stop(pid);
    check(ptrace(PTRACE_GETREGS, pid, NULL, &regs), "getregs");
    printf("%ld\n", narrow ? (long)(int)regs.rax : (long)regs.rax);

    for (int i = 0; text && i < 8; i++) ptrace(PTRACE_POKEDATA, pid, text + 8 * i, old_text[i]);
    if (narrow) ptrace(PTRACE_POKETEXT, pid, before.rip - 2, old_code);
    ptrace(PTRACE_SETREGS, pid, NULL, &before);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}
