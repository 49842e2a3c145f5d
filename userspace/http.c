// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/http_internal.h"

#include <stdlib.h>
#include <string.h>

const char *http_why(enum http_opaque o)
{
	static const char *const why[] = {
		[HTTP_READABLE] = "HTTP/1", [HTTP_TLS] = "TLS", [HTTP_H2] = "HTTP/2",
		[HTTP_UPGRADED] = "upgraded, as WebSocket is", [HTTP_CLIENT] = "the process is the client",
		[HTTP_OTHER] = "not HTTP", [HTTP_PIPELINED] = "pipelined beyond what is followed",
	};

	return (unsigned)o < sizeof(why) / sizeof(*why) ? why[o] : NULL;
}

void http_init(struct http *h, const struct http_ops *ops, void *ctx, struct conn *c)
{
	*h = (struct http){ .ops = ops, .ctx = ctx, .conn = c };
}

/* --- exchanges ---------------------------------------------------------------------------------------------------- */

struct http_x *http_x_new(struct http *h, uint64_t start_ns)
{
	struct http_x *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->conn = h->conn;
	x->start_ns = start_ns;
	*(h->last ? &h->last->next : &h->first) = x;
	h->last = x;
	h->depth++;
	return x;
}

static void x_over(struct http *h, struct http_x *x, enum http_over how, uint64_t enter_ns, uint64_t ret_ns)
{
	x->over = 1;
	h->ops->over(h->ctx, x, how, enter_ns, ret_ns);
}

static void x_free(struct http *h, struct http_x *x)
{
	h->ops->gone(h->ctx, x);
	free(x);
}

/* The oldest exchange has its response; it lives on only while its request is still being read. */
static void x_pop(struct http *h)
{
	struct http_x *x = h->first;

	h->first = x->next;
	if (!h->first)
		h->last = NULL;
	h->depth--;
	if (x != h->reading)
		x_free(h, x);
}

int http_only_last(struct http *h, int most, uint64_t ts_ns)
{
	if (h->depth > most && h->pipelined)
		return 0;
	while (h->depth > most) {
		x_over(h, h->first, HTTP_LOST, ts_ns, ts_ns);
		x_pop(h);
	}
	return 1;
}

void http_request_read(struct http *h, uint64_t ts_ns)
{
	struct http_x *x = h->reading, *y;

	h->reading = NULL;
	h->req_end_ns = ts_ns;
	x->req_done = 1;
	h->ops->request_end(h->ctx, x, ts_ns);
	for (y = h->first; y && y != x; y = y->next)
		;
	if (!y)
		x_free(h, x);
}

void http_side_reset(struct http_side *s)
{
	free(s->line);
	free(s->head);
	*s = (struct http_side){ .state = START };
}

void http_release(struct http *h)
{
	while (h->first)
		x_pop(h);
	if (h->reading)
		x_free(h, h->reading);
	h->reading = NULL;
	http_side_reset(&h->side[CONN_IN]);
	http_side_reset(&h->side[CONN_OUT]);
}

/* We see no more of what is under way. */
static void lose_sight(struct http *h, uint64_t ts_ns)
{
	struct http_x *x;

	for (x = h->first; x; x = x->next)
		x_over(h, x, HTTP_LOST, ts_ns, ts_ns);
	http_release(h);
}

void http_become_opaque(struct http *h, enum http_opaque why, const struct bytes *b)
{
	struct http_x *x;

	h->opaque = (uint8_t)why;
	for (x = h->first; x; x = x->next)
		h->ops->trouble(h->ctx, x, HTTP_UNREADABLE);
	lose_sight(h, b->ret_ns);
}

static void framing_lost(struct http *h, enum conn_dir dir)
{
	struct http_x *x = dir == CONN_OUT ? h->first : h->reading;
	struct http_side *s = &h->side[dir];
	uint8_t chunked = s->state >= CHUNK_SIZE && s->state <= TRAILER;

	http_side_reset(s);
	s->state = LOST;
	s->chunked = chunked;
	if (x)
		h->ops->trouble(h->ctx, x, HTTP_UNREADABLE);
}

/* Bytes of this direction went by whose records never came. */
static void bytes_lost(struct http *h, enum conn_dir dir)
{
	struct http_x *x = dir == CONN_OUT ? h->first : h->reading;

	if (x)
		h->ops->trouble(h->ctx, x, HTTP_EVENTS_LOST);
}

/* --- what follows a head ------------------------------------------------------------------------------------------ */

static void message_end(struct http *h, const struct bytes *b)
{
	struct http_x *x = h->first;

	http_side_reset(&h->side[b->dir]);
	if (b->dir == CONN_IN) {
		http_request_read(h, b->ret_ns);
	} else {
		x_over(h, x, HTTP_DONE, b->enter_ns, b->ret_ns);
		x_pop(h);
		h->pipelined |= h->first != NULL;
	}
}

static void body_begin(struct http *h, const struct http_head *head, const struct bytes *b, int none, int until_eof)
{
	struct http_side *s = &h->side[b->dir];

	if (head->bad) {
		framing_lost(h, b->dir);
		s->bad = 1;
	} else if (none) {
		message_end(h, b);
	} else if (head->chunked) {
		s->state = CHUNK_SIZE;
	} else if (head->length > 0) {
		s->state = FIXED;
		s->left = (uint64_t)head->length;
	} else if (!head->length || !until_eof) {
		message_end(h, b);
	} else {
		s->state = UNTIL_EOF;
	}
}

static void request_head(struct http *h, const struct http_head *head, const struct bytes *b)
{
	struct http_side *out = &h->side[CONN_OUT];
	struct http_x *x;

	/* The client goes on to its next request, so an answer that we lost sight of is over. */
	if (out->state == LOST && h->first && http_only_last(h, 0, b->ret_ns))
		http_side_reset(out);
	h->pipelined |= h->first && h->side[CONN_IN].start_ns == h->req_end_ns; /* in one message */
	x = h->depth < HTTP_PIPELINE_MAX ? http_x_new(h, h->side[CONN_IN].start_ns) : NULL;
	if (!x) {
		http_become_opaque(h, HTTP_PIPELINED, b);
		return;
	}
	x->head = !strcmp(head->method, "HEAD");
	x->connect = !strcmp(head->method, "CONNECT");
	h->reading = x;
	h->ops->request(h->ctx, x, head);
	body_begin(h, head, b, 0, 0);
}

static void response_head(struct http *h, const struct http_head *head, const struct bytes *b)
{
	struct http_x *x = h->first;

	if (head->status == 101 || (x && x->connect && head->status / 100 == 2)) {
		http_become_opaque(h, HTTP_UPGRADED, b);
		return;
	}
	if (head->status < 200) {
		http_side_reset(&h->side[CONN_OUT]);
		return;
	}
	if (x && x->resp_begun) { /* a second head: the rest of the first answer was lost */
		x_over(h, x, HTTP_LOST, b->enter_ns, b->ret_ns);
		x_pop(h);
		x = h->first;
	}
	if (!x)
		x = http_x_new(h, 0);
	if (!x)
		return;
	x->resp_begun = 1;
	h->ops->response(h->ctx, x, head, b);
	body_begin(h, head, b, x->head || head->status == 204 || head->status == 304, 1);
}

static void head_end(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];
	struct http_head *head = s->head;

	s->head = NULL;
	if (b->dir == CONN_IN)
		request_head(h, head, b);
	else
		response_head(h, head, b);
	free(head);
}

/* --- one line, one piece of body ---------------------------------------------------------------------------------- */

/* The type of a TLS record, which is followed by a 3. */
static int is_tls(char c)
{
	return c >= 0x14 && c <= 0x17;
}

/* What it is none of may still be the middle of a body: see HTTP_STRANGE_MAX. */
static void not_http(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	static const char h2[] = "PRI * HTTP/2.0";

	if (h->known)
		framing_lost(h, b->dir);
	else if (n > 1 && is_tls(p[0]) && p[1] == 3)
		http_become_opaque(h, HTTP_TLS, b);
	else if (n >= sizeof(h2) - 1 && !memcmp(p, h2, sizeof(h2) - 1))
		http_become_opaque(h, HTTP_H2, b);
	else if (b->dir == CONN_OUT && http_request_line(p, n, NULL))
		http_become_opaque(h, HTTP_CLIENT, b);
	else
		framing_lost(h, b->dir);
}

static void start_line(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	struct http_side *s = &h->side[b->dir];

	if (!n) {
		s->start_ns = 0; /* an empty line before a start line is allowed */
		return;
	}
	s->head = calloc(1, sizeof(*s->head));
	if (!s->head) {
		framing_lost(h, b->dir);
		return;
	}
	s->head->length = s->head->prompt_tokens = s->head->generated_tokens = -1;
	if (b->dir == CONN_IN ? http_request_line(p, n, s->head) : http_status_line(p, n, s->head)) {
		s->state = HEADER;
		h->known = 1;
	} else {
		not_http(h, b, p, n);
	}
}

static void chunk_size(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	struct http_side *s = &h->side[b->dir];
	size_t i = http_hex(p, n, &s->left);

	if (!i || (i < n && p[i] != ';' && p[i] != ' ' && p[i] != '\t'))
		framing_lost(h, b->dir);
	else
		s->state = s->left ? CHUNK_DATA : TRAILER;
}

static void on_line(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	struct http_side *s = &h->side[b->dir];

	switch (s->state) {
	case START:
		start_line(h, b, p, n);
		break;
	case HEADER:
		if (n && b->dir == CONN_IN && h->ops->header)
			h->ops->header(h->ctx, s->head, p, n, s->cut);
		if (n)
			http_header_line(s->head, p, n, s->cut);
		else
			head_end(h, b);
		break;
	case CHUNK_SIZE:
		chunk_size(h, b, p, n);
		break;
	case CHUNK_END:
		if (n)
			framing_lost(h, b->dir);
		else
			s->state = CHUNK_SIZE;
		break;
	default: /* TRAILER */
		if (!n)
			message_end(h, b);
	}
}

void http_body(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	if (b->dir == CONN_IN)
		h->ops->request_body(h->ctx, h->reading, p, n);
	else
		h->ops->response_body(h->ctx, h->first, p, n, b);
}

/* n bytes of body passed, seen or not; they are within what is left. */
static void body_passed(struct http *h, const struct bytes *b, uint64_t n)
{
	struct http_side *s = &h->side[b->dir];

	if (s->state == UNTIL_EOF)
		return;
	s->left -= n;
	if (s->left)
		return;
	if (s->state == FIXED)
		message_end(h, b);
	else
		s->state = CHUNK_END;
}

/* What cannot become a start line is found out before its line end comes, if one ever does. */
static int start_is_hopeless(const struct http *h, const struct http_side *s, enum conn_dir dir)
{
	size_t n = s->nline;

	if (!n || s->seen > HTTP_START_MAX)
		return n > 0;
	if (n == 1 && (s->line[0] == '\r' || is_tls(s->line[0])))
		return 0; /* the next byte tells */
	return !http_may_start(s->line, n, dir, dir == CONN_IN || !h->known);
}

static void feed_line(struct http *h, const struct bytes *b, const char **p, const char *end)
{
	struct http_side *s = &h->side[b->dir];
	const char *line;
	size_t len;

	if (s->state == START && !s->seen && !s->start_ns)
		s->start_ns = b->ret_ns;
	if (http_line_take(s, p, end, &line, &len)) {
		char *kept = s->line; /* on_line may reset the side, and must not free the line under its own feet */

		s->line = NULL;
		s->nline = s->seen = 0;
		on_line(h, b, line, len);
		free(kept);
	} else if (s->state == START && s->line && start_is_hopeless(h, s, b->dir)) {
		not_http(h, b, s->line, s->nline);
	}
}

static void feed(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	struct http_side *s = &h->side[b->dir];
	const char *end = p + n;
	size_t m;

	while (p < end && !h->opaque && s->state != LOST) {
		if (s->state != FIXED && s->state != CHUNK_DATA && s->state != UNTIL_EOF) {
			if (!http_chunk_line(s, &p, end))
				feed_line(h, b, &p, end);
			continue;
		}
		m = (size_t)(end - p);
		if (s->state != UNTIL_EOF && m > s->left)
			m = (size_t)s->left;
		http_body(h, b, p, m);
		p += m;
		body_passed(h, b, m);
	}
}

static void gap(struct http *h, const struct bytes *b, uint64_t n)
{
	struct http_side *s = &h->side[b->dir];

	if (h->opaque || s->state == LOST || !n)
		return;
	if (s->state == UNTIL_EOF || ((s->state == FIXED || s->state == CHUNK_DATA) && n <= s->left)) {
		http_body(h, b, NULL, (size_t)n);
		body_passed(h, b, n);
	} else {
		framing_lost(h, b->dir);
	}
}

/* --- entry points ------------------------------------------------------------------------------------------------- */

/* The first bytes that we see of a connection may be in the middle of an answer. */
static int begins_midway(const struct http *h, const struct bytes *b)
{
	const struct http_side *s = &h->side[CONN_OUT];

	return b->dir == CONN_OUT && s->state == START && !s->seen && !h->first && !h->conn->bytes[CONN_IN] &&
	       h->conn->bytes[CONN_OUT] == b->total && b->nhead && !is_tls(b->head[0]) &&
	       !http_may_start(b->head, b->nhead < 16 ? b->nhead : 16, CONN_OUT, 1);
}

void http_bytes(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];
	uint32_t from = 0;

	if (h->opaque || h->server_done)
		return;
	if (!h->known && h->conn->bytes[CONN_IN] + h->conn->bytes[CONN_OUT] > HTTP_STRANGE_MAX) {
		http_become_opaque(h, HTTP_OTHER, b);
		return;
	}
	if (b->lost)
		bytes_lost(h, b->dir);
	gap(h, b, b->lost);
	if (begins_midway(h, b))
		s->state = LOST;
	if (s->state == LOST && !h->opaque && !http_resync_start(h, b))
		goto tail;
	feed(h, b, b->head, b->nhead);
	gap(h, b, b->total - b->nhead - b->ntail);
tail:
	if (s->state == LOST && !h->opaque)
		from = http_resync_tail(h, b);
	if (s->state != LOST)
		feed(h, b, b->tail + from, b->ntail - from);
}

static void client_gone(struct http *h, uint64_t ts_ns)
{
	/* Of an answer that we lost sight of nobody knows whether it was complete by now. */
	enum http_over how = h->side[CONN_OUT].state == LOST ? HTTP_LOST : HTTP_CANCEL;
	struct http_x *x;

	for (x = h->first; x; x = x->next)
		x_over(h, x, how, ts_ns, ts_ns);
}

static void server_closed(struct http *h, uint64_t ts_ns)
{
	uint8_t state = h->side[CONN_OUT].state;
	enum http_over how = state == UNTIL_EOF ? HTTP_DONE : state == LOST ? HTTP_LOST : HTTP_CUT;
	struct http_x *x;

	h->server_done = 1;
	for (x = h->first; x; x = x->next) {
		x_over(h, x, how, ts_ns, how == HTTP_DONE ? 0 : ts_ns);
		how = state == LOST ? HTTP_LOST : HTTP_CUT;
	}
	http_release(h);
}

void http_conn_over(struct http *h, enum conn_over what, uint64_t ts_ns)
{
	if (what == CONN_EOF || what == CONN_RESET)
		client_gone(h, ts_ns);
	else if (what == CONN_EVICTED)
		lose_sight(h, ts_ns);
	else
		server_closed(h, ts_ns);
}
