/* A second thread calls mkdir("/thread"); the first waits for its end and says that it is still there. */
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

static void *second(void *unused) {
    mkdir("/thread", 0755);
    return unused;
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, second, NULL)) return 99;
    pthread_join(thread, NULL);
    puts("the first thread is alive");
    return 0;
}
