// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/str.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), its code point in ret_c; 0 if it is none. */
static size_t utf8_len(const unsigned char *p, size_t n, uint32_t *ret_c)
{
	static const uint32_t min[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len, i;
	uint32_t c;

	if (p[0] < 0x80) {
		*ret_c = p[0];
		return 1;
	}
	len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		return 0;
	c = p[0] & (0x7f >> len);
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < min[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret_c = c;
	return len;
}

static int is_plain(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return 0;
	if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x061c)
		return 0;
	return c != 0x200e && c != 0x200f && c != 0x2028 && c != 0x2029;
}

size_t str_utf8_len(const char *src, size_t len)
{
	uint32_t c;

	return len ? utf8_len((const unsigned char *)src, len, &c) : 0;
}

void str_clean(char *dst, size_t size, const char *src, size_t len)
{
	size_t in = 0, out = 0, l;
	uint32_t c;

	while (in < len && out + 1 < size) {
		l = utf8_len((const unsigned char *)src + in, len - in, &c);
		if (!l || !is_plain(c)) {
			dst[out++] = '?';
			in += l ? l : 1;
			continue;
		}
		if (out + l >= size)
			break;
		memcpy(dst + out, src + in, l);
		out += l;
		in += l;
	}
	if (size)
		dst[out] = 0;
}

void str_ident(char dst[STR_IDENT + 1], const char *src, size_t len)
{
	uint64_t sum = 0xcbf29ce484222325ull;
	size_t i;

	if (len <= STR_IDENT && !memchr(src, ' ', len)) {
		str_clean(dst, STR_IDENT + 1, src, len);
		if (strlen(dst) == len && !memcmp(dst, src, len))
			return;
	}
	for (i = 0; i < len; i++)
		sum = (sum ^ (unsigned char)src[i]) * 0x100000001b3ull;
	snprintf(dst, STR_IDENT + 1, "#%016" PRIx64, sum);
}

int str_ieq(const char *a, size_t alen, const char *b)
{
	return strlen(b) == alen && !strncasecmp(a, b, alen);
}

int str_ihas(const char *a, size_t alen, const char *b)
{
	size_t n = strlen(b), i;

	for (i = 0; i + n <= alen; i++)
		if (!strncasecmp(a + i, b, n))
			return 1;
	return 0;
}
