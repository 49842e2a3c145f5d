/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which CPUs are online now: /sys/devices/system/cpu/online, "0-3,8\n" (Documentation/admin-guide/cputopology.rst). The
 * kernel's tracepoints are silent on a CPU from when it goes offline, also about what stops to run there. (When it is
 * back, BPF takes the time between for that task's: one tick has too many others in it.)
 */
#ifndef IPW_UTIL_ONLINE_H
#define IPW_UTIL_ONLINE_H

#include <stdint.h>

#define ONLINE_MAX 8192 /* CPUs; those beyond count as online */

struct online {
	int      fd; /* -1: nobody says, and all are */
	char     text[4096];
	uint64_t bits[ONLINE_MAX / 64];
};

void online_init(struct online *o, int fd); /* of that file; o's from now on */
int  online_look(struct online *o);          /* 1: it has changed, or is looked at for the first time */
int  online_has(const struct online *o, int cpu);
void online_release(struct online *o);

#endif
