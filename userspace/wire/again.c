// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Most of a stream is one event again and again with another text and other numbers in it. An event that was read is
 * kept as a pattern: its bytes, without the values that differ from those of the event that was kept before. What fits
 * it says the same, but for the counts among those values, and is not read.
 */
#include "userspace/wire/internal.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MAX 480 /* bytes of a pattern */
#define HOLES     8
#define IN_VAIN   8   /* patterns that fitted nothing in a row: then only one event in so many more is kept */
#define RARELY    32
#define DIGITS    9   /* of a count that is not read by the scanner */
#define NOT_ASKED -1

struct hole {
	uint16_t at;     /* in `line`, in which nothing stands for it */
	int8_t   id;     /* enum wire_field or NOT_ASKED */
	uint8_t  quoted; /* a string, without its quotes; else a number */
};

struct again {
	uint16_t n;
	uint8_t  nhole, vain;
	struct hole hole[HOLES];
	struct wire_fields said; /* without model */
	char     line[AGAIN_MAX];
};

static int is_count(int id)
{
	return id == WF_COMPLETION || id == WF_PROMPT || id == WF_PROMPT_NEW || id == WF_PROMPT_MADE || id == WF_CACHED;
}

/* --- an event that fits ------------------------------------------------------------------------------------------- */

/* What stands for the hole at p; n: nothing that may. */
static size_t hole_len(const struct hole *h, const char *p, size_t n)
{
	size_t len;

	if (h->quoted) {
		len = json_string_len(p, n);
		return len || h->id != WF_TEXT ? len : n;
	}
	len = json_bare_len(p, n);
	return len && (*p == '-' || (*p >= '0' && *p <= '9')) ? len : n;
}

/* 0: too long, or no plain number. */
static int count_in(struct wire *w, int id, const char *p, size_t n)
{
	struct json_val v = { .type = JSON_NUM };
	size_t i;

	for (i = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++)
		v.num = 10 * v.num + (p[i] - '0');
	if (i < n || n > DIGITS)
		return 0;
	wire_field_in(w, id, &v);
	return 1;
}

size_t wire_again(struct wire *w, const char *p, size_t n)
{
	struct again *a = w->again;
	const struct hole *h;
	size_t at = 0, i = 0, len;

	if (!a)
		return 0;
	memcpy(&w->f, &a->said, offsetof(struct wire_fields, model));
	for (h = a->hole; h < a->hole + a->nhole; h++) {
		len = h->at - at;
		if (n - i <= len || memcmp(p + i, a->line + at, len))
			break;
		at = h->at;
		i += len;
		len = hole_len(h, p + i, n - i);
		if (len == n - i || (is_count(h->id) && !count_in(w, h->id, p + i, len)))
			break;
		i += len;
	}
	len = a->n - at;
	if (h == a->hole + a->nhole && n - i > len && !memcmp(p + i, a->line + at, len) &&
	    (p[i + len] == '\n' || p[i + len] == '\r')) {
		a->vain = 0;
		return i + len;
	}
	wire_fields_init(&w->f);
	return 0;
}

/* --- an event that is kept ---------------------------------------------------------------------------------------- */

struct maker {
	struct again *to;
	const struct again *old; /* NULL: only text differs */
	size_t   at, nhole;      /* how far it has been compared */
	struct json_scan scan;
	int      id;             /* of the value that was read last */
	uint32_t counts;         /* said so far: bits */
	int      twice;          /* one of them was, so that it matters which is the last */
};

static void on_value(void *ctx, int id, const struct json_val *v)
{
	struct maker *m = ctx;

	m->id = id;
	m->twice |= is_count(id) && (m->counts >> id & 1);
	m->counts |= 1u << id;
}

/* The next bytes are as in the old event, and go into the pattern. 0: they are not, or it is full. */
static int same(struct maker *m, const char *p, size_t n)
{
	struct again *to = m->to;

	if (n > AGAIN_MAX - (size_t)to->n)
		return 0;
	memcpy(to->line + to->n, p, n);
	to->n += (uint16_t)n;
	if (!m->old)
		return 1;
	m->at += n;
	return m->at <= m->old->n && !memcmp(m->old->line + m->at - n, p, n);
}

static int make_hole(struct maker *m, int quoted)
{
	if (m->to->nhole == HOLES)
		return 0;
	m->to->hole[m->to->nhole++] = (struct hole){ m->to->n, (int8_t)m->id, (uint8_t)quoted };
	return 1;
}

/* A value of n bytes. 0: nothing but a reader can say what it means that it differs. */
static int value(struct maker *m, const char *p, size_t n, int quoted)
{
	int text = quoted && m->id == WF_TEXT && n, may = m->id == NOT_ASKED || m->id == WF_TOKEN || m->id == WF_PART;
	const struct again *old = m->old;
	size_t left, was;

	may |= text || (!quoted && is_count(m->id) && n <= DIGITS);
	if (!old)
		return text ? make_hole(m, quoted) : same(m, p, n);
	if (m->nhole < old->nhole && old->hole[m->nhole].at == m->at) {
		m->nhole++;
		return may && make_hole(m, quoted);
	}
	left = old->n - m->at;
	was = quoted ? json_string_len(old->line + m->at, left) : json_bare_len(old->line + m->at, left);
	if (was == n && !memcmp(old->line + m->at, p, n))
		return same(m, p, n);
	m->at += was;
	return may && make_hole(m, quoted);
}

/* Whether a colon comes: then what was before is a key. */
static int colon_comes(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] == ' ' || p[i] == '\t'))
		i++;
	return i < n && p[i] == ':';
}

/* p is a whole JSON text that the scanner takes. */
static int make(struct maker *m, const struct again *old, const struct json_tree *t, const char *p, size_t n)
{
	size_t i = 0, from = 0, fed = 0, len;
	int quoted;

	*m = (struct maker){ .to = m->to, .old = old };
	m->to->n = m->to->nhole = 0;
	json_init(&m->scan, t, on_value, m);
	for (; i < n; i++) {
		quoted = p[i] == '"';
		if (!quoted && p[i] != '-' && (p[i] < '0' || p[i] > '9')) {
			i += p[i] >= 'a' && p[i] <= 'z' ? json_bare_len(p + i, n - i) - 1 : 0;
			continue;
		}
		len = quoted ? json_string_len(p + i + 1, n - i - 1) : json_bare_len(p + i, n - i);
		if (i < fed || i + quoted + len >= n)
			return 0;
		json_feed(&m->scan, p + fed, i - fed);
		m->id = NOT_ASKED;
		fed = i + quoted + len + 1;
		json_feed(&m->scan, p + i, fed - i);
		i += (size_t)quoted;
		if (!quoted || !colon_comes(p + fed, n - fed)) {
			if (!same(m, p + from, i - from) || !value(m, p + i, len, quoted))
				return 0;
			from = i + len;
		}
		i += len - !quoted;
	}
	json_feed(&m->scan, p + fed, n - fed);
	return same(m, p + from, n - from) && (!old || (m->at == old->n && m->nhole == old->nhole)) && !m->twice;
}

/* An event that is a part of the answer and no more. */
static int is_plain(const struct wire *w)
{
	const struct wire_fields *f = &w->f;

	return (f->parts || f->tokens) && !f->finish && !f->error && !(f->twin && w->ops->twin) &&
	       (w->has_model || !f->model[0]);
}

void wire_again_keep(struct wire *w, const char *p, size_t n)
{
	struct again *old = w->again, *to;
	struct maker m;

	if (!is_plain(w) || (old && old->vain++ >= IN_VAIN && old->vain % RARELY))
		return;
	to = malloc(sizeof(*to));
	if (!to)
		return;
	m.to = to;
	if ((!old || !make(&m, old, w->answer, p, n)) && !make(&m, NULL, w->answer, p, n)) {
		free(to);
		return;
	}
	memcpy(&to->said, &w->f, offsetof(struct wire_fields, model));
	to->vain = old ? old->vain : 0;
	free(old);
	w->again = to;
}
