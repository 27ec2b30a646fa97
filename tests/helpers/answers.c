/* Asks the kernel what a filter answers: makes any number of system calls under it, none of which is run.

   usage: answers FILE

   FILE, as this machine writes numbers: u32 count of instructions, the instructions (struct sock_filter),
   u32 count of calls, and for each call u32 number, u32 unused, u64 arguments[6]. Written to standard
   output: for each call u32 kind, u32 value:
     0 let through  1 errno, with the number  2 trap, with its data  3 the thread died  4 the process died

   How a call does no harm: an older filter answers errno 4095, which no policy can say, to everything. Of
   two filters the stricter one counts, and of two errnos that of the newer filter: so 4095 means that the
   newer one, which is asked, lets the call through. What it answers is found in a thread of its own,
   because `kill` ends the thread alone. The thread makes no call but the one in question: it reports
   through memory, and leaves the handler of a trap by a jump, as rt_sigreturn would be a call, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LET_THROUGH, ERRNO, TRAP, THREAD_DIED, PROCESS_DIED };
enum { NOT_REACHED = 4095 };  /* an errno */

struct call { uint32_t number, unused; uint64_t arguments[6]; };
struct answer { uint32_t kind, value; };
struct shared { volatile uint32_t at, done, failed; };

static struct call *calls;
static struct answer *answers;
static struct shared *shared;
static uint32_t count;
static struct sock_fprog asked, fallback;
static struct sock_filter fallback_code[8];
static volatile int thread;  /* its id; 0 when it has ended */
static char stack[65536] __attribute__((aligned(16)));

static void die(const char *what) {
    perror(what);
    exit(2);
}

#ifdef __i386__
static uint32_t sixth;  /* not on the stack, which the push below moves */
#endif

/* A system call without a C library, which would keep errno in thread-local storage. */
static long make(uint32_t number, const uint64_t *a) {
    long answer;
#ifdef __x86_64__
    register uint64_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall" : "=a"(answer)
                     : "0"((uint64_t)number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
#else
    sixth = a[5];
    __asm__ volatile("pushl %%ebp\n\tmovl %7, %%ebp\n\tint $0x80\n\tpopl %%ebp" : "=a"(answer)
                     : "0"(number), "b"((uint32_t)a[0]), "c"((uint32_t)a[1]), "d"((uint32_t)a[2]),
                       "S"((uint32_t)a[3]), "D"((uint32_t)a[4]), "m"(sixth)
                     : "memory");
#endif
    return answer;
}

/* Make the calls that are left. The thread ends here, for it may not even exit. */
static void go_on(void) {
    while (shared->at < count) {
        const struct call *call = &calls[shared->at];
        long answer = make(call->number, call->arguments);
        if (answer == -NOT_REACHED) answers[shared->at] = (struct answer){LET_THROUGH, 0};
        else answers[shared->at] = (struct answer){ERRNO, -answer};
        shared->at++;
    }
    shared->done = 1;
    for (;;) ;
}

/* Goes on from the top of the stack: to return from the handler would take a system call. */
static void on_trap(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    answers[shared->at] = (struct answer){TRAP, info->si_errno};
    shared->at++;
#ifdef __x86_64__
    __asm__ volatile("movq %0, %%rsp\n\tcall *%1" : : "r"(stack + sizeof stack), "r"(go_on) : "memory");
#else
    __asm__ volatile("movl %0, %%esp\n\tcall *%1" : : "r"(stack + sizeof stack), "r"(go_on) : "memory");
#endif
}

static long load(const struct sock_fprog *program) {
    uint64_t arguments[6] = {SECCOMP_SET_MODE_FILTER, 0, (uintptr_t)program};
    return make(__NR_seccomp, arguments);
}

static int ask(void *unused) {
    (void)unused;
    if (load(&fallback) || load(&asked)) {
        shared->failed = 1;
        for (;;) ;
    }
    go_on();
    return 0;
}

/* Ask from `at` on until all calls are made; each thread gets as far as to the call that ends it. */
static void ask_all(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)) die("pdeathsig");
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSYS, &action, NULL)) die("sigaction");
    while (!shared->done) {
        thread = 1;
        int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
                    | CLONE_CHILD_CLEARTID;
        if (clone(ask, stack + sizeof stack, flags, NULL, NULL, NULL, &thread) < 0) die("clone");
        for (struct timespec wait = {0, 1000000}; thread && !shared->done; ) {
            if (shared->failed) exit(3);
            syscall(SYS_futex, &thread, FUTEX_WAIT, 1, &wait, NULL, 0);
        }
        if (!shared->done) answers[shared->at++] = (struct answer){THREAD_DIED, 0};
        if (shared->at >= count) break;
    }
    _exit(0);
}

static void *memory(size_t size) {
    void *found = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) die("mmap");
    return found;
}

static void take(FILE *file, void *into, size_t size) {
    if (size && fread(into, size, 1, file) != 1) die("fread");
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) die("usage: answers FILE");
    uint32_t length;
    take(file, &length, sizeof length);
    asked.len = length;
    asked.filter = memory(length * sizeof *asked.filter);
    take(file, asked.filter, length * sizeof *asked.filter);
    take(file, &count, sizeof count);
    calls = memory(count * sizeof *calls);
    take(file, calls, count * sizeof *calls);
    answers = memory(count * sizeof *answers);
    shared = memory(sizeof *shared);

    /* Only one call is let through: the one that loads the filter to ask. */
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_seccomp, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uintptr_t)&asked, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | NOT_REACHED),
    };
    memcpy(fallback_code, code, sizeof code);
    fallback.len = sizeof code / sizeof *code;
    fallback.filter = fallback_code;

    while (shared->at < count) {
        pid_t child = fork();
        if (child < 0) die("fork");
        if (!child) ask_all();
        int status;
        if (waitpid(child, &status, 0) != child) die("waitpid");
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
            answers[shared->at++] = (struct answer){PROCESS_DIED, 0};
        else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            fprintf(stderr, "call %u of %u: status %#x\n", shared->at, count, status);
            return 2;
        }
    }
    return fwrite(answers, sizeof *answers, count, stdout) == count && !fflush(stdout) ? 0 : 2;
}
