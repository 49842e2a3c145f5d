// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/fmt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static char *fmt(char *buf, size_t size, double v, int cols)
{
	static const char suffix[] = " kMGTP";
	double a = fabs(v);
	int s = 0;

	if (!isfinite(v)) {
		snprintf(buf, size, "-");
		return buf;
	}
	for (; a >= 9999.5 && suffix[s + 1]; s++) {
		a /= 1000;
		v /= 1000;
	}
	if (s)
		snprintf(buf, size, "%.*f%c", a < (cols == 5 ? 99.95 : 9.95) ? 1 : 0, v, suffix[s]);
	else if (a > 0 && a < 0.0005)
		snprintf(buf, size, "%.0e", v);
	else
		snprintf(buf, size, "%.*f", a < 0.9995 ? 3 : a < 9.995 ? 2 : a < 99.95 ? 1 : 0, v);
	if (cols == 4 && !strncmp(buf, "0.", 2))
		memmove(buf, buf + 1, strlen(buf));
	return buf;
}

char *fmt3(char *buf, size_t size, double v)
{
	return fmt(buf, size, v, 5);
}

/* 3e-04 takes five, and says no more than 3e-4. */
char *fmt4(char *buf, size_t size, double v)
{
	char *zero;

	fmt(buf, size, v, 4);
	zero = strstr(buf, "e-0");
	if (zero)
		memmove(zero + 2, zero + 3, strlen(zero + 3) + 1);
	return buf;
}
