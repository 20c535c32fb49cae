/* How many CPUs this process may use: by affinity, and by the quota of its control groups. */
#include "core/config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "core/units.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

unsigned config_cpus_of_quota(struct str cpu_max)
{
    uint64_t quota, period;
    struct str rest = cpu_max, first = str_split(&rest, ' ');

    if (units_parse_count(first, &quota) != 0 || units_parse_count(str_split(&rest, '\n'), &period) != 0 || period == 0)
        return 0; /* "max 100000", or a kernel that says something new */
    uint64_t cpus = quota / period + (quota % period != 0);
    return cpus == 0 ? 1 : cpus > UINT32_MAX ? 0 : (unsigned)cpus;
}

static struct str read_small(const char *path, char *space, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, space, size);

    if (fd >= 0)
        close(fd);
    return n < 0 ? STR_NONE : (struct str){space, (size_t)n};
}

/* The version 2 line of /proc/self/cgroup is `0::/path`. */
static struct str own_cgroup(char *space, size_t size)
{
    struct str text = read_small("/proc/self/cgroup", space, size);

    while (text.p != NULL && text.n > 0) {
        struct str line = str_split(&text, '\n');
        if (str_starts_with(line, STR_LIT("0::/")))
            return (struct str){line.p + 3, line.n - 3};
    }
    return STR_LIT("/");
}

/* The least quota on the way from the own group to the root. Inside a container's namespace that root is its own group.
 */
static unsigned cgroup_cpus(void)
{
    char space[4096], path[4096 + 64], content[64];
    struct str group = own_cgroup(space, sizeof(space));
    unsigned least = 0;

    for (;;) {
        snprintf(path, sizeof(path), CGROUP_ROOT "%.*s/cpu.max", (int)group.n, group.p);
        unsigned cpus = config_cpus_of_quota(read_small(path, content, sizeof(content)));
        if (cpus != 0 && (least == 0 || cpus < least))
            least = cpus;
        if (group.n == 0)
            return least;
        do {
            --group.n;
        } while (group.n > 0 && group.p[group.n] != '/');
    }
}

unsigned config_cpus(void)
{
    cpu_set_t set;
    unsigned quota = cgroup_cpus();
    unsigned cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;

    if (quota != 0 && quota < cpus)
        cpus = quota;
    return cpus == 0 ? 1 : cpus;
}
