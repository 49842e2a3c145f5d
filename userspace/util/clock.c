// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/clock.h"

#include <stdio.h>

void clock_rfc3339(uint64_t wall_ns, char *buf, size_t size)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	if (!gmtime_r(&s, &tm)) {
		snprintf(buf, size, "?");
		return;
	}
	snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ns % NS_PER_S / 1000));
}
