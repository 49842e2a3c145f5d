// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/util/json_scan.h"

#define DEPTH    32
#define NAME_MAX_BYTES 1024 /* of a column */

struct column {
	char  *name;
	int    valued;   /* some line has something there */
	size_t at, len;  /* of this line's cell, in text; len 0: empty */
};

struct csv {
	struct column *col;
	size_t n, cap, next; /* next: the column that probably comes next */
	char  *text;         /* of the line's cells, one after the other */
	size_t ntext, text_cap;
	char   name[NAME_MAX_BYTES];
	const char *p, *end, *type;
	int    depth, is_type, err;
	int    known;        /* the header is written: what is new (the file has grown) is left out */
};

static int grow(void *p, size_t *cap, size_t want, size_t size)
{
	void **at = p, *more;
	size_t n = *cap ? *cap : 64;

	while (n < want)
		n *= 2;
	if (n == *cap)
		return 0;
	more = realloc(*at, n * size);
	if (!more)
		return -ENOMEM;
	*at = more;
	*cap = n;
	return 0;
}

/* --- cells -------------------------------------------------------------------------------------------------------- */

static struct column *column(struct csv *c)
{
	size_t i, k;

	for (i = 0; i < c->n; i++) {
		k = c->next + i < c->n ? c->next + i : c->next + i - c->n;
		if (!strcmp(c->col[k].name, c->name)) {
			c->next = k + 1;
			return &c->col[k];
		}
	}
	if (c->known)
		return NULL;
	if (c->n == CSV_COLUMNS)
		c->err = -E2BIG;
	else
		c->err = grow(&c->col, &c->cap, c->n + 1, sizeof(*c->col));
	if (c->err)
		return NULL;
	c->col[c->n] = (struct column){ .name = strdup(c->name) };
	if (!c->col[c->n].name) {
		c->err = -ENOMEM;
		return NULL;
	}
	c->next = c->n + 1;
	return &c->col[c->n++];
}

/* One more text in a cell that has some already goes behind them: cells are written one after the other. */
static void cell(struct csv *c, const char *s, size_t n, int decode)
{
	struct column *k = column(c);
	size_t had = k ? k->len : 0, at;

	if (!k || !n || (c->err = grow(&c->text, &c->text_cap, c->ntext + had + n + 1, 1)))
		return;
	at = had && k->at + had == c->ntext ? k->at : c->ntext; /* the last one grows where it is */
	if (had) {
		memmove(c->text + at, c->text + k->at, had);
		c->text[at + had++] = ';';
	}
	k->at = at;
	if (decode) {
		k->len = (size_t)(json_unescape(c->text + k->at + had, s, n) - (c->text + k->at));
	} else {
		memcpy(c->text + k->at + had, s, n);
		k->len = had + n;
	}
	c->ntext = k->at + k->len;
}

/* --- one line ----------------------------------------------------------------------------------------------------- */

static char peek(struct csv *c)
{
	while (c->p < c->end && strchr(" \t\r\n", *c->p) && *c->p)
		c->p++;
	return c->p < c->end ? *c->p : 0;
}

static int bad(struct csv *c)
{
	c->err = c->err ? c->err : -EBADMSG;
	return -1;
}

/* At a quote: what stands in it. */
static int string(struct csv *c, const char **ret, size_t *ret_n)
{
	size_t left = (size_t)(c->end - ++c->p), n = json_string_len(c->p, left);

	if (n == left)
		return bad(c);
	*ret = c->p;
	*ret_n = n;
	c->p += n + 1;
	return 0;
}

static int value(struct csv *c, size_t name);

/* The name is that of what holds this, which has so many bytes; returns with which it goes on, or 0: too long. */
static size_t under(struct csv *c, size_t name, const char *s, size_t n)
{
	size_t dot = name > 0;

	if (name + dot + n >= NAME_MAX_BYTES)
		return 0;
	if (dot)
		c->name[name] = '.';
	name = (size_t)(json_unescape(c->name + name + dot, s, n) - c->name);
	c->name[name] = 0;
	return name;
}

static int members(struct csv *c, size_t name)
{
	const char *s;
	size_t n, deep;

	c->p++;
	if (peek(c) == '}')
		return c->p++, 0;
	for (;; c->p++) {
		if (peek(c) != '"' || string(c, &s, &n) || peek(c) != ':')
			return bad(c);
		c->p++;
		deep = under(c, name, s, n);
		if (!deep || value(c, deep))
			return bad(c);
		if (peek(c) == '}')
			return c->p++, 0;
		if (*c->p != ',')
			return bad(c);
	}
}

static int elements(struct csv *c, size_t name)
{
	char number[16];
	size_t deep;
	int i, n;

	c->p++;
	if (peek(c) == ']') {
		cell(c, "", 0, 0);
		return c->p++, c->err;
	}
	for (i = 0;; i++, c->p++) {
		n = snprintf(number, sizeof(number), "%d", i);
		deep = peek(c) == '"' ? name : under(c, name, number, (size_t)n);
		if (!deep || value(c, deep))
			return bad(c);
		c->name[name] = 0;
		if (peek(c) == ']')
			return c->p++, 0;
		if (peek(c) != ',')
			return bad(c);
	}
}

static int value(struct csv *c, size_t name)
{
	const char *s = c->p;
	size_t n;
	int err = 0;

	switch (peek(c)) {
	case '{':
	case '[':
		if (c->depth == DEPTH)
			return bad(c);
		c->depth++;
		err = *c->p == '{' ? members(c, name) : elements(c, name);
		c->depth--;
		return err;
	case '"':
		if (string(c, &s, &n))
			return -1;
		if (c->depth == 1 && c->type && !strcmp(c->name, "type"))
			c->is_type = strlen(c->type) == n && !memcmp(s, c->type, n);
		cell(c, s, n, 1);
		return c->err;
	}
	s = c->p;
	n = json_bare_len(s, (size_t)(c->end - s));
	c->p += n;
	if (!n)
		return bad(c);
	cell(c, s, n == 4 && !memcmp(s, "null", 4) ? 0 : n, 0);
	return c->err;
}

/* 1: a row, 0: of another type, -EBADMSG or -errno. What is no row leaves no column behind. */
static int row(struct csv *c, const char *line, size_t len)
{
	size_t i, had = c->n;

	for (i = 0; i < c->n; i++)
		c->col[i].len = 0;
	c->ntext = c->next = 0;
	c->p = line;
	c->end = line + len;
	c->err = c->depth = 0;
	c->is_type = !c->type;
	c->name[0] = 0;
	if (peek(c) != '{' || value(c, 0) || (peek(c), c->p < c->end))
		bad(c);
	for (i = 0; i < c->n && !c->err && c->is_type; i++)
		c->col[i].valued |= c->col[i].len > 0;
	if (!c->err && c->is_type)
		return 1;
	while (c->n > had)
		free(c->col[--c->n].name);
	return c->err;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* A column that was empty wherever it was there, and elsewhere an object or an array. */
static int is_hollow(const struct csv *c, const struct column *k)
{
	size_t n = strlen(k->name), i;

	for (i = 0; !k->valued && i < c->n; i++)
		if (!strncmp(c->col[i].name, k->name, n) && c->col[i].name[n] == '.')
			return 1;
	return 0;
}

static void quoted(FILE *f, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n && !strchr(",\"\r\n", s[i]); i++)
		;
	if (i == n && n && *s != ' ' && s[n - 1] != ' ') {
		fwrite(s, 1, n, f);
		return;
	}
	fputc('"', f);
	for (i = 0; i < n; i++) {
		if (s[i] == '"')
			fputc('"', f);
		fputc(s[i], f);
	}
	fputc('"', f);
}

/* names: the header; else this line's cells */
static void print(const struct csv *c, const uint8_t *hollow, int names, FILE *out)
{
	const struct column *k;
	const char *comma = "";
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (hollow[i])
			continue;
		k = &c->col[i];
		fputs(comma, out);
		if (names)
			quoted(out, k->name, strlen(k->name));
		else if (k->len)
			quoted(out, c->text + k->at, k->len);
		comma = ",";
	}
	fputc('\n', out);
}

/* All lines once; out NULL: only which columns there are. */
static int pass(struct csv *c, FILE *in, const uint8_t *hollow, FILE *out, struct csv_count *count)
{
	char *line = NULL;
	size_t cap = 0;
	uint64_t at = 0;
	ssize_t n;
	int got = 0;

	*count = (struct csv_count){ 0 };
	rewind(in);
	while ((n = getline(&line, &cap, in)) > 0) {
		at++;
		if (line[strspn(line, " \t\r\n")] == 0 && (size_t)n == strlen(line))
			continue;
		got = row(c, line, (size_t)n);
		if (got < 0 && got != -EBADMSG)
			break;
		count->rows += got > 0;
		count->others += !got;
		count->first_bad = got < 0 && !count->bad ? at : count->first_bad;
		count->bad += got < 0;
		if (out && got > 0)
			print(c, hollow, 0, out);
	}
	if (got >= 0 || got == -EBADMSG)
		got = ferror(in) || (out && ferror(out)) ? (errno ? -errno : -EIO) : 0;
	free(line);
	return got;
}

int csv_of_json(FILE *in, const char *type, FILE *out, struct csv_count *ret)
{
	struct csv c = { .type = type };
	struct csv_count count;
	uint8_t *hollow = NULL;
	size_t i;
	int err = pass(&c, in, NULL, NULL, &count);

	if (!err && !(hollow = calloc(c.n + 1, 1)))
		err = -ENOMEM;
	for (i = 0; i < c.n && !err; i++)
		hollow[i] = (uint8_t)is_hollow(&c, &c.col[i]);
	if (!err && c.n) {
		print(&c, hollow, 1, out);
		c.known = 1;
		err = pass(&c, in, hollow, out, &count);
	}
	for (i = 0; i < c.n; i++)
		free(c.col[i].name);
	free(c.col);
	free(c.text);
	free(hollow);
	if (!err && ret)
		*ret = count;
	return err;
}

FILE *csv_spool(void)
{
	int fd = memfd_create("ipw-csv", MFD_CLOEXEC), err;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");

	err = errno;
	if (!f && fd >= 0)
		close(fd);
	errno = err;
	return f;
}
