// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/row.h"

#include <endian.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/util/json_scan.h"

#define DEPTH    64 /* of a value that is skipped */
#define NO_VALUE "no value where one should be"

enum kind { IS_TEXT, IS_NUM, IS_FLAGS, IS_SKIPPED };

#define FIELD(name, kind, at) { "\"" name "\":", sizeof("\"" name "\":") - 1, kind, at }

/* In the order in which they are usually written: each is first looked for behind the one before. */
static const struct field {
	const char *key; /* as it is written, 6 to 24 bytes: "key": */
	uint8_t     len, kind, at;
} fields[] = {
	FIELD("type", IS_TEXT, ROW_TYPE), FIELD("query_id", IS_TEXT, ROW_QUERY), FIELD("model", IS_TEXT, ROW_MODEL),
	FIELD("hardware", IS_TEXT, ROW_HARDWARE), FIELD("dataset", IS_TEXT, ROW_DATASET),
	FIELD("category", IS_TEXT, ROW_CATEGORY), FIELD("difficulty", IS_TEXT, ROW_DIFFICULTY),
	FIELD("correct", IS_NUM, ROW_CORRECT), FIELD("ppl", IS_NUM, ROW_PPL), FIELD("energy_j", IS_NUM, ROW_ENERGY),
	FIELD("power_w", IS_NUM, ROW_POWER), FIELD("duration_s", IS_NUM, ROW_DURATION),
	FIELD("ttft_s", IS_NUM, ROW_TTFT), FIELD("prompt_tokens", IS_NUM, ROW_PROMPT),
	FIELD("cached_tokens", IS_NUM, ROW_CACHED), FIELD("completion_tokens", IS_NUM, ROW_COMPLETION),
	FIELD("flops", IS_NUM, ROW_FLOPS), FIELD("cost_usd", IS_NUM, ROW_COST), FIELD("source", IS_SKIPPED, 0),
	FIELD("flags", IS_FLAGS, 0), FIELD("scope", IS_TEXT, ROW_SCOPE), FIELD("gross_j", IS_NUM, ROW_GROSS),
	FIELD("concurrency_mean", IS_NUM, ROW_CONCURRENCY), FIELD("busy_s", IS_NUM, ROW_BUSY),
	FIELD("read_bytes", IS_NUM, ROW_BYTES), FIELD("end", IS_TEXT, ROW_END),
};

#define FIELDS (sizeof(fields) / sizeof(*fields))

struct cursor {
	const char *p, *end, *why;
};

void row_num_name(enum row_num f, char *buf, size_t size)
{
	const struct field *d;

	for (d = fields; d->kind != IS_NUM || d->at != f; d++)
		;
	snprintf(buf, size, "%.*s", d->len - 3, d->key + 1);
}

static int bad(struct cursor *c, const char *why)
{
	c->why = c->why ? c->why : why;
	return -EBADMSG;
}

static inline uint64_t load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* Of 6 to 24 bytes. */
static inline int same(const char *a, const char *b, size_t n)
{
	uint32_t v[4];

	if (n >= 8)
		return load(a) == load(b) && (n <= 16 || load(a + 8) == load(b + 8)) &&
		       load(a + n - 8) == load(b + n - 8);
	memcpy(v, a, 4);
	memcpy(v + 1, b, 4);
	memcpy(v + 2, a + n - 4, 4);
	memcpy(v + 3, b + n - 4, 4);
	return v[0] == v[1] && v[2] == v[3];
}

static void space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
}

/* The next byte that is not space, 0 at the end. */
static inline char peek(struct cursor *c)
{
	if (c->p < c->end && (unsigned char)*c->p > ' ')
		return *c->p;
	space(c);
	return c->p < c->end ? *c->p : 0;
}

static inline int take(struct cursor *c, char want)
{
	if (peek(c) != want)
		return 0;
	c->p++;
	return 1;
}

static inline int word(struct cursor *c, const char *w)
{
	size_t n = strlen(w);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, w, n))
		return 0;
	c->p += n;
	return 1;
}

/* Behind the opening quote. Returns the length, and is behind the closing quote. */
static int string(struct cursor *c, const char **ret, size_t *ret_len)
{
	size_t n = (size_t)(c->end - c->p), len = json_plain_len(c->p, n);

	if (len < n && c->p[len] != '"')
		len = json_string_len(c->p, n);
	if (len == n)
		return bad(c, "a string without an end, or with a byte that may not be in one");
	*ret = c->p;
	*ret_len = len;
	c->p += len + 1;
	return 0;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static double scaled(uint64_t m, long e)
{
	static const double p10[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
				      1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

	if (!m)
		return 0;
	if (e >= 0 && e <= 22)
		return (double)m * p10[e];
	if (e < 0 && e >= -22)
		return (double)m / p10[-e];
	return (double)((long double)m * powl(10, (long double)e));
}

/* Eight digits at once: each step adds pairs of what the one before left. 0 if they are not all digits. */
static inline int eight(const char *p, uint64_t *ret)
{
	uint64_t v = le64toh(load(p));

	if (((v & 0xf0f0f0f0f0f0f0f0) | ((v + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4) != 0x3333333333333333)
		return 0;
	v -= 0x3030303030303030;
	v = v * 10 + (v >> 8);
	v = (v & 0x00ff00ff00ff00ff) * 100 + (v >> 16 & 0x00ff00ff00ff00ff);
	v = (v & 0x0000ffff0000ffff) * 10000 + (v >> 32 & 0xffff);
	*ret = v & 0xffffffff;
	return 1;
}

/* Digits into m, of which 18 fit; returns how many there were, and adds to lost those that did not fit. */
static inline long digits(struct cursor *c, uint64_t *m, long *lost)
{
	const char *begin = c->p;
	uint64_t v;

	for (; c->end - c->p >= 8 && *m < 1000000000 && eight(c->p, &v); c->p += 8)
		*m = *m * 100000000 + v;
	for (; c->p < c->end && (unsigned)(*c->p - '0') < 10; c->p++) {
		if (*m < 100000000000000000ull)
			*m = *m * 10 + (unsigned)(*c->p - '0');
		else
			++*lost;
	}
	return c->p - begin;
}

static int fraction(struct cursor *c, uint64_t *m, long *exponent)
{
	long lost = 0, n;

	c->p++;
	n = digits(c, m, &lost);
	*exponent -= n - lost;
	return n ? 0 : bad(c, NO_VALUE);
}

static int power_of_ten(struct cursor *c, long *exponent)
{
	uint64_t e = 0;
	long lost = 0;
	int down;

	c->p++;
	down = word(c, "-");
	if (!down)
		word(c, "+");
	if (!digits(c, &e, &lost))
		return bad(c, NO_VALUE);
	e = e > 100000 || lost ? 100000 : e;
	*exponent += down ? -(long)e : (long)e;
	return 0;
}

static int number(struct cursor *c, double *ret)
{
	int negative = word(c, "-");
	const char *begin = c->p;
	long exponent = 0, n;
	uint64_t m = 0;

	n = digits(c, &m, &exponent);
	if (!n || (n > 1 && *begin == '0'))
		return bad(c, NO_VALUE);
	if (c->p < c->end && *c->p == '.' && fraction(c, &m, &exponent))
		return -EBADMSG;
	if (c->p < c->end && (*c->p | 32) == 'e' && power_of_ten(c, &exponent))
		return -EBADMSG;
	*ret = negative ? -scaled(m, exponent) : scaled(m, exponent);
	return 0;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static int literal(struct cursor *c)
{
	return word(c, "null") || word(c, "true") || word(c, "false") || word(c, "NaN") || word(c, "Infinity") ||
	       word(c, "-Infinity");
}

/* Any value, and forgets it. */
static int skip(struct cursor *c)
{
	char open[DEPTH], ch;
	int depth = 0;
	const char *s;
	size_t n;
	double v;

	do {
		ch = peek(c);
		if (ch == '{' || ch == '[') {
			if (depth == DEPTH)
				return bad(c, "nested too deep");
			open[depth++] = ch;
			c->p++;
		} else if (depth && ch == (open[depth - 1] == '{' ? '}' : ']')) {
			depth--;
			c->p++;
		} else if (depth && (ch == ',' || ch == ':')) {
			c->p++;
		} else if (ch == '"') {
			c->p++;
			if (string(c, &s, &n))
				return -EBADMSG;
		} else if (!literal(c) && number(c, &v)) {
			return -EBADMSG;
		}
	} while (depth);
	return 0;
}

static int text(struct cursor *c, struct row *r, enum row_text at)
{
	const char *s = c->p;
	size_t n;
	double v;
	char *end;

	if (peek(c) == '"') {
		c->p++;
		if (string(c, &s, &n))
			return -EBADMSG;
		if (n > UINT16_MAX)
			return bad(c, "a text that is too long");
		if (memchr(s, '\\', n)) {
			if (n > sizeof(r->buf) - r->decoded)
				return bad(c, "a text that is too long");
			end = json_unescape(r->buf + r->decoded, s, n);
			s = r->buf + r->decoded;
			n = (size_t)(end - s);
			r->decoded += (uint16_t)n;
		}
	} else if (word(c, "null")) {
		n = 0;
	} else { /* an id may be a number */
		s = c->p;
		if (number(c, &v))
			return -EBADMSG;
		n = (size_t)(c->p - s);
	}
	r->text[at] = s;
	r->len[at] = (uint32_t)n;
	return 0;
}

static int verdict(struct cursor *c, struct row *r)
{
	double v = NAN;

	if (word(c, "true")) {
		v = 1;
	} else if (word(c, "false")) {
		v = 0;
	} else if (!word(c, "null") && (number(c, &v) || (v != 0 && v != 1))) {
		c->why = "\"correct\" is neither 0, 1 nor null";
		return -EBADMSG;
	}
	r->num[ROW_CORRECT] = v;
	return 0;
}

static int quantity(struct cursor *c, struct row *r, enum row_num at)
{
	double v = NAN;

	if (word(c, "null"))
		return 0;
	if (!word(c, "NaN") && !word(c, "Infinity") && !word(c, "-Infinity") && number(c, &v))
		return -EBADMSG;
	if (!(v >= (at <= ROW_PPL ? FLT_MIN : 0) && v <= FLT_MAX)) {
		r->odd |= 1u << at;
		return 0;
	}
	r->num[at] = v;
	return 0;
}

/* As they are written: an escape in a flag of ours is none of ours. */
static int flags(struct cursor *c, struct row *r)
{
	static const char estimated[] = "\"estimated\"";
	const char *begin = c->p;
	int err = skip(c);

	r->estimated |= !err && memmem(begin, (size_t)(c->p - begin), estimated, sizeof(estimated) - 1);
	return err;
}

static int value(struct cursor *c, struct row *r, int f, uint32_t *seen)
{
	if (f < 0 || fields[f].kind == IS_SKIPPED)
		return skip(c);
	if (*seen & 1u << f)
		return bad(c, "a field that is given twice");
	*seen |= 1u << f;
	peek(c);
	if (fields[f].kind == IS_TEXT)
		return text(c, r, fields[f].at);
	if (fields[f].kind == IS_FLAGS)
		return flags(c, r);
	return fields[f].at == ROW_CORRECT ? verdict(c, r) : quantity(c, r, fields[f].at);
}

/* A key of ours that is not where it was expected, or written with blanks, or none of ours: -1. */
static int find_key(const char *key, size_t n)
{
	size_t f;

	for (f = 0; f < FIELDS; f++)
		if (fields[f].len == n + 3 && !memcmp(fields[f].key + 1, key, n))
			return (int)f;
	return -1;
}

/* Behind the colon of the next key. Which it is in ret_f. */
static int key(struct cursor *c, struct row *r, int *ret_f)
{
	const struct field *want = &fields[r->next];
	const char *s;
	size_t n;

	peek(c);
	if (c->end - c->p >= want->len && same(c->p, want->key, want->len)) {
		c->p += want->len;
		*ret_f = r->next;
	} else {
		if (!take(c, '"'))
			return bad(c, "no key where one should be");
		if (string(c, &s, &n))
			return -EBADMSG;
		if (!take(c, ':'))
			return bad(c, "no colon after a key");
		*ret_f = find_key(s, n);
	}
	if (*ret_f >= 0)
		r->next = *ret_f + 1 == FIELDS ? 0 : (uint8_t)(*ret_f + 1);
	return 0;
}

static int object(struct cursor *c, struct row *r)
{
	uint32_t seen = 0;
	int f;

	if (!take(c, '{'))
		return bad(c, "no JSON object");
	if (take(c, '}'))
		return 0;
	do {
		if (key(c, r, &f) || value(c, r, f, &seen))
			return -EBADMSG;
	} while (take(c, ','));
	return take(c, '}') ? 0 : bad(c, "no comma or end after a value");
}

static int is(const struct row *r, enum row_text at, const char *s)
{
	return r->len[at] == strlen(s) && !memcmp(r->text[at], s, r->len[at]);
}

int row_parse(struct row *r, const char *line, size_t n, const char **ret_why)
{
	struct cursor c = { line, line + n, NULL };
	int i, err;

	for (i = 0; i < ROW_TEXTS; i++) {
		r->text[i] = "";
		r->len[i] = 0;
	}
	for (i = 0; i < ROW_NUMS; i++)
		r->num[i] = NAN;
	r->odd = 0;
	r->decoded = 0;
	r->estimated = 0;
	if (r->next >= FIELDS)
		r->next = 0;
	err = object(&c, r);
	space(&c);
	if (!err && c.p < c.end)
		err = bad(&c, "something after the object");
	if (!err && !r->len[ROW_TYPE])
		err = bad(&c, "no \"type\"");
	if (!err && !is(r, ROW_TYPE, "result"))
		return 1;
	for (i = ROW_QUERY; !err && i <= ROW_HARDWARE; i++)
		if (!r->len[i])
			err = bad(&c, i == ROW_QUERY ? "no \"query_id\"" : i == ROW_MODEL ? "no \"model\"" :
				      "no \"hardware\"");
	*ret_why = c.why;
	return err;
}
