// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The scanner: in every way to cut a text, on texts that are none, and json_tail_start() against a full reading. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/json_scan.h"

#define LEN(a) (sizeof(a) / sizeof(*(a)))

static const struct json_path paths[] = {
	{ "model", 0 }, { "usage.n", 1 }, { "choices[].delta.content", 2 }, { "choices[]", 3 }, { "a[][]", 4 },
	{ "stop", 5 }, { "usage", 6 }, { "tokens[]", 7 },
};
static struct json_tree tree;

/* What was reported, as text: "id=value " for each. */
static char said[8192];

static void on_val(void *ctx, int id, const struct json_val *v)
{
	static const char *const words[] = { "null", "false", "true" };
	size_t n = strlen(said);
	char *p = said + n;

	n = sizeof(said) - n;
	if (v->type == JSON_NUM)
		snprintf(p, n, "%d=%.17g ", id, v->num);
	else if (v->type == JSON_STRING)
		snprintf(p, n, "%d='%.*s'%zu ", id, (int)v->len, v->str, v->total);
	else
		snprintf(p, n, "%d=%s ", id,
			 v->type == JSON_OBJECT ? "{" : v->type == JSON_ARRAY ? "[" : words[v->type]);
}

/* Fed in pieces: the first of `first` bytes, then of `step`. Each is a block of its own. */
static int scan(const char *p, size_t n, size_t first, size_t step)
{
	struct json_scan s;
	size_t at = 0, m = first;
	char *copy;

	memset(&s, 0xa5, sizeof(s));
	json_init(&s, &tree, on_val, NULL);
	said[0] = 0;
	for (; at < n; at += m, m = step) {
		m = m < n - at ? m : n - at;
		copy = malloc(m ? m : 1);
		assert_non_null(copy);
		memcpy(copy, p + at, m);
		json_feed(&s, copy, m);
		free(copy);
	}
	return json_end(&s);
}

static int setup(void **state)
{
	return json_tree_init(&tree, paths, LEN(paths));
}

static const struct {
	const char *text, *want;
} good[] = {
	{ "{}", "" },
	{ " [ ] ", "" },
	{ "7", "" },
	{ "null", "" },
	{ "\"x\"", "" },
	{ "{\"model\":\"m\"}", "0='m'1 " },
	{ "{\"model\" : \"\" , \"stop\":true}", "0=''0 5=true " },
	{ "{\"model\":\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\"}", "0='a\"b\\c/d\b\f\n\r\t'20 " },
	{ "{\"model\":\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"}", "0='A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'30 " },
	{ "{\"model\":\"\\ud83dx\\ude00\\ud83d\\ud83d\\n\\ud83d\"}",
	  "0='\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n\xef\xbf\xbd'33 " },
	{ "{\"mod\\u0065l\":\"m\"}", "0='m'1 " },
	{ "{\"usage\":{\"n\":12,\"m\":3}}", "6={ 1=12 " },
	{ "{\"usage\":null,\"usage\":{\"n\":-1.5e2}}", "6=null 6={ 1=-150 " },
	{ "{\"usage\":{\"n\":1e400}}", "6={ 1=inf " },
	{ "{\"usage\":{\"n\":0.00000000000000000000000000000000000005e38}}", "6={ 1=5 " },
	{ "{\"x\":{\"model\":\"no\"},\"y\":[{\"model\":\"no\"}],\"model\":\"m\"}", "0='m'1 " },
	{ "{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"\"}},{\"delta\":{}},7]}",
	  "3={ 2='a'1 3={ 2=''0 3={ 3=7 " },
	{ "{\"choices\":{\"delta\":{\"content\":\"a\"}}}", "" },
	{ "{\"a\":[[1,2],[],[[3]],4]}", "4=1 4=2 4=[ " },
	{ "{\"tokens\":[1,\"x\",null,[1],{\"a\":2},true]}", "7=1 7='x'1 7=null 7=[ 7={ 7=true " },
	{ "{\"stop\":false,\"stop\":\"word\"}", "5=false 5='word'4 " },
	{ "[{\"model\":\"no\"}]", "" },
	{ "{\"model\":[\"no\"],\"tokens\":{}}", "0=[ " },
	{ "{\"tokens\":[1,],}", "7=1 " }, /* lenient about a stray comma */
};

static void reads_what_is_wanted(void **state)
{
	size_t i;

	for (i = 0; i < LEN(good); i++) {
		assert_int_equal(scan(good[i].text, strlen(good[i].text), SIZE_MAX, 1), 0);
		assert_string_equal(said, good[i].want);
	}
}

static void any_split_is_the_same(void **state)
{
	size_t i, n, at, step;

	for (i = 0; i < LEN(good); i++) {
		n = strlen(good[i].text);
		for (at = 0; at <= n; at++) {
			assert_int_equal(scan(good[i].text, n, at ? at : 1, SIZE_MAX), 0);
			assert_string_equal(said, good[i].want);
		}
		for (step = 1; step < 8; step++) {
			assert_int_equal(scan(good[i].text, n, step, step), 0);
			assert_string_equal(said, good[i].want);
		}
	}
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "{", "[", "{]", "[}", "}", "]", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{a:1}", "{'a':1}",
		"{\"a\":1}}", "{} {}", "{\"a\":1 \"b\":2}", "[,]", "{\"a\" 1}", "{\"a\":tru}", "nul", "truefalse",
		"{\"a\":\"\n\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "\"", "{\"a\":\"b", "+1", ".5", "[DONE]",
		"{\"a\":[1}", "{\"a\":{]}", "{1:2}", "{\"a\":\"\\", "#",
	};
	size_t i, step;

	for (i = 0; i < LEN(bad); i++)
		for (step = 1; step < 4; step++)
			if (scan(bad[i], strlen(bad[i]), step, step) != -EBADMSG)
				fail_msg("taken for JSON: %s", bad[i]);
}

/* After an error nothing is reported, whatever comes. */
static void an_error_is_the_end(void **state)
{
	static const char text[] = "{\"x\" \"model\":\"m\",\"model\":\"m\"}{\"model\":\"m\"}";

	assert_int_equal(scan(text, sizeof(text) - 1, 3, 5), -EBADMSG);
	assert_string_equal(said, "");
}

static char *nested(size_t deep, const char *open, const char *inside, const char *close, const char *after)
{
	size_t no = strlen(open), nc = strlen(close), i;
	char *s = malloc(deep * (no + nc) + strlen(inside) + strlen(after) + 1), *p = s;

	assert_non_null(s);
	for (i = 0; i < deep; i++, p += no)
		memcpy(p, open, no);
	p = stpcpy(p, inside);
	for (i = 0; i < deep; i++, p += nc)
		memcpy(p, close, nc);
	strcpy(p, after);
	return s;
}

/* At each depth about the limit: what stands beside the deep part is read, strings in it hide their brackets. */
static void depth_has_no_limit_but_memory(void **state)
{
	static const size_t deep[] = { 1, 28, 29, 30, 31, 32, 33, 34, 100, 10000 };
	char *inner, *text;
	size_t i, step;

	for (i = 0; i < LEN(deep); i++) {
		inner = nested(deep[i], "[{\"k\":", "\"]}\\\"[{\"", "}]", ",\"model\":\"m\",\"usage\":{\"n\":7}}");
		text = malloc(strlen(inner) + 16);
		sprintf(text, "{\"deep\":%s", inner);
		for (step = 1; step < 4; step++) {
			assert_int_equal(scan(text, strlen(text), step, step), 0);
			assert_string_equal(said, "0='m'1 6={ 1=7 ");
		}
		assert_int_equal(scan(text, strlen(text) - 1, SIZE_MAX, 1), -EBADMSG);
		free(inner);
		free(text);
	}
}

static void long_strings_are_cut(void **state)
{
	char text[4096], want[4096];
	size_t n, i;

	for (n = JSON_STR - 3; n < JSON_STR + 4; n++) {
		sprintf(text, "{\"model\":\"%0*d\"}", (int)n, 0);
		assert_int_equal(scan(text, strlen(text), 1, 1), 0);
		sprintf(want, "0='%0*d'%zu ", (int)(n < JSON_STR ? n : JSON_STR), 0, n);
		assert_string_equal(said, want);
	}
	/* A key that is too long to be kept is not the one that it begins with. */
	strcpy(text, "{\"model");
	for (i = 7; i < 1000; i++)
		text[i] = 'l';
	strcpy(text + i, "\":\"no\"}");
	assert_int_equal(scan(text, strlen(text), 7, 7), 0);
	assert_string_equal(said, "");
}

static void long_numbers_are_not_guessed(void **state)
{
	char text[512];

	sprintf(text, "{\"usage\":{\"n\":1%0150d}}", 0);
	assert_int_equal(scan(text, strlen(text), SIZE_MAX, 1), 0);
	assert_string_equal(said, "6={ 1=9.9999999999999998e+149 ");
	sprintf(text, "{\"usage\":{\"n\":1%0*d}}", JSON_STR, 0);
	assert_int_equal(scan(text, strlen(text), SIZE_MAX, 1), 0);
	assert_string_equal(said, "6={ 1=nan ");
}

static void trees_are_bounded(void **state)
{
	static char names[JSON_NODES + 1][16];
	struct json_path many[JSON_NODES + 1], one = { "0123456789012345678901234567890123456789", 1 };
	struct json_tree t;
	int i;

	for (i = 0; i < JSON_NODES + 1; i++) {
		sprintf(names[i], "k%d", i);
		many[i] = (struct json_path){ names[i], i };
	}
	assert_int_equal(json_tree_init(&t, many, JSON_NODES - 1), 0);
	assert_int_equal(json_tree_init(&t, many, JSON_NODES), -E2BIG);
	assert_int_equal(json_tree_init(&t, &one, 1), -E2BIG);
}

/* --- json_tail_start ---------------------------------------------------------------------------------------------- */

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % n;
}

/* A random object, and where its top-level members begin. */
struct doc {
	char   p[4096];
	size_t n;
	size_t sep[64], nsep; /* the '{' or ',' before each */
};

static void put(struct doc *d, const char *s)
{
	size_t n = strlen(s);

	if (d->n + n < sizeof(d->p) - 512) {
		memcpy(d->p + d->n, s, n);
		d->n += n;
	} else { /* the shortest valid thing instead */
		d->p[d->n++] = ' ';
	}
}

static void put_space(struct doc *d)
{
	static const char *const sp[] = { "", "", "", " ", "\n", "\t\r\n " };

	put(d, sp[rnd(6)]);
}

/* Strings are mostly made of what might confuse. */
static void put_string(struct doc *d)
{
	static const char *const bits[] = {
		"\\\\", "\\\"", "{", "}", "[", "]", ",", ":", "a", " ", "\\\\\\\"", "\\\\\\\\", "\\u0022",
		"\xc3\xa9", "\\n", "\\/",
	};
	uint32_t n = rnd(8);

	put(d, "\"");
	while (n--)
		put(d, bits[rnd(LEN(bits))]);
	put(d, "\"");
}

static void put_value(struct doc *d, int depth, int top);

static void put_object(struct doc *d, int depth, int top)
{
	uint32_t n = rnd(top ? 6 : 4), i;

	if (top)
		d->sep[d->nsep++] = d->n;
	put(d, "{");
	put_space(d);
	for (i = 0; i < n; i++) {
		if (i && top)
			d->sep[d->nsep++] = d->n;
		put(d, i ? "," : "");
		put_space(d);
		put_string(d);
		put_space(d);
		put(d, ":");
		put_space(d);
		put_value(d, depth + 1, 0);
		put_space(d);
	}
	put(d, "}");
}

static void put_value(struct doc *d, int depth, int top)
{
	static const char *const bare[] = { "1", "-2.5e+7", "true", "false", "null", "0" };
	uint32_t i, n;

	switch (depth > 5 ? rnd(2) : rnd(4)) {
	case 0:
		put_string(d);
		break;
	case 1:
		put(d, bare[rnd(LEN(bare))]);
		break;
	case 2:
		put_object(d, depth, 0);
		break;
	default:
		put(d, "[");
		for (i = 0, n = rnd(4); i < n; i++) {
			put(d, i ? "," : "");
			put_value(d, depth + 1, 0);
			put_space(d);
		}
		put(d, "]");
	}
}

static void doc_make(struct doc *d)
{
	do {
		d->n = d->nsep = 0;
		put_object(d, 0, 1);
		put_space(d);
	} while (d->n > sizeof(d->p) - 1024);
}

/* The first member whose separator is at `from` or later, by the full reading. */
static size_t expected(const struct doc *d, size_t from)
{
	size_t i;

	for (i = 0; i < d->nsep; i++)
		if (d->sep[i] >= from)
			return d->sep[i] + 1 - from;
	return d->n - from;
}

static void tail_start_is_exact(void **state)
{
	struct doc d;
	size_t from, got;
	char *copy;
	int i;

	rng = 88172645463325252ull;
	for (i = 0; i < 20000; i++) {
		doc_make(&d);
		for (from = 0; from <= d.n; from++) {
			copy = malloc(d.n - from + 1); /* so that a read before it is found */
			memcpy(copy, d.p + from, d.n - from);
			got = json_tail_start(copy, d.n - from);
			free(copy);
			if (got != expected(&d, from))
				fail_msg("%.*s from %zu: %zu, not %zu", (int)d.n, d.p, from, got, expected(&d, from));
		}
	}
}

/* And what is read from there is what a full reading reports of those members. */
static void tail_reads_as_the_whole(void **state)
{
	static const char text[] =
		"{\"model\":\"a\\\"},{\\\\\",\"x\":{\"model\":\"no\"},"
		"\"usage\":{\"m\":[1,{}],\"n\":3},\"choices\":[{\"delta\":{\"content\":\"q\"}}]"
		", \"stop\" : \"wo\\\\\" ,\"y\":\"},\\\"model\\\":\\\"no\\\"{\",\"tokens\":[1,2]}\r\n";
	static const char *const all[] = {
		"0='a\"},{\\'8 ", "", "6={ 1=3 ", "3={ 2='q'1 ", "5='wo\\'4 ", "", "7=1 7=2 ",
	};
	size_t n = sizeof(text) - 1, from, at, i, commas;
	struct json_scan s;
	char want[256];

	for (from = 0; from < n; from++) {
		at = json_tail_start(text + from, n - from);
		said[0] = 0;
		json_init_members(&s, &tree, on_val, NULL);
		json_feed(&s, text + from + at, n - from - at);
		assert_int_equal(json_end(&s), at < n - from ? 0 : -EBADMSG);
		/* as many members as are left */
		want[0] = 0;
		for (commas = 0; commas < 7 && at < n - from; commas++)
			strcat(want, all[commas]);
		for (i = 0; i < 7 && strcmp(said, want); i++)
			memmove(want, want + strlen(all[i]), strlen(want + strlen(all[i])) + 1);
		assert_string_equal(said, want);
	}
}

/* Whatever it is given, it stays inside. */
static void tail_start_of_anything(void **state)
{
	static const char bits[] = "\"\\{}[],: a1\n";
	char p[64];
	size_t n, i, got;
	int k;

	rng = 1234567;
	for (k = 0; k < 200000; k++) {
		n = rnd(sizeof(p));
		for (i = 0; i < n; i++)
			p[i] = bits[rnd(sizeof(bits) - 1)];
		got = json_tail_start(p, n);
		assert_true(got <= n);
	}
	assert_int_equal(json_tail_start(p, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_wanted),
		cmocka_unit_test(any_split_is_the_same),
		cmocka_unit_test(what_is_no_json_is_refused),
		cmocka_unit_test(an_error_is_the_end),
		cmocka_unit_test(depth_has_no_limit_but_memory),
		cmocka_unit_test(long_strings_are_cut),
		cmocka_unit_test(long_numbers_are_not_guessed),
		cmocka_unit_test(trees_are_bounded),
		cmocka_unit_test(tail_start_is_exact),
		cmocka_unit_test(tail_reads_as_the_whole),
		cmocka_unit_test(tail_start_of_anything),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
