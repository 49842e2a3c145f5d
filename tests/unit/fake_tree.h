/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A folder of a test's own, in which it writes files as /sys and /proc have them. Include cmocka.h first. */
#ifndef IPW_TEST_FAKE_TREE_H
#define IPW_TEST_FAKE_TREE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/ipw-unit-XXXXXX");
	return mkdtemp(dir) && !chmod(dir, 0755) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

/* Writes a file below it, and the folders on the way. */
static void put(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *text, const char *fmt, ...)
{
	char full[512], *p;
	size_t n = (size_t)snprintf(full, sizeof(full), "%s/", dir);
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(full + n, sizeof(full) - n, fmt, ap);
	va_end(ap);
	for (p = strchr(full + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		(void)mkdir(full, 0755);
		*p = '/';
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

#endif
