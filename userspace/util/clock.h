/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one clock: CLOCK_MONOTONIC, which is also bpf_ktime_get_ns(). Wall time is for people only. */
#ifndef IPW_UTIL_CLOCK_H
#define IPW_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* CLOCK_REALTIME minus CLOCK_MONOTONIC, now: add it to a monotonic time to name that moment to people. */
static inline int64_t clock_wall_offset_ns(void)
{
	uint64_t a = clock_mono_ns(), wall = clock_ns(CLOCK_REALTIME), b = clock_mono_ns();

	return (int64_t)(wall - (a + (b - a) / 2));
}

/* "2026-11-21T12:00:00.123456Z" (RFC 3339), at least 28 bytes. */
void clock_rfc3339(uint64_t wall_ns, char *buf, size_t size);

#endif
