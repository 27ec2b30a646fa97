/* Says "ready", then the number of each signal that arrives, a line each; ends with status 7 at SIGTERM. */
#include <signal.h>
#include <stdio.h>

int main(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("ready\n");
    for (int number = 0; number != SIGTERM;) {
        number = sigwaitinfo(&all, NULL);
        printf("%d\n", number);
    }
    return 7;
}
