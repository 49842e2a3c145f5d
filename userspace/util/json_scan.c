// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	VALUE,      /* a value comes, or the end of an array */
	KEY,        /* a key comes, or the end of an object */
	COLON,
	AFTER,      /* a value has ended: comma or closing bracket */
	STR,
	STR_ESC,
	STR_HEX,
	NUM,
	WORD,       /* true, false, null */
	DONE,
	BAD,
};

static int8_t node_child(const struct json_tree *t, int8_t parent, const char *key, size_t len)
{
	int8_t i;

	if (parent < 0)
		return -1;
	for (i = t->node[parent].child; i >= 0; i = t->node[i].next)
		if (t->node[i].len == len && !memcmp(t->node[i].key, key, len))
			return i;
	return -1;
}

void json_init(struct json_scan *s, const struct json_tree *tree, json_fn fn, void *ctx)
{
	s->tree = tree;
	s->fn = fn;
	s->ctx = ctx;
	s->state = VALUE;
	s->depth = 0;
	s->arrays = 0;
	s->cur = 0;
	s->high = 0;
	s->at[0] = -1;
}

void json_init_members(struct json_scan *s, const struct json_tree *tree, json_fn fn, void *ctx)
{
	json_init(s, tree, fn, ctx);
	s->depth = 1;
	s->at[1] = 0;
	s->state = KEY;
}

static int in_array(const struct json_scan *s)
{
	return s->depth && s->depth <= JSON_DEPTH && (s->arrays >> (s->depth - 1) & 1);
}

static int is_wanted(const struct json_scan *s)
{
	return s->cur >= 0 && s->tree->node[s->cur].id >= 0;
}

static void report(struct json_scan *s, enum json_type type, double num)
{
	struct json_val v = { .type = type, .str = s->buf, .len = s->nbuf, .total = s->total, .num = num };

	if (is_wanted(s))
		s->fn(s->ctx, s->tree->node[s->cur].id, &v);
}

static void value_ended(struct json_scan *s)
{
	s->state = s->depth ? AFTER : DONE;
}

static void open_container(struct json_scan *s, int array)
{
	report(s, array ? JSON_ARRAY : JSON_OBJECT, 0);
	s->depth++;
	if (s->depth > JSON_DEPTH)
		return; /* in there only brackets and strings are followed */
	s->at[s->depth] = s->cur;
	if (array) {
		s->arrays |= 1u << (s->depth - 1);
		s->cur = node_child(s->tree, s->cur, "[]", 2);
		s->state = VALUE;
	} else {
		s->arrays &= ~(1u << (s->depth - 1));
		s->state = KEY;
	}
}

static void close_container(struct json_scan *s, char c)
{
	if (!s->depth || (s->depth <= JSON_DEPTH && in_array(s) != (c == ']'))) {
		s->state = BAD;
		return;
	}
	s->depth--;
	value_ended(s);
}

static void begin_string(struct json_scan *s, int is_key)
{
	s->is_key = (uint8_t)is_key;
	s->wanted = is_key || is_wanted(s);
	s->nbuf = 0;
	s->total = 0;
	s->high = 0;
	s->state = STR;
}

static void keep(struct json_scan *s, char c)
{
	if (s->nbuf < sizeof(s->buf))
		s->buf[s->nbuf++] = c;
}

static void end_string(struct json_scan *s)
{
	if (s->depth > JSON_DEPTH) {
		s->state = AFTER;
	} else if (s->is_key) {
		s->cur = node_child(s->tree, s->at[s->depth], s->buf, s->nbuf);
		s->state = COLON;
	} else {
		report(s, JSON_STRING, 0);
		value_ended(s);
	}
}

/* Most numbers are a few digits. A longer one than JSON_STR was not kept whole. */
static double number(const char *p, size_t n)
{
	uint32_t v = 0;
	size_t i;

	for (i = 0; i < n && i < 9 && p[i] >= '0' && p[i] <= '9'; i++)
		v = 10 * v + (uint32_t)(p[i] - '0');
	return i == n ? v : n < JSON_STR ? strtod(p, NULL) : NAN;
}

/* A scalar without quotes has met its end; the byte after it is not consumed. */
static void end_bare(struct json_scan *s)
{
	static const struct {
		const char    *word;
		enum json_type type;
	} words[] = { { "null", JSON_NULL }, { "false", JSON_FALSE }, { "true", JSON_TRUE } };
	char num[JSON_STR + 1];
	size_t i, n = s->nbuf;

	memcpy(num, s->buf, n);
	num[n] = 0;
	value_ended(s);
	if (s->buf[0] == '-' || (s->buf[0] >= '0' && s->buf[0] <= '9')) {
		if (is_wanted(s))
			report(s, JSON_NUM, number(num, n));
		return;
	}
	for (i = 0; i < 3; i++)
		if (!strcmp(num, words[i].word)) {
			report(s, words[i].type, 0);
			return;
		}
	s->state = BAD;
}

/* Returns bytes consumed. */
static size_t bare_run(struct json_scan *s, const char *p, size_t n)
{
	size_t len = json_bare_len(p, n), room = sizeof(s->buf) - s->nbuf;

	room = room < len ? room : len;
	memcpy(s->buf + s->nbuf, p, room);
	s->nbuf += room;
	if (len < n)
		end_bare(s);
	return len;
}

static void on_value(struct json_scan *s, char c)
{
	switch (c) {
	case '"':
		begin_string(s, 0);
		return;
	case '{':
	case '[':
		open_container(s, c == '[');
		return;
	case ' ':
	case '\n':
	case '\r':
	case '\t':
		return;
	}
	if (c == ']' && in_array(s)) {
		close_container(s, c);
	} else if (json_bare_len(&c, 1)) {
		s->nbuf = 0;
		s->state = WORD;
		keep(s, c);
	} else {
		s->state = BAD;
	}
}

static void on_key(struct json_scan *s, char c)
{
	if (c == '"')
		begin_string(s, 1);
	else if (c == '}')
		close_container(s, c);
	else
		s->state = BAD;
}

static void on_after(struct json_scan *s, char c)
{
	int array = in_array(s);

	if (c == ',') {
		s->state = array ? VALUE : KEY;
		s->cur = array ? node_child(s->tree, s->at[s->depth], "[]", 2) : -1;
	} else if (c == '}' || c == ']') {
		close_container(s, c);
	} else {
		s->state = BAD;
	}
}

/* Where a key, colon, comma or bracket may stand, and space. After the end (DONE) nothing but space may follow. */
static void on_structure(struct json_scan *s, char c)
{
	if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		return;
	if (s->state == AFTER)
		on_after(s, c);
	else if (s->state == COLON)
		s->state = c == ':' ? VALUE : BAD;
	else if (s->state == KEY)
		on_key(s, c);
	else
		s->state = BAD;
}

static void keep_utf8(struct json_scan *s, uint32_t c)
{
	if (c < 0x80) {
		keep(s, (char)c);
	} else if (c < 0x800) {
		keep(s, (char)(0xc0 | c >> 6));
		keep(s, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		keep(s, (char)(0xe0 | c >> 12));
		keep(s, (char)(0x80 | (c >> 6 & 0x3f)));
		keep(s, (char)(0x80 | (c & 0x3f)));
	} else {
		keep(s, (char)(0xf0 | c >> 18));
		keep(s, (char)(0x80 | (c >> 12 & 0x3f)));
		keep(s, (char)(0x80 | (c >> 6 & 0x3f)));
		keep(s, (char)(0x80 | (c & 0x3f)));
	}
}

/* What follows a high surrogate is no low one. */
static void end_surrogate(struct json_scan *s)
{
	if (s->high && s->wanted)
		keep_utf8(s, 0xfffd);
	s->high = 0;
}

static void on_code_unit(struct json_scan *s)
{
	uint32_t c = s->code;

	if (c >= 0xdc00 && c < 0xe000 && s->high) {
		c = 0x10000 + ((s->high - 0xd800) << 10) + (c - 0xdc00);
		s->high = 0;
	}
	end_surrogate(s);
	if (c >= 0xd800 && c < 0xdc00)
		s->high = c;
	else if (s->wanted)
		keep_utf8(s, c < 0xdc00 || c > 0xdfff ? c : 0xfffd);
}

static void on_escape(struct json_scan *s, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *e;

	s->total++;
	if (c == 'u') {
		s->esc = 4;
		s->code = 0;
		s->state = STR_HEX;
		return;
	}
	e = memchr(from, c, sizeof(from) - 1);
	if (!e) {
		s->state = BAD;
		return;
	}
	end_surrogate(s);
	if (s->wanted)
		keep(s, to[e - from]);
	s->state = STR;
}

static void on_hex(struct json_scan *s, char c)
{
	uint32_t d;

	s->total++;
	if (c >= '0' && c <= '9')
		d = (uint32_t)(c - '0');
	else if ((c | 32) >= 'a' && (c | 32) <= 'f')
		d = (uint32_t)((c | 32) - 'a' + 10);
	else {
		s->state = BAD;
		return;
	}
	s->code = s->code << 4 | d;
	if (--s->esc)
		return;
	s->state = STR;
	on_code_unit(s);
}

/*
 * At a quote: a string that is all there, with no escape in it, as nearly all are, is not copied. Returns bytes
 * consumed, 0 if it is no such one.
 */
static size_t whole_string(struct json_scan *s, const char *p, size_t n)
{
	struct json_val v = { .type = JSON_STRING, .str = p + 1, .total = json_plain_len(p + 1, n - 1) };

	if (v.total + 2 > n || p[v.total + 1] != '"')
		return 0;
	if (s->state == KEY) {
		s->cur = node_child(s->tree, s->at[s->depth], v.str, v.total < JSON_STR ? v.total : JSON_STR);
		s->state = COLON;
	} else {
		v.len = v.total < JSON_STR ? v.total : JSON_STR;
		if (is_wanted(s))
			s->fn(s->ctx, s->tree->node[s->cur].id, &v);
		value_ended(s);
	}
	return v.total + 2;
}

/* Runs of plain bytes in a string are most of every text, so they get a loop of their own. Returns bytes consumed. */
static size_t string_run(struct json_scan *s, const char *p, size_t n)
{
	size_t i = json_plain_len(p, n), room;

	s->total += i;
	if (i || (i < n && p[i] == '"'))
		end_surrogate(s);
	if (s->wanted) {
		room = sizeof(s->buf) - s->nbuf;
		room = room < i ? room : i;
		memcpy(s->buf + s->nbuf, p, room);
		s->nbuf += room;
	}
	if (i == n)
		return i;
	if (p[i] == '"')
		end_string(s);
	else if (p[i] == '\\') {
		s->state = STR_ESC;
		s->total++;
	} else {
		s->state = BAD; /* a raw control character */
	}
	return i + 1;
}

/* Deeper than we follow: only where strings and brackets end. */
static void on_deep(struct json_scan *s, char c)
{
	if (c == '"') {
		begin_string(s, 0);
		s->wanted = 0;
	} else if (c == '{' || c == '[') {
		s->depth++;
	} else if (c == '}' || c == ']') {
		s->depth--;
		if (s->depth == JSON_DEPTH)
			s->state = AFTER;
	}
}

void json_feed(struct json_scan *s, const char *p, size_t n)
{
	size_t i = 0, whole;

	while (i < n && s->state != BAD) {
		switch (s->state) {
		case STR:
			i += string_run(s, p + i, n - i);
			break;
		case STR_ESC:
			on_escape(s, p[i++]);
			break;
		case STR_HEX:
			on_hex(s, p[i++]);
			break;
		case WORD:
			i += bare_run(s, p + i, n - i);
			break;
		default:
			if (s->depth > JSON_DEPTH)
				on_deep(s, p[i++]);
			else if (p[i] == '"' && s->state <= KEY && (whole = whole_string(s, p + i, n - i)))
				i += whole;
			else if (s->state == VALUE)
				on_value(s, p[i++]);
			else
				on_structure(s, p[i++]);
		}
	}
}

int json_begun(const struct json_scan *s)
{
	return s->depth || s->state != VALUE;
}

int json_end(struct json_scan *s)
{
	if (s->state == WORD && !s->depth)
		end_bare(s);
	return s->state == DONE ? 0 : -EBADMSG;
}
