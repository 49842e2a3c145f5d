// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a string or a bare word in a text is made of. */
#include "userspace/util/json_scan.h"

#include <endian.h>
#include <string.h>

typedef uint8_t  block __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

size_t json_plain_len(const char *p, size_t n)
{
	halves stop;
	block b;
	size_t i;

	for (i = 0; i + sizeof(b) <= n; i += sizeof(b)) {
		memcpy(&b, p + i, sizeof(b));
		stop = (halves)((b == '"') | (b == '\\') | (b < 0x20)); /* a byte that is one: all bits set */
		if (stop[0])
			return i + (size_t)__builtin_ctzll(le64toh(stop[0])) / 8;
		if (stop[1])
			return i + (size_t)__builtin_ctzll(le64toh(stop[1])) / 8 + 8;
	}
	while (i < n && p[i] != '"' && p[i] != '\\' && (unsigned char)p[i] >= 0x20)
		i++;
	return i;
}

/* At a backslash: bytes of the escape; 0 if it is none, or not all there. */
static size_t escape_len(const char *p, size_t n)
{
	size_t i;

	if (n < 2)
		return 0;
	if (p[1] != 'u')
		return memchr("\"\\/bfnrt", p[1], 8) ? 2 : 0;
	for (i = 2; i < 6; i++)
		if (i >= n || !((p[i] >= '0' && p[i] <= '9') || ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'f')))
			return 0;
	return i;
}

size_t json_string_len(const char *p, size_t n)
{
	size_t i = 0, esc;

	while ((i += json_plain_len(p + i, n - i)) < n && p[i] != '"') {
		esc = p[i] == '\\' ? escape_len(p + i, n - i) : 0;
		if (!esc)
			return n;
		i += esc;
	}
	return i;
}

size_t json_bare_len(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && ((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z') || p[i] == '-' ||
			      p[i] == '+' || p[i] == '.' || p[i] == 'E'); i++)
		;
	return i;
}
