// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whatever comes in, what str_clean() gives is valid UTF-8, terminated, in bounds, and says nothing to a terminal. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/str.h"

#define LEN(a) (sizeof(a) / sizeof(*(a)))

/* The code point at *p, which is moved on; -1 if it is not well formed. Written apart from the code under test. */
static long decode(const unsigned char **p)
{
	const unsigned char *s = *p;
	long c;

	if (s[0] < 0x80) {
		*p += 1;
		return s[0];
	}
	if ((s[0] & 0xe0) == 0xc0 && (s[1] & 0xc0) == 0x80) {
		*p += 2;
		c = (s[0] & 0x1f) << 6 | (s[1] & 0x3f);
		return c < 0x80 ? -1 : c;
	}
	if ((s[0] & 0xf0) == 0xe0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80) {
		*p += 3;
		c = (s[0] & 0xf) << 12 | (s[1] & 0x3f) << 6 | (s[2] & 0x3f);
		return c < 0x800 || (c >= 0xd800 && c < 0xe000) ? -1 : c;
	}
	if ((s[0] & 0xf8) == 0xf0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 && (s[3] & 0xc0) == 0x80) {
		*p += 4;
		c = (s[0] & 7) << 18 | (s[1] & 0x3f) << 12 | (s[2] & 0x3f) << 6 | (s[3] & 0x3f);
		return c < 0x10000 || c > 0x10ffff ? -1 : c;
	}
	return -1;
}

static int is_harmless(long c)
{
	static const long bad[] = { 0x061c, 0x200e, 0x200f, 0x2028, 0x2029 };
	size_t i;

	for (i = 0; i < LEN(bad); i++)
		if (c == bad[i])
			return 0;
	return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && !(c >= 0x202a && c <= 0x202e) &&
	       !(c >= 0x2066 && c <= 0x2069);
}

static void check(const char *src, size_t len, size_t size)
{
	char *dst = malloc(size ? size : 1), *copy = malloc(len ? len : 1);
	const unsigned char *p = (unsigned char *)dst;

	memcpy(copy, src, len);
	memset(dst, 0xa5, size);
	str_clean(dst, size, copy, len);
	if (size) {
		assert_non_null(memchr(dst, 0, size));
		while (*p)
			assert_true(is_harmless(decode(&p)));
	}
	free(dst);
	free(copy);
}

static void as_expected(void **state)
{
	static const struct {
		const char *in;
		size_t size;
		const char *want;
	} t[] = {
		{ "", 10, "" }, { "plain", 10, "plain" }, { "plain", 6, "plain" }, { "plain", 5, "plai" },
		{ "plain", 1, "" }, { "\x1b[31mx\x7f\x01\n\t", 32, "?[31mx????" },
		{ "caf\xc3\xa9", 10, "caf\xc3\xa9" }, { "caf\xc3\xa9", 5, "caf" },
		{ "caf\xc3", 10, "caf?" }, { "\xc2\x9b""x", 10, "?x" }, { "\xc0\x80\xc1\xbf", 10, "????" },
		{ "\xe0\x80\xaf\xed\xa0\x80", 20, "??????" }, { "\xf4\x90\x80\x80\xf5", 20, "?????" },
		{ "\xf0\x9f\x98\x80", 5, "\xf0\x9f\x98\x80" }, { "\xf0\x9f\x98\x80", 4, "" },
		{ "a\xe2\x80\xae""b\xe2\x81\xa6\xd8\x9c", 20, "a?b??" },
		{ "\xe2\x82\xac\xe2\x82", 20, "\xe2\x82\xac??" }, { "\xef\xbf\xbd", 20, "\xef\xbf\xbd" },
	};
	char dst[64];
	size_t i;

	for (i = 0; i < LEN(t); i++) {
		str_clean(dst, t[i].size, t[i].in, strlen(t[i].in));
		assert_string_equal(dst, t[i].want);
	}
	str_clean(dst, sizeof(dst), "a\0b", 3);
	assert_string_equal(dst, "a?b");
}

static void every_short_string(void **state)
{
	char s[3];
	int a, b;

	for (a = 0; a < 256; a++)
		for (b = 0; b < 256; b++) {
			s[0] = (char)a;
			s[1] = (char)b;
			s[2] = (char)(a ^ b);
			check(s, 3, 8);
			check(s, 2, 3);
		}
}

static void random_strings(void **state)
{
	static const unsigned char starts[] = {
		0xc2, 0xc3, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0x80, 0xbf, 0xa0, 0x90, 'a', 0x1b, 0,
	};
	char s[40];
	size_t n, i;
	int k;

	srand(1);
	for (k = 0; k < 200000; k++) {
		n = (size_t)rand() % sizeof(s);
		for (i = 0; i < n; i++)
			s[i] = (char)(rand() & 1 ? starts[(size_t)rand() % sizeof(starts)] : (unsigned char)rand());
		check(s, n, (size_t)rand() % 50);
	}
}

static void every_character(void **state)
{
	unsigned char s[4];
	char dst[8];
	long c;
	size_t n;

	for (c = 1; c <= 0x10ffff; c++) {
		if (c < 0x80) {
			s[0] = (unsigned char)c;
			n = 1;
		} else if (c < 0x800) {
			s[0] = (unsigned char)(0xc0 | c >> 6);
			s[1] = (unsigned char)(0x80 | (c & 0x3f));
			n = 2;
		} else if (c < 0x10000) {
			s[0] = (unsigned char)(0xe0 | c >> 12);
			s[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
			s[2] = (unsigned char)(0x80 | (c & 0x3f));
			n = 3;
		} else {
			s[0] = (unsigned char)(0xf0 | c >> 18);
			s[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
			s[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
			s[3] = (unsigned char)(0x80 | (c & 0x3f));
			n = 4;
		}
		str_clean(dst, sizeof(dst), (char *)s, n);
		if (is_harmless(c) && !(c >= 0xd800 && c < 0xe000))
			assert_true(strlen(dst) == n && !memcmp(dst, s, n));
		else
			assert_int_equal(dst[0], '?');
	}
}

static void comparisons(void **state)
{
	assert_true(str_ieq("ChunkED", 7, "chunked"));
	assert_false(str_ieq("chunked", 6, "chunked"));
	assert_false(str_ieq("chunke", 6, "chunked"));
	assert_true(str_ieq("", 0, ""));
	assert_true(str_ihas("text/Event-Stream; x", 20, "event-stream"));
	assert_true(str_ihas("abc", 3, "ABC"));
	assert_false(str_ihas("ab", 2, "abc"));
	assert_false(str_ihas("xxabc", 4, "abc"));
	assert_true(str_ihas("x", 1, ""));
}

/* Sums by Python: h = 0xcbf29ce484222325; for c in b: h = (h ^ c) * 0x100000001b3 % 2**64 */
static void identifiers(void **state)
{
	static const struct { const char *from; size_t len; const char *want; } rows[] = {
		{ "run-1", 5, "run-1" }, { "run-12", 5, "run-1" }, { "#", 1, "#" },
		{ "\xd0\xb0\xd0\xb3", 4, "\xd0\xb0\xd0\xb3" },
		{ "", 0, "" },
		{ "a b", 3, "#e63f991904833892" },
		{ "a\0b", 3, "#e5d29919042666b2" },
		{ "\xff", 1, "#af64724c8602eb6e" },
		{ "?", 1, "?" },
	};
	char long_[STR_IDENT + 2], dst[STR_IDENT + 1];
	size_t i;

	for (i = 0; i < LEN(rows); i++) {
		str_ident(dst, rows[i].from, rows[i].len);
		assert_string_equal(dst, rows[i].want);
	}
	memset(long_, 'a', sizeof(long_));
	str_ident(dst, long_, STR_IDENT);
	assert_int_equal(strlen(dst), STR_IDENT);
	assert_memory_equal(dst, long_, STR_IDENT);
	str_ident(dst, long_, STR_IDENT + 1);
	assert_string_equal(dst, "#8087e9a889f8a14c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_expected),
		cmocka_unit_test(every_short_string),
		cmocka_unit_test(random_strings),
		cmocka_unit_test(every_character),
		cmocka_unit_test(comparisons),
		cmocka_unit_test(identifiers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
