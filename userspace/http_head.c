// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Lines, and the lines of a head. */
#include "userspace/http_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/util/str.h"

#define LINE_END     16 /* so many of the last bytes of a line that is too long are kept: "HTTP/1.1" is among them */

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

int http_line_take(struct http_side *s, const char **p, const char *end, const char **ret_line, size_t *ret_len)
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

size_t http_hex(const char *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n && i < 15; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			v = v << 4 | (uint64_t)(p[i] - '0');
		else if ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'f')
			v = v << 4 | (uint64_t)((p[i] | 32) - 'a' + 10);
		else
			break;
	}
	*ret = v;
	return i;
}

int http_chunk_line(struct http_side *s, const char **p, const char *end)
{
	size_t n = (size_t)(end - *p), i = 0;
	uint64_t size;

	if ((s->state != CHUNK_SIZE && s->state != CHUNK_END) || s->seen)
		return 0;
	if (s->state == CHUNK_SIZE) {
		i = http_hex(*p, n, &size);
		if (!i || !size)
			return 0;
	}
	if (n - i < 2 || (*p)[i] != '\r' || (*p)[i + 1] != '\n')
		return 0;
	if (s->state == CHUNK_SIZE)
		s->left = size;
	s->state = s->state == CHUNK_SIZE ? CHUNK_DATA : CHUNK_SIZE;
	*p += i + 2;
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

int http_request_line(const char *p, size_t n, struct http_head *ret)
{
	const char *sp1 = memchr(p, ' ', n), *sp2;

	if (!sp1 || !is_method(p, (size_t)(sp1 - p)) || n < 14)
		return 0;
	sp2 = memrchr(p, ' ', n);
	if (sp2 <= sp1 + 1 || (size_t)(p + n - sp2) != 9 || memcmp(sp2, " HTTP/1.", 8) ||
	    (sp2[8] != '0' && sp2[8] != '1'))
		return 0;
	if (!ret)
		return 1;
	memcpy(ret->method, p, (size_t)(sp1 - p));
	ret->minor = (uint8_t)(sp2[8] - '0');
	path_take(ret, sp1 + 1, (size_t)(sp2 - sp1 - 1));
	return 1;
}

int http_status_line(const char *p, size_t n, struct http_head *ret)
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

int http_may_start(const char *p, size_t n, enum conn_dir dir, int request)
{
	const char *sp = memchr(p, ' ', n);

	if (dir == CONN_OUT && !memcmp(p, "HTTP/1.", n < 7 ? n : 7))
		return 1;
	return request && is_method(p, sp ? (size_t)(sp - p) : n);
}

/* Digits alone; -1: it is no such number. */
static int64_t number(const char *v, size_t n)
{
	int64_t num = 0;
	size_t i;

	for (i = 0; i < n && v[i] >= '0' && v[i] <= '9' && num < INT64_MAX / 16; i++)
		num = 10 * num + (v[i] - '0');
	return n && i == n ? num : -1;
}

static void content_length(struct http_head *h, const char *v, size_t n)
{
	int64_t len = number(v, n);

	if (len < 0 || (h->length >= 0 && h->length != len))
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

void http_header_line(struct http_head *h, const char *p, size_t n, int cut)
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
	else if (str_ieq(p, nn, "x-prompt-tokens"))
		h->prompt_tokens = number(v, nv);
	else if (str_ieq(p, nn, "x-generated-tokens"))
		h->generated_tokens = number(v, nv);
	else if (str_ieq(p, nn, "upgrade"))
		h->upgrade = 1;
}
