// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_under(const char *root, const char *fmt, va_list ap)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/", root), m, fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	m = vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	if (m < 0 || (size_t)m >= sizeof(path) - (size_t)n)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sysfs_open(const char *root, const char *fmt, ...)
{
	va_list ap;
	int fd;

	va_start(ap, fmt);
	fd = open_under(root, fmt, ap);
	va_end(ap);
	return fd;
}

static int pread_line(int fd, char *ret, size_t size)
{
	char buf[4096], *end; /* as much as an attribute can have */
	ssize_t n = pread(fd, buf, sizeof(buf), 0);

	if (n < 0)
		return -errno;
	end = memchr(buf, '\n', (size_t)n);
	if (end)
		n = end - buf;
	if (!n)
		return -ENODATA;
	if ((size_t)n >= size || (size_t)n == sizeof(buf))
		return -EMSGSIZE;
	memcpy(ret, buf, (size_t)n);
	ret[n] = 0;
	return 0;
}

int sysfs_pread_u64(int fd, uint64_t *ret)
{
	char buf[32], *end;
	uint64_t v;
	int err = pread_line(fd, buf, sizeof(buf));

	if (err)
		return err == -EMSGSIZE ? -EBADMSG : err;
	/* strtoull() takes "-1" for the largest number, and an empty string for 0. */
	if (!isdigit((unsigned char)buf[0]))
		return -EBADMSG;
	errno = 0;
	v = strtoull(buf, &end, buf[0] == '0' && buf[1] == 'x' ? 16 : 10);
	if (errno || *end)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int sysfs_text(char *ret, size_t size, const char *root, const char *fmt, ...)
{
	va_list ap;
	int fd, err;

	va_start(ap, fmt);
	fd = open_under(root, fmt, ap);
	va_end(ap);
	if (fd < 0)
		return fd;
	err = pread_line(fd, ret, size);
	close(fd);
	return err;
}

int sysfs_u64(uint64_t *ret, const char *root, const char *fmt, ...)
{
	va_list ap;
	int fd, err;

	va_start(ap, fmt);
	fd = open_under(root, fmt, ap);
	va_end(ap);
	if (fd < 0)
		return fd;
	err = sysfs_pread_u64(fd, ret);
	close(fd);
	return err;
}

int sysfs_cpulist(const char *text, int *cpu, int max)
{
	int n = 0, lo, hi, used;

	for (; sscanf(text, "%d%n", &lo, &used) == 1; text++) {
		text += used;
		hi = lo;
		if (*text == '-' && sscanf(text, "-%d%n", &hi, &used) == 1)
			text += used;
		if (lo < 0 || hi < lo || hi - lo > 65535)
			return -EBADMSG;
		for (; lo <= hi; lo++, n++)
			if (n < max)
				cpu[n] = lo;
		if (*text != ',')
			break;
	}
	return *text ? -EBADMSG : n;
}

/* The value of "key   : value", or NULL. */
static char *field_value(char *line, const char *key)
{
	size_t n = strlen(key);
	char *p = line + n;

	if (strncmp(line, key, n))
		return NULL;
	p += strspn(p, " \t");
	if (*p != ':')
		return NULL;
	p++;
	p += strspn(p, " \t");
	p[strcspn(p, "\n")] = 0;
	return p;
}

int cpuinfo_get(const char *procfs, const char *key, char *ret, size_t size)
{
	char line[256], *value = NULL;
	int fd = sysfs_open(procfs, "cpuinfo"), err = -ENOENT;
	FILE *f;

	if (fd < 0)
		return fd;
	f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (!value && fgets(line, sizeof(line), f) && line[0] != '\n')
		value = field_value(line, key);
	if (value) {
		snprintf(ret, size, "%s", value);
		err = 0;
	}
	fclose(f);
	return err;
}
