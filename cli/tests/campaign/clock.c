/* The wall clock as somebody sets it while a campaign runs; the clock that nobody sets is left as
   it is. WALL_CLOCK=jump: a day back and a week forth in turns, at every question. A number: the
   seconds since 1970, always. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int asked;
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *how = getenv("WALL_CLOCK");
    if (failed || !how || clock != CLOCK_REALTIME)
        return failed;
    if (!strcmp(how, "jump"))
        now->tv_sec += __sync_fetch_and_add(&asked, 1) % 2 ? 604800 : -86400;
    else
        now->tv_sec = atol(how);
    return 0;
}
