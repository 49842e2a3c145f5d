// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finding the framing again. */
#include "userspace/http_internal.h"

#include <string.h>

#define RESYNC_TRIES 64 /* places in one message that may be looked at as a chunk boundary */

/* Byte `off` of a message, or -1 where it was not copied. */
static int byte_at(const struct bytes *b, uint64_t off)
{
	if (off < b->nhead)
		return (unsigned char)b->head[off];
	if (off >= b->total - b->ntail && off < b->total)
		return (unsigned char)b->tail[off - (b->total - b->ntail)];
	return -1;
}

/* A chunk-size line at off: where its data begins, and its size; 0 if there is none. */
static uint64_t chunk_at(const struct bytes *b, uint64_t off, uint64_t *ret_size)
{
	uint64_t size = 0, i;
	int c;

	for (i = off; i < off + 8; i++) {
		c = byte_at(b, i);
		if (c < 0 || !c || !strchr("0123456789abcdefABCDEF", c))
			break;
		size = size << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
	}
	if (i == off || byte_at(b, i) != '\r' || byte_at(b, i + 1) != '\n')
		return 0;
	*ret_size = size;
	return i + 2;
}

/*
 * Chunks follow one another from off exactly to the end of the message, and at least one of them is whole; where the
 * body is known to be chunked, the last one, which is empty, will do.
 */
static int chunks_add_up(const struct bytes *b, uint64_t off, int chunked)
{
	uint64_t at, size;
	int whole = 0;

	while (off < b->total) {
		at = chunk_at(b, off, &size);
		if (!at)
			return 0;
		if (!size) /* the last one: its line end may come in a send of its own */
			return (whole || chunked) && (at == b->total || (byte_at(b, at) == '\r' &&
			       byte_at(b, at + 1) == '\n' && at + 2 == b->total));
		off = at + size + 2;
		if (off > b->total || byte_at(b, off - 2) != '\r' || byte_at(b, off - 1) != '\n')
			return 0;
		whole = 1;
	}
	return whole;
}

/*
 * The message begins with a start line that is there whole; empty lines may stand before it. One that somebody has
 * written into a prompt or an answer has the quote behind it that closes the JSON string.
 */
static int begins_message(const struct bytes *b)
{
	const char *p = b->head, *end = p + b->nhead, *nl;
	size_t n;

	while (p < end && (*p == '\r' || *p == '\n'))
		p++;
	nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
	if (!nl || memchr(p, '"', (size_t)(nl - p)))
		return 0;
	n = (size_t)(nl - p);
	n -= n && p[n - 1] == '\r';
	return b->dir == CONN_IN ? http_request_line(p, n, NULL) : http_status_line(p, n, NULL);
}

/* To how many of the exchanges under way, the last ones, an answer may belong that was found again. */
static int may_own(const struct http *h, int begins)
{
	if (h->side[CONN_IN].state == LOST && !h->reading && h->last && h->last->start_ns)
		return 0; /* after the last request there was something that we could not read */
	return begins && h->depth == 2 && h->first->resp_begun ? 2 : 1;
}

/* From here on the body is a chunked one again; for an answer of which nothing was known, make an exchange. */
static int resume_chunks(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];

	if (b->dir == CONN_IN && !h->reading)
		return 0;
	if (b->dir == CONN_OUT && !http_only_last(h, may_own(h, 0), b->enter_ns))
		return 0;
	if (b->dir == CONN_OUT && !h->first && !http_x_new(h, 0))
		return 0;
	if (b->dir == CONN_OUT && !h->first->resp_begun) {
		h->first->resp_begun = 1;
		h->ops->response(h->ctx, h->first, NULL, b);
	}
	http_body(h, b, NULL, 0);
	http_side_reset(s);
	s->state = CHUNK_SIZE;
	return 1;
}

int http_resync_start(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];
	int answered = !h->first || h->side[CONN_OUT].state == LOST;

	if (begins_message(b) && (b->dir == CONN_OUT || answered)) {
		if (b->dir == CONN_OUT && !http_only_last(h, may_own(h, 1), b->enter_ns)) {
			http_become_opaque(h, HTTP_PIPELINED, b);
			return 0;
		}
		if (b->dir == CONN_IN && h->reading)
			http_request_read(h, b->ret_ns);
		http_side_reset(s);
		return 1;
	}
	return !s->bad && chunks_add_up(b, 0, s->chunked) && resume_chunks(h, b);
}

uint32_t http_resync_tail(struct http *h, const struct bytes *b)
{
	uint32_t i, tries = 0;

	for (i = 2; i < b->ntail && tries < RESYNC_TRIES && !h->side[b->dir].bad; i++) {
		if (b->tail[i - 2] != '\r' || b->tail[i - 1] != '\n')
			continue;
		tries++;
		if (chunks_add_up(b, b->total - b->ntail + i, h->side[b->dir].chunked))
			return resume_chunks(h, b) ? i : b->ntail;
	}
	return b->ntail;
}
