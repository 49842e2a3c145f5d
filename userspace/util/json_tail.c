// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The end of a text whose beginning is lost. */
#include "userspace/util/json_scan.h"

/* p[i] closes a string: the index of the quote that opens it, or n when it is not in p. */
static size_t string_open(const char *p, size_t i, size_t n)
{
	size_t slashes;

	while (i-- > 0) {
		if (p[i] != '"')
			continue;
		for (slashes = 0; slashes < i && p[i - 1 - slashes] == '\\'; slashes++)
			;
		if (slashes == i)
			break; /* what stood before it is not known */
		if (slashes % 2 == 0)
			return i;
	}
	return n;
}

size_t json_tail_start(const char *p, size_t n)
{
	size_t i = n, start = n;
	long depth = 0;

	while (i-- > 0) {
		if (p[i] == '"') {
			i = string_open(p, i, n);
			if (i == n)
				break;
		} else if (p[i] == '}' || p[i] == ']') {
			depth++;
		} else if (p[i] == '{' || p[i] == '[') {
			if (--depth <= 0) {
				start = p[i] == '{' && !depth ? i + 1 : start;
				break;
			}
		} else if (p[i] == ',' && depth == 1) {
			start = i + 1;
		}
	}
	return start;
}
