/* Says "ready", then the number of each signal that arrives, a line each; ends with status 7 at SIGTERM.

   usage: signals [signalfd]

   With a word it reads them from a descriptor, as systemd does, and so is seen to block them meanwhile. */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argv;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    int descriptor = argc > 1 ? signalfd(-1, &all, SFD_CLOEXEC) : -1;
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("ready\n");
    for (int number = 0; number != SIGTERM;) {
        struct signalfd_siginfo told;
        if (descriptor < 0) number = sigwaitinfo(&all, NULL);
        else if (read(descriptor, &told, sizeof told) == sizeof told) number = told.ssi_signo;
        printf("%d\n", number);
    }
    return 7;
}
