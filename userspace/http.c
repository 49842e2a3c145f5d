// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/util/str.h"

enum state {
	START,      /* a start line comes */
	HEADER,
	FIXED,      /* body of known length */
	CHUNK_SIZE,
	CHUNK_DATA,
	CHUNK_END,  /* the line end after a chunk's data */
	TRAILER,
	UNTIL_EOF,  /* body that ends with the connection */
	LOST,       /* framing unknown until something proves it */
};

#define RESYNC_TRIES 64 /* places in one message that may be looked at as a chunk boundary */
#define LINE_END     16 /* so many of the last bytes of a line that is too long are kept: "HTTP/1.1" is among them */

const char *http_why(enum http_opaque o)
{
	static const char *const why[] = {
		[HTTP_READABLE] = "HTTP/1", [HTTP_TLS] = "TLS", [HTTP_H2] = "HTTP/2", [HTTP_UPGRADED] = "upgraded, as WebSocket is",
		[HTTP_CLIENT] = "the process is the client", [HTTP_OTHER] = "not HTTP",
		[HTTP_PIPELINED] = "pipelined beyond what is followed",
	};

	return why[o];
}

void http_init(struct http *h, const struct http_ops *ops, void *ctx, struct conn *c)
{
	*h = (struct http){ .ops = ops, .ctx = ctx, .conn = c };
}

/* --- exchanges ---------------------------------------------------------------------------------------------------- */

static struct http_x *x_new(struct http *h, uint64_t start_ns)
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

static void request_read(struct http *h, uint64_t ts_ns)
{
	struct http_x *x = h->reading, *y;

	h->reading = NULL;
	x->req_done = 1;
	h->ops->request_end(h->ctx, x, ts_ns);
	for (y = h->first; y && y != x; y = y->next)
		;
	if (!y)
		x_free(h, x);
}

static void side_reset(struct http_side *s)
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
	side_reset(&h->side[CONN_IN]);
	side_reset(&h->side[CONN_OUT]);
}

/* We see no more of what is under way. */
static void lose_sight(struct http *h, uint64_t ts_ns)
{
	struct http_x *x;

	for (x = h->first; x; x = x->next)
		x_over(h, x, HTTP_LOST, ts_ns, ts_ns);
	http_release(h);
}

static void become_opaque(struct http *h, enum http_opaque why, const struct bytes *b)
{
	struct http_x *x;

	h->opaque = (uint8_t)why;
	for (x = h->first; x; x = x->next)
		h->ops->trouble(h->ctx, x);
	lose_sight(h, b->ret_ns);
}

static void framing_lost(struct http *h, enum conn_dir dir)
{
	struct http_x *x = dir == CONN_OUT ? h->first : h->reading;

	side_reset(&h->side[dir]);
	h->side[dir].state = LOST;
	if (x)
		h->ops->trouble(h->ctx, x);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

/* Adds to the line that is kept; when it is full, its last bytes give way to later ones. */
static void line_keep(struct http_side *s, const char *p, size_t n)
{
	char *last;
	size_t m;

	if (!s->line)
		s->line = malloc(HTTP_LINE_MAX);
	if (!s->line)
		return;
	m = n < HTTP_LINE_MAX - s->nline ? n : HTTP_LINE_MAX - s->nline;
	memcpy(s->line + s->nline, p, m);
	s->nline += (uint32_t)m;
	p += m;
	n -= m;
	last = s->line + HTTP_LINE_MAX - LINE_END;
	m = n < LINE_END ? n : LINE_END;
	memmove(last, last + m, LINE_END - m);
	memcpy(last + LINE_END - m, p + n - m, m);
}

/*
 * Takes input up to and with the next '\n'. 1: a line is in *ret_line, without its line end. 0: it goes on in the next
 * input, and what there is of it is kept in s->line.
 */
static int line_take(struct http_side *s, const char **p, const char *end, const char **ret_line, size_t *ret_len)
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p)), *stop = nl ? nl : end;
	size_t n = (size_t)(stop - *p);

	s->seen = n < UINT32_MAX - s->seen ? s->seen + (uint32_t)n : UINT32_MAX;
	s->cut = s->seen > HTTP_LINE_MAX;
	*ret_line = *p;
	if (!nl || s->nline || s->cut) {
		line_keep(s, *p, n);
		*ret_line = s->line;
		n = s->nline;
	}
	*p = nl ? nl + 1 : end;
	if (!nl)
		return 0;
	if (n && (*ret_line)[n - 1] == '\r')
		n--;
	*ret_len = n;
	return 1;
}

/* --- heads -------------------------------------------------------------------------------------------------------- */

static int is_method(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((p[i] >= 'A' && p[i] <= 'Z') || (i && p[i] == '-')))
			return 0;
	return n > 0 && n < 16;
}

/* The target as it may be shown: path alone, in origin and absolute form. */
static void path_take(struct http_head *h, const char *p, size_t n)
{
	const char *slash;
	size_t i;

	if (n > 8 && (!strncasecmp(p, "http://", 7) || !strncasecmp(p, "https://", 8))) {
		i = p[4] == ':' ? 7 : 8;
		slash = memchr(p + i, '/', n - i);
		n = slash ? n - (size_t)(slash - p) : 0;
		p = slash ? slash : p;
	}
	for (i = 0; i < n && p[i] != '?' && p[i] != '#' && p[i] != ';'; i++)
		;
	str_clean(h->path, sizeof(h->path), p, i);
}

/* "METHOD target HTTP/1.x". Whether it is one. */
static int request_line(const char *p, size_t n, struct http_head *ret)
{
	const char *sp1 = memchr(p, ' ', n), *sp2;

	if (!sp1 || !is_method(p, (size_t)(sp1 - p)) || n < 14)
		return 0;
	sp2 = memrchr(p, ' ', n);
	if (sp2 <= sp1 + 1 || (size_t)(p + n - sp2) != 9 || memcmp(sp2, " HTTP/1.", 8) || (sp2[8] != '0' && sp2[8] != '1'))
		return 0;
	if (!ret)
		return 1;
	memcpy(ret->method, p, (size_t)(sp1 - p));
	ret->minor = (uint8_t)(sp2[8] - '0');
	path_take(ret, sp1 + 1, (size_t)(sp2 - sp1 - 1));
	return 1;
}

/* "HTTP/1.x DDD reason". */
static int status_line(const char *p, size_t n, struct http_head *ret)
{
	int i, status = 0;

	if (n < 12 || memcmp(p, "HTTP/1.", 7) || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return 0;
	for (i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		status = 10 * status + (p[i] - '0');
	}
	if (status < 100)
		return 0;
	if (ret) {
		ret->minor = (uint8_t)(p[7] - '0');
		ret->status = status;
	}
	return 1;
}

static void content_length(struct http_head *h, const char *v, size_t n)
{
	int64_t len = 0;
	size_t i;

	for (i = 0; i < n && v[i] >= '0' && v[i] <= '9' && len < INT64_MAX / 16; i++)
		len = 10 * len + (v[i] - '0');
	if (!n || i < n || (h->length >= 0 && h->length != len))
		h->bad = 1;
	else
		h->length = len;
}

/* Only "chunked", alone and once, is a framing that all readers agree on. */
static void transfer_encoding(struct http_head *h, const char *v, size_t n)
{
	if (str_ieq(v, n, "chunked") && !h->chunked)
		h->chunked = 1;
	else if (!str_ieq(v, n, "identity"))
		h->bad = 1;
}

/* version "-" 32 hex of the trace "-" ... */
static void traceparent(struct http_head *h, const char *v, size_t n)
{
	size_t i;

	if (n < 55 || v[2] != '-' || v[35] != '-')
		return;
	for (i = 3; i < 35; i++)
		if (!strchr("0123456789abcdef", v[i]))
			return;
	memcpy(h->trace_id, v + 3, 32);
}

static void header_line(struct http_head *h, const char *p, size_t n, int cut)
{
	const char *colon = memchr(p, ':', n), *v;
	size_t nn, nv;

	if (p[0] == ' ' || p[0] == '\t') {
		h->bad |= h->framing; /* the line before goes on: some readers see that, some do not */
		return;
	}
	h->framing = 0;
	if (!colon)
		return;
	nn = (size_t)(colon - p);
	v = colon + 1;
	nv = n - nn - 1;
	for (; nv && (*v == ' ' || *v == '\t'); v++)
		nv--;
	for (; nv && (v[nv - 1] == ' ' || v[nv - 1] == '\t');)
		nv--;
	h->framing = str_ieq(p, nn, "content-length") || str_ieq(p, nn, "transfer-encoding");
	h->bad |= h->framing && cut;
	if (nn && (p[nn - 1] == ' ' || p[nn - 1] == '\t'))
		h->bad |= str_ihas(p, nn, "content-length") || str_ihas(p, nn, "transfer-encoding");
	else if (str_ieq(p, nn, "content-length"))
		content_length(h, v, nv);
	else if (str_ieq(p, nn, "transfer-encoding"))
		transfer_encoding(h, v, nv);
	else if (str_ieq(p, nn, "content-type"))
		str_clean(h->type, sizeof(h->type), v, nv);
	else if (str_ieq(p, nn, "content-encoding"))
		str_clean(h->encoding, sizeof(h->encoding), v, nv);
	else if (str_ieq(p, nn, "x-request-id"))
		str_clean(h->request_id, sizeof(h->request_id), v, nv);
	else if (str_ieq(p, nn, "traceparent"))
		traceparent(h, v, nv);
	else if (str_ieq(p, nn, "upgrade"))
		h->upgrade = 1;
}

/* --- what follows a head ------------------------------------------------------------------------------------------ */

static void message_end(struct http *h, const struct bytes *b)
{
	struct http_x *x = h->first;

	side_reset(&h->side[b->dir]);
	if (b->dir == CONN_IN) {
		request_read(h, b->ret_ns);
	} else {
		x_over(h, x, HTTP_DONE, b->enter_ns, b->ret_ns);
		x_pop(h);
	}
}

static void body_begin(struct http *h, const struct http_head *head, const struct bytes *b, int none, int until_eof)
{
	struct http_side *s = &h->side[b->dir];

	if (head->bad) {
		framing_lost(h, b->dir);
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
	if (out->state == LOST && h->first) {
		x_over(h, h->first, HTTP_LOST, b->ret_ns, b->ret_ns);
		x_pop(h);
		side_reset(out);
	}
	x = h->depth < HTTP_PIPELINE_MAX ? x_new(h, h->side[CONN_IN].start_ns) : NULL;
	if (!x) {
		become_opaque(h, HTTP_PIPELINED, b);
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
		become_opaque(h, HTTP_UPGRADED, b);
		return;
	}
	if (head->status < 200) {
		side_reset(&h->side[CONN_OUT]);
		return;
	}
	if (x && x->resp_begun) { /* a second head: the rest of the first answer was lost */
		x_over(h, x, HTTP_LOST, b->enter_ns, b->ret_ns);
		x_pop(h);
		x = h->first;
	}
	if (!x)
		x = x_new(h, 0);
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
		become_opaque(h, HTTP_TLS, b);
	else if (n >= sizeof(h2) - 1 && !memcmp(p, h2, sizeof(h2) - 1))
		become_opaque(h, HTTP_H2, b);
	else if (b->dir == CONN_OUT && request_line(p, n, NULL))
		become_opaque(h, HTTP_CLIENT, b);
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
	s->head->length = -1;
	if (b->dir == CONN_IN ? request_line(p, n, s->head) : status_line(p, n, s->head)) {
		s->state = HEADER;
		h->known = 1;
	} else {
		not_http(h, b, p, n);
	}
}

static void chunk_size(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	struct http_side *s = &h->side[b->dir];
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < n && i < 15 && p[i] && strchr("0123456789abcdefABCDEF", p[i]); i++)
		size = size << 4 | (uint64_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	if (!i || (i < n && p[i] != ';' && p[i] != ' ' && p[i] != '\t')) {
		framing_lost(h, b->dir);
		return;
	}
	s->left = size;
	s->state = size ? CHUNK_DATA : TRAILER;
}

static void on_line(struct http *h, const struct bytes *b, const char *p, size_t n)
{
	struct http_side *s = &h->side[b->dir];

	switch (s->state) {
	case START:
		start_line(h, b, p, n);
		break;
	case HEADER:
		if (n)
			header_line(s->head, p, n, s->cut);
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

static void on_body(struct http *h, const struct bytes *b, const char *p, size_t n)
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

/* A start line may begin so: with a version in an answer, with a method in a request. */
static int may_start(const char *p, size_t n, enum conn_dir dir, int request)
{
	const char *sp = memchr(p, ' ', n);

	if (dir == CONN_OUT && !memcmp(p, "HTTP/1.", n < 7 ? n : 7))
		return 1;
	return request && is_method(p, sp ? (size_t)(sp - p) : n);
}

/* What cannot become a start line is found out before its line end comes, if one ever does. */
static int start_is_hopeless(const struct http *h, const struct http_side *s, enum conn_dir dir)
{
	size_t n = s->nline;

	if (!n || s->seen > HTTP_START_MAX)
		return n > 0;
	if (n == 1 && (s->line[0] == '\r' || is_tls(s->line[0])))
		return 0; /* the next byte tells */
	return !may_start(s->line, n, dir, dir == CONN_IN || !h->known);
}

static void feed_line(struct http *h, const struct bytes *b, const char **p, const char *end)
{
	struct http_side *s = &h->side[b->dir];
	const char *line;
	size_t len;

	if (s->state == START && !s->seen && !s->start_ns)
		s->start_ns = b->ret_ns;
	if (line_take(s, p, end, &line, &len)) {
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
			feed_line(h, b, &p, end);
			continue;
		}
		m = (size_t)(end - p);
		if (s->state != UNTIL_EOF && m > s->left)
			m = (size_t)s->left;
		on_body(h, b, p, m);
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
		on_body(h, b, NULL, (size_t)n);
		body_passed(h, b, n);
	} else {
		framing_lost(h, b->dir);
	}
}

/* --- finding the framing again ------------------------------------------------------------------------------------ */

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

/* Chunks follow one another from off exactly to the end of the message, and at least one of them is whole. */
static int chunks_add_up(const struct bytes *b, uint64_t off)
{
	uint64_t at, size;
	int whole = 0;

	while (off < b->total) {
		at = chunk_at(b, off, &size);
		if (!at)
			return 0;
		if (!size) /* the last one: its line end may come in a send of its own */
			return at == b->total || (byte_at(b, at) == '\r' && byte_at(b, at + 1) == '\n' && at + 2 == b->total);
		off = at + size + 2;
		if (off > b->total || byte_at(b, off - 2) != '\r' || byte_at(b, off - 1) != '\n')
			return 0;
		whole = 1;
	}
	return whole;
}

/* The message begins with a start line that is there whole. */
static int begins_message(const struct bytes *b)
{
	const char *nl = b->nhead ? memchr(b->head, '\n', b->nhead) : NULL;
	size_t n;

	if (!nl)
		return 0;
	n = (size_t)(nl - b->head);
	n -= n && b->head[n - 1] == '\r';
	return b->dir == CONN_IN ? request_line(b->head, n, NULL) : status_line(b->head, n, NULL);
}

/* From here on the body is a chunked one again; for an answer of which nothing was known, make an exchange. */
static int resume_chunks(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];

	if (b->dir == CONN_IN ? !h->reading : h->depth > 1 || (!h->first && !x_new(h, 0)))
		return 0; /* of several answers, nobody knows which */
	if (b->dir == CONN_OUT && !h->first->resp_begun) {
		h->first->resp_begun = 1;
		h->ops->response(h->ctx, h->first, NULL, b);
	} else {
		on_body(h, b, NULL, 0);
	}
	side_reset(s);
	s->state = CHUNK_SIZE;
	return 1;
}

/* At the start of a message, with the framing lost: whether its bytes can be read from here on. */
static int resync_start(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];
	int answered = !h->first || h->side[CONN_OUT].state == LOST;

	if (begins_message(b) && (b->dir == CONN_OUT || answered)) {
		/* An answer to which of them? */
		if (b->dir == CONN_OUT && h->first && h->depth - h->first->resp_begun > 1) {
			become_opaque(h, HTTP_PIPELINED, b);
			return 0;
		}
		if (b->dir == CONN_IN && h->reading)
			request_read(h, b->ret_ns);
		side_reset(s);
		return 1;
	}
	return chunks_add_up(b, 0) && resume_chunks(h, b);
}

/* In the copied end of a message: the first place from which it can be read; ntail if there is none. */
static uint32_t resync_tail(struct http *h, const struct bytes *b)
{
	uint32_t i, tries = 0;

	for (i = 2; i < b->ntail && tries < RESYNC_TRIES; i++) {
		if (b->tail[i - 2] != '\r' || b->tail[i - 1] != '\n')
			continue;
		tries++;
		if (chunks_add_up(b, b->total - b->ntail + i))
			return resume_chunks(h, b) ? i : b->ntail;
	}
	return b->ntail;
}

/* --- entry points ------------------------------------------------------------------------------------------------- */

/* The first bytes that we see of a connection may be in the middle of an answer. */
static int begins_midway(const struct http *h, const struct bytes *b)
{
	const struct http_side *s = &h->side[CONN_OUT];

	return b->dir == CONN_OUT && s->state == START && !s->seen && !h->first && !h->conn->bytes[CONN_IN] &&
	       h->conn->bytes[CONN_OUT] == b->total && b->nhead && !is_tls(b->head[0]) &&
	       !may_start(b->head, b->nhead < 16 ? b->nhead : 16, CONN_OUT, 1);
}

void http_bytes(struct http *h, const struct bytes *b)
{
	struct http_side *s = &h->side[b->dir];
	uint32_t from = 0;

	if (h->opaque || h->server_done)
		return;
	if (!h->known && h->conn->bytes[CONN_IN] + h->conn->bytes[CONN_OUT] > HTTP_STRANGE_MAX) {
		become_opaque(h, HTTP_OTHER, b);
		return;
	}
	gap(h, b, b->lost);
	if (begins_midway(h, b))
		s->state = LOST;
	if (s->state == LOST && !h->opaque && !resync_start(h, b))
		goto tail;
	feed(h, b, b->head, b->nhead);
	gap(h, b, b->total - b->nhead - b->ntail);
tail:
	if (s->state == LOST && !h->opaque)
		from = resync_tail(h, b);
	if (s->state != LOST)
		feed(h, b, b->tail + from, b->ntail - from);
}

static void client_gone(struct http *h, uint64_t ts_ns)
{
	struct http_x *x;

	for (x = h->first; x; x = x->next)
		x_over(h, x, HTTP_CANCEL, ts_ns, ts_ns);
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
