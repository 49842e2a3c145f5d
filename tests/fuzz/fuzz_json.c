// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Bytes into the JSON scanner: cut up or not, it reports the same; and where they are an object, the tail of it from
 * any place reads as the whole does from there on.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/util/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_path paths[] = {
	{ "a", 0 }, { "b.c", 1 }, { "d[].e", 2 }, { "d[]", 3 }, { "f[][]", 4 }, { "b", 5 },
	{ "usage.completion_tokens", 6 },
};
static struct json_tree tree;

/* What was reported, a hash of each value. */
struct said {
	uint64_t one[65536];
	size_t   n;
};

static struct said whole, other;

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const unsigned char *b = p;

	while (n--)
		h = (h ^ *b++) * 0x100000001b3ull;
	return h;
}

static void on_val(void *ctx, int id, const struct json_val *v)
{
	struct said *s = ctx;
	uint64_t h = mix(0xcbf29ce484222325ull, &id, sizeof(id));

	h = mix(h, &v->type, sizeof(v->type));
	if (v->type == JSON_STRING) {
		h = mix(h, v->str, v->len);
		h = mix(h, &v->total, sizeof(v->total));
		if (v->len > JSON_STR)
			abort();
	} else if (v->type == JSON_NUM && v->num == v->num) {
		h = mix(h, &v->num, sizeof(v->num));
	}
	if (s->n < sizeof(s->one) / sizeof(*s->one))
		s->one[s->n++] = h;
}

static int scan(struct said *s, const char *p, size_t n, size_t step)
{
	struct json_scan j;
	size_t at, m;

	s->n = 0;
	json_init(&j, &tree, on_val, s);
	for (at = 0; at < n; at += m) {
		m = step < n - at ? step : n - at;
		json_feed(&j, p + at, m);
	}
	return json_end(&j);
}

static void same(int a, int b)
{
	if (a != b || whole.n != other.n || memcmp(whole.one, other.one, whole.n * sizeof(*whole.one)))
		abort();
}

/* What the tail from `from` on says is the end of what the whole says. */
static void tail(const char *p, size_t n, size_t from)
{
	size_t at = json_tail_start(p + from, n - from);
	struct json_scan j;

	if (at > n - from)
		abort();
	if (at == n - from)
		return;
	other.n = 0;
	json_init_members(&j, &tree, on_val, &other);
	json_feed(&j, p + from + at, n - from - at);
	if (json_end(&j) || other.n > whole.n ||
	    memcmp(whole.one + whole.n - other.n, other.one, other.n * sizeof(*other.one)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t from, step = size > 4096 ? size / 512 : 1;
	int err;

	if (!tree.n && json_tree_init(&tree, paths, sizeof(paths) / sizeof(*paths)))
		abort();
	err = scan(&whole, p, size, size ? size : 1);
	same(err, scan(&other, p, size, 1));
	same(err, scan(&other, p, size, 3));
	for (from = 0; from < size && p[from] && strchr(" \t\r\n", p[from]); from++)
		;
	if (err || from == size || p[from] != '{') {
		(void)json_tail_start(p, size);
		return 0;
	}
	for (; from < size; from += step)
		tail(p, size, from);
	return 0;
}
