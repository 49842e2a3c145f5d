// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/fd.h"

#include <errno.h>
#include <unistd.h>

int fd_write(int fd, const void *p, size_t n)
{
	const char *c = p;
	ssize_t w;

	while (n) {
		w = write(fd, c, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		c += w;
		n -= (size_t)w;
	}
	return 0;
}
