// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void why_add(char *why, size_t size, const char *fmt, ...)
{
	size_t n = strnlen(why, size);
	va_list ap;
	int len;

	if (n && n + 2 < size)
		n += (size_t)snprintf(why + n, size - n, "; ");
	va_start(ap, fmt);
	len = vsnprintf(why + n, size - n, fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len >= size - n)
		memcpy(why + size - 4, "...", 4);
}

void printable(char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			*s = '?';
}
