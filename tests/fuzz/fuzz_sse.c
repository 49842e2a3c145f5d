// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The body of an answer into a query. The first bytes say how: the dialect, whether it is a stream, whether the query
 * was guessed from its answer, the size of pieces. The rest is the body, in which "\xff\xff" is a gap of the length
 * that the next byte gives. Without a gap, the pieces make no difference.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	uint64_t hash, tokens;
	uint32_t n, over;
};

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const unsigned char *b = p;

	while (n--)
		h = (h ^ *b++) * 0x100000001b3ull;
	return h;
}

static void on_event(void *ctx, const struct wire_ev *e)
{
	struct sum *s = ctx;
	const unsigned char *p;

	if (s->over)
		abort(); /* nothing comes after WIRE_OVER */
	if (!s->n++ && e->kind != WIRE_OPEN)
		abort();
	s->hash = mix(s->hash, &e->kind, sizeof(e->kind));
	s->hash = mix(s->hash, &e->n, sizeof(e->n));
	s->hash = mix(s->hash, &e->ts_ns, sizeof(e->ts_ns));
	s->hash = mix(s->hash, &e->usage, sizeof(e->usage));
	s->tokens += e->kind == WIRE_TOKENS ? e->n : 0;
	s->over = e->kind == WIRE_OVER;
	if (e->usage.prompt < -1 || e->usage.cached < -1 || e->usage.completion < -1)
		abort();
	for (p = (const unsigned char *)(e->str ? e->str : ""); *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			abort();
	s->hash = mix(s->hash, e->str ? e->str : "", e->str ? strlen(e->str) : 0);
}

/* Body bytes in pieces, through the guess if there is one. */
static void body(struct wire *w, const struct wire_open *open, const char *p, size_t n, const struct bytes *b)
{
	const struct wire_ops *ops;

	if (!w->ops) {
		ops = wire_guess(w, p, n);
		if (!ops)
			return;
		wire_begin_answer(w, ops, open, b);
	}
	wire_response_body(w, p, n, b);
}

static size_t gap_at(const uint8_t *p, size_t n)
{
	const uint8_t *g = n > 2 ? memmem(p, n - 1, "\xff\xff", 2) : NULL;

	return g ? (size_t)(g - p) : n;
}

static int run(const uint8_t *p, size_t n, uint8_t how, size_t piece, struct sum *s)
{
	static const struct wire_open open;
	struct http_head head = { .status = 200, .length = -1 };
	struct bytes b = { .dir = CONN_OUT, .enter_ns = 10, .ret_ns = 11 };
	struct wire w = { .emit = on_event, .ctx = s, .query = 1 };
	size_t at, m;
	int gaps = 0, kinds;

	*s = (struct sum){ 0 };
	for (kinds = 0; dialects[kinds]; kinds++)
		;
	strcpy(head.type, how & 0x10 ? "text/event-stream" : "application/json");
	if (!(how & 0x20)) {
		wire_begin(&w, dialects[how % (unsigned)kinds], &open, 1);
		wire_request_body(&w, "{\"model\":\"m\"}", 13);
		if (!(how & 0x40))
			wire_request_end(&w, 2);
	}
	wire_response(&w, how & 0x80 ? NULL : &head, &b);
	while (n) {
		m = gap_at(p, n);
		for (at = 0; at < m; at += piece)
			body(&w, &open, (const char *)p + at, m - at < piece ? m - at : piece, &b);
		p += m;
		n -= m;
		if (n > 2) {
			body(&w, &open, NULL, p[2], &b);
			p += 3;
			n -= 3;
			gaps++;
		} else if (n) {
			body(&w, &open, (const char *)p, n, &b);
			n = 0;
		}
	}
	if (how & 0x40)
		wire_trouble(&w, WIRE_LOST, 12);
	wire_over(&w, (enum http_over)(1 + how % 4), 20, how & 1 ? 21 : 0);
	wire_over(&w, HTTP_CANCEL, 30, 30);
	if (w.ops && !s->over)
		abort();
	wire_release(&w);
	return gaps;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sum a, b, c;

	if (size < 2 || wire_setup())
		return 0;
	if (run(data + 2, size - 2, data[0], SIZE_MAX / 2, &a))
		return 0;
	run(data + 2, size - 2, data[0], 1, &b);
	run(data + 2, size - 2, data[0], 1 + data[1], &c);
	if (memcmp(&a, &b, sizeof(a)) || memcmp(&a, &c, sizeof(a)))
		abort();
	return 0;
}
