/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files by descriptor. */
#ifndef IPW_UTIL_FD_H
#define IPW_UTIL_FD_H

#include <stddef.h>

/* All n bytes, however often it is interrupted. 0 or -errno. */
int fd_write(int fd, const void *p, size_t n);

#endif
