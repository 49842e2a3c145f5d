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

static unsigned hex4(const char *p)
{
	unsigned v = 0;
	int i;

	for (i = 0; i < 4; i++)
		v = v << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	return v;
}

static char *utf8(char *to, unsigned v)
{
	if (v < 0x80) {
		*to++ = (char)v;
	} else if (v < 0x800) {
		*to++ = (char)(0xc0 | v >> 6);
		*to++ = (char)(0x80 | (v & 63));
	} else if (v < 0x10000) {
		*to++ = (char)(0xe0 | v >> 12);
		*to++ = (char)(0x80 | (v >> 6 & 63));
		*to++ = (char)(0x80 | (v & 63));
	} else {
		*to++ = (char)(0xf0 | v >> 18);
		*to++ = (char)(0x80 | (v >> 12 & 63));
		*to++ = (char)(0x80 | (v >> 6 & 63));
		*to++ = (char)(0x80 | (v & 63));
	}
	return to;
}

char *json_unescape(char *to, const char *s, size_t n)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *end = s + n;
	unsigned v, low;

	while (s < end) {
		if (*s != '\\') {
			*to++ = *s++;
			continue;
		}
		if (s[1] != 'u') {
			*to++ = into[strchr(from, s[1]) - from];
			s += 2;
			continue;
		}
		v = hex4(s + 2);
		s += 6;
		low = end - s >= 6 && s[0] == '\\' && s[1] == 'u' ? hex4(s + 2) : 0;
		if (v >= 0xd800 && v < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
			v = 0x10000 + ((v & 0x3ff) << 10 | (low & 0x3ff));
			s += 6;
		}
		to = utf8(to, v);
	}
	return to;
}
