// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int table_read(const char *path, char **ret)
{
	FILE *f = fopen(path, "re");
	size_t n = 0, cap = 0, got;
	char *text = NULL, *more;
	int err = 0;

	if (!f)
		return -errno;
	do {
		if (cap - n < 4096) {
			cap = 2 * cap + 8192;
			more = realloc(text, cap);
			if (!more) {
				err = -ENOMEM;
				goto out;
			}
			text = more;
		}
		got = fread(text + n, 1, cap - n - 1, f);
		n += got;
	} while (got);
	if (ferror(f))
		err = -EIO;
	text[n] = 0;
out:
	fclose(f);
	if (err)
		free(text);
	else
		*ret = text;
	return err;
}

int table_value(const char *s, double *ret)
{
	char *end;

	if (!strcmp(s, "-")) {
		*ret = NAN;
		return 0;
	}
	*ret = strtod(s, &end);
	return end == s || *end || !isfinite(*ret) || *ret < 0 ? -EBADMSG : 0;
}

int table_columns(char *line, char **col, int max)
{
	int n = 0;
	char *p;

	line[strcspn(line, "#\r")] = 0;
	for (p = line + strlen(line); p > line && (p[-1] == ' ' || p[-1] == '\t'); p--)
		p[-1] = 0;
	while ((p = strsep(&line, "\t"))) {
		p += strspn(p, " ");
		if (!*p)
			continue;
		if (n == max)
			return max + 1;
		col[n++] = p;
	}
	return n;
}

int table_is(const char *row, const char *name)
{
	const char *slash = strrchr(name, '/');

	return !strcasecmp(row, name) || (slash && !strcasecmp(row, slash + 1));
}

int table_room(void **row, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1))
		return 0;
	more = realloc(*row, (n ? 2 * n : 1) * size);
	if (!more)
		return -ENOMEM;
	*row = more;
	return 0;
}
