/* The wall clock of the processes that this is preloaded into: the machine's, and as many seconds ahead of it as the file that
   CLOCK_AHEAD names says now (one long). Their monotonic clock is untouched, as when a real clock is set. No header is needed. */

struct timespec { long seconds, nanoseconds; };
struct timeval { long seconds, microseconds; };

extern long syscall(long number, ...);
extern char *getenv(const char *name);
extern int open(const char *path, int flags, ...);
extern int close(int file);
extern void *mmap(void *at, unsigned long length, int protection, int flags, int file, long offset);

enum { CLOCK_GETTIME = 228, REALTIME = 0, REALTIME_COARSE = 5, READ_ONLY = 0, PROTECTION_READ = 1, SHARED = 1 };

static volatile long *told;

static long ahead(void)
{
    if (!told) {
        int file = open(getenv("CLOCK_AHEAD"), READ_ONLY);
        void *page = mmap(0, sizeof(long), PROTECTION_READ, SHARED, file, 0);
        close(file);
        if (page == (void *) -1)
            return 0;
        told = page;
    }
    return *told;
}

int clock_gettime(int clock, struct timespec *now)
{
    long result = syscall(CLOCK_GETTIME, clock, now);
    if (!result && (clock == REALTIME || clock == REALTIME_COARSE))
        now->seconds += ahead();
    return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec exact;
    int result = clock_gettime(REALTIME, &exact);
    now->seconds = exact.seconds;
    now->microseconds = exact.nanoseconds / 1000;
    return result;
}

long time(long *now)
{
    struct timespec exact;
    clock_gettime(REALTIME, &exact);
    if (now)
        *now = exact.seconds;
    return exact.seconds;
}
