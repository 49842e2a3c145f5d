/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Calls of a scenario as bytes, for tests/fuzz/fuzz_http.c, and back. */
#ifndef IPW_TEST_WIRE_FUZZ_H
#define IPW_TEST_WIRE_FUZZ_H

#include "tests/lib/wire_records.h"

#define FUZZ_CALLS 256
#define FUZZ_LEN   0x3fff

enum fuzz_what { FUZZ_IN, FUZZ_OUT, FUZZ_IN_GAP, FUZZ_OUT_GAP, FUZZ_PEEK, FUZZ_STATE, FUZZ_IN_PIECES, FUZZ_UNIX };

/* The calls of an input; their data lies in it. Returns whether no byte of them is missing. */
static inline int fuzz_decode(const uint8_t *p, size_t n, struct call *c, size_t *ret_n)
{
	static const enum call_what states[] = {
		CALL_EOF, CALL_RESET, CALL_BROKEN, CALL_SHUT, CALL_SHUT_PEER, CALL_CLOSE,
	};
	static size_t cuts[FUZZ_CALLS][2];
	unsigned gen[4] = { 0 }, kind;
	size_t k, len;
	int whole = 1;

	for (k = 0; k < FUZZ_CALLS && n >= 3; k++, c++) {
		kind = p[0] & 7;
		len = (p[1] | (size_t)p[2] << 8) & FUZZ_LEN;
		*c = (struct call){ .what = CALL_IN, .conn = p[0] >> 3 & 3, .tid = 1 + (p[0] >> 3 & 3),
				    .twice = p[0] >> 5 & 1, .lost = p[0] >> 6 & 1, .enter_ns = T0_NS + k * 1000 * US };
		c->ret_ns = c->enter_ns + 250 * US;
		c->gen = gen[c->conn];
		c->kind = c->conn == 3 ? SOCK_UNIX : SOCK_IP4;
		p += 3;
		n -= 3;
		if ((kind == FUZZ_IN_GAP || kind == FUZZ_OUT_GAP) && n >= 3) {
			c->gap_at = p[0] | (size_t)p[1] << 8;
			c->gap_n = p[2];
			p += 3;
			n -= 3;
		}
		if (kind == FUZZ_STATE) {
			c->what = states[len % 6];
			gen[c->conn] += c->what == CALL_CLOSE;
			len = 0;
		} else if (kind == FUZZ_PEEK) {
			c->what = CALL_PEEK;
		} else if (kind == FUZZ_OUT || kind == FUZZ_OUT_GAP) {
			c->what = CALL_OUT;
		}
		len = len < n ? len : n;
		if (!len && (c->what == CALL_IN || c->what == CALL_OUT))
			c->what = CALL_EOF;
		if (kind == FUZZ_IN_PIECES && len > 2) {
			cuts[k][0] = len / 3;
			cuts[k][1] = len / 2 + 1;
			c->cut = cuts[k];
			c->ncut = 2;
			c->twice = 0; /* packet by packet, that would be another call */
		}
		c->data = (char *)(uintptr_t)p;
		c->len = len;
		p += len;
		n -= len;
		whole &= !c->gap_n && !c->lost;
	}
	*ret_n = k;
	return whole;
}

static inline void fuzz_encode(const struct call *c, struct text *t)
{
	uint8_t h[6] = { (uint8_t)((c->conn & 3) << 3 | c->twice << 5 | c->lost << 6) };
	size_t len = c->len < FUZZ_LEN ? c->len : FUZZ_LEN;

	if (c->what == CALL_OUT)
		h[0] |= FUZZ_OUT;
	else if (c->what == CALL_PEEK)
		h[0] |= FUZZ_PEEK;
	else if (c->what != CALL_IN)
		h[0] |= FUZZ_STATE;
	if (c->what > CALL_PEEK)
		len = c->what - CALL_EOF;
	h[1] = (uint8_t)len;
	h[2] = (uint8_t)(len >> 8);
	text_add(t, (char *)h, 3);
	if (c->what <= CALL_PEEK && len)
		text_add(t, c->data, len);
}

#endif
