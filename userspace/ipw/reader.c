// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Files into lines, lines into rows. */
#include "userspace/ipw/results_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/util/str.h"

#define BLOCK (256 * 1024) /* bytes of a read: it stays in the second cache */

void results_problem(struct results *r, struct problems *p, const char *why)
{
	struct problem *at;

	if (p->n++ >= RESULTS_PROBLEMS)
		return;
	at = &p->first[p->n - 1];
	memcpy(at->file, r->file, sizeof(at->file));
	at->line = r->line;
	snprintf(at->why, sizeof(at->why), "%s", why);
}

static void odd_values(struct results *r)
{
	char name[32];
	int f;

	for (f = 0; f < ROW_NUMS; f++)
		if (r->row.odd & 1u << f) {
			row_num_name((enum row_num)f, name, sizeof(name));
			results_problem(r, &r->odd, name);
		}
}

static int blank(const char *p, size_t n)
{
	while (n && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++, n--;
	return !n;
}

static int line(struct results *r, const char *p, size_t n)
{
	const char *why = "longer than 1 MiB";
	int got = -EBADMSG;

	r->line++;
	r->lines++;
	if (!r->too_long) {
		if (blank(p, n))
			return 0;
		got = row_parse(&r->row, p, n, &why);
	}
	r->too_long = 0;
	if (got < 0) {
		results_problem(r, &r->malformed, why);
		return 0;
	}
	if (got) {
		r->others++;
		return 0;
	}
	if (r->row.odd)
		odd_values(r);
	return results_add(r);
}

/* The beginning of a line. */
static int carry(struct results *r, const char *p, size_t n)
{
	if (!n || r->too_long)
		return 0;
	if (n > RESULTS_LINE - r->ncarry) {
		r->too_long = 1;
		r->ncarry = 0;
		return 0;
	}
	if (!r->carry)
		r->carry = malloc(RESULTS_LINE);
	if (!r->carry)
		return -ENOMEM;
	memcpy(r->carry + r->ncarry, p, n);
	r->ncarry += n;
	return 0;
}

int results_feed(struct results *r, const char *p, size_t n)
{
	const char *end = p + n, *nl;
	int err = 0;

	r->bytes += n;
	while (!err && p < end && (nl = memchr(p, '\n', (size_t)(end - p)))) {
		if (r->ncarry || r->too_long) {
			err = carry(r, p, (size_t)(nl - p));
			if (!err)
				err = line(r, r->carry, r->ncarry);
			r->ncarry = 0;
		} else if ((size_t)(nl - p) > RESULTS_LINE) {
			r->too_long = 1;
			err = line(r, NULL, 0);
		} else {
			err = line(r, p, (size_t)(nl - p));
		}
		p = nl + 1;
	}
	return err ? err : carry(r, p, (size_t)(end - p));
}

/* A last line without a newline. */
static int last_line(struct results *r)
{
	int err = r->ncarry || r->too_long ? line(r, r->carry, r->ncarry) : 0;

	r->ncarry = 0;
	return err;
}

int results_file(struct results *r, const char *path)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, err = 0;
	char *block = malloc(BLOCK);
	ssize_t got = 0;

	if (fd < 0 || !block) {
		err = fd < 0 ? -errno : -ENOMEM;
		goto out;
	}
	str_clean(r->file, sizeof(r->file), path, strlen(path));
	r->line = 0;
	do {
		got = read(fd, block, BLOCK);
		if (got > 0)
			err = results_feed(r, block, (size_t)got);
	} while (!err && (got > 0 || (got < 0 && errno == EINTR)));
	if (!err)
		err = got < 0 ? -errno : last_line(r);
out:
	if (fd > STDIN_FILENO)
		close(fd);
	free(block);
	return err;
}

/* --- when all rows are there -------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int is_sorted(const struct config *c)
{
	uint32_t i;

	for (i = 1; i < c->n && c->query[i - 1] < c->query[i]; i++)
		;
	return i >= c->n;
}

static void repeat(struct results *r, int config, uint32_t query)
{
	if (r->repeated++)
		return;
	r->repeated_config = config;
	r->repeated_query = query;
}

/* Which rows stay, in order of queries: query << 32 | row; for a mean all do. Returns how many. */
static uint32_t order_rows(struct results *r, int config, uint64_t *order)
{
	const struct config *c = r->config[config];
	uint32_t i, n = 0;

	for (i = 0; i < c->n; i++)
		order[i] = (uint64_t)c->query[i] << 32 | i;
	qsort(order, c->n, sizeof(*order), by_size);
	for (i = 0; i < c->n; i++) {
		if (n && order[n - 1] >> 32 == order[i] >> 32) {
			repeat(r, config, (uint32_t)(order[i] >> 32));
			if (r->repeats == REPEATS_LAST)
				order[n - 1] = order[i];
			if (r->repeats != REPEATS_MEAN)
				continue;
		}
		order[n++] = order[i];
	}
	return n;
}

static void move_rows(struct config *c, const uint64_t *order, uint32_t n, float *f)
{
	uint8_t *b = (uint8_t *)f;
	uint32_t i;
	int k;

	for (k = 0; k < COLS; k++) {
		if (!c->col[k])
			continue;
		for (i = 0; i < n; i++)
			f[i] = c->col[k][(uint32_t)order[i]];
		memcpy(c->col[k], f, n * sizeof(*f));
	}
	for (i = 0; i < n; i++)
		b[i] = c->verdict[(uint32_t)order[i]];
	memcpy(c->verdict, b, n);
	for (i = 0; i < n; i++)
		c->query[i] = (uint32_t)(order[i] >> 32);
	c->n = n;
}

/* --- means of repeats --------------------------------------------------------------------------------------------- */

/* A column that the rows did not have, to be filled. */
static int add_col(struct config *c, enum column k)
{
	if (!c->col[k])
		c->col[k] = malloc(c->n * sizeof(float));
	return c->col[k] ? 0 : -ENOMEM;
}

/* Verdicts as numbers, and watts of each result: those of the means would be others. */
static int own_values(const struct results *r, struct config *c)
{
	int power = r->want & WANT(COL_POWER) && (c->col[COL_POWER] || (c->col[COL_ENERGY] && c->col[COL_DURATION]));
	int had = c->col[COL_POWER] != NULL, err = add_col(c, COL_ACC);
	uint32_t i;

	if (!err && power)
		err = add_col(c, COL_POWER);
	for (i = 0; i < c->n && !err; i++) {
		c->col[COL_ACC][i] = c->verdict[i] == VERDICT_NONE ? NAN : c->verdict[i];
		if (power && !had)
			c->col[COL_POWER][i] = NAN;
		if (power)
			c->col[COL_POWER][i] = (float)config_power(c, i);
	}
	return err;
}

static float mean_of(const float *col, const uint64_t *order, uint32_t n)
{
	double sum = 0;
	uint32_t i;

	for (i = 0; i < n; i++)
		sum += (double)col[(uint32_t)order[i]];
	return (float)(sum / n);
}

/* order is of all rows: one row of each query. */
static void mean_rows(struct config *c, const uint64_t *order, uint32_t all, float *scratch)
{
	uint32_t i, n, rows = 0;
	int k;

	for (k = 0; k < COLS; k++) {
		for (i = 0, rows = 0; c->col[k] && i < all; i += n) {
			for (n = 1; i + n < all && order[i] >> 32 == order[i + n] >> 32; n++)
				;
			scratch[rows++] = mean_of(c->col[k], order + i, n);
		}
		if (c->col[k])
			memcpy(c->col[k], scratch, rows * sizeof(*scratch));
	}
	for (i = 0, rows = 0; i < all; i++)
		if (!i || order[i] >> 32 != order[i - 1] >> 32)
			c->query[rows++] = (uint32_t)(order[i] >> 32);
	c->n = rows;
	for (i = 0; i < rows; i++)
		c->verdict[i] = isnan(c->col[COL_ACC][i]) ? VERDICT_NONE : VERDICT_SHARE;
}

static int sort_rows(struct results *r, int config)
{
	struct config *c = r->config[config];
	uint64_t *order = malloc(c->n * sizeof(*order));
	float *scratch = malloc(c->n * sizeof(*scratch));
	int err = order && scratch ? 0 : -ENOMEM;
	uint32_t n;

	if (!err && r->repeats == REPEATS_MEAN)
		err = own_values(r, c);
	if (!err) {
		n = order_rows(r, config, order);
		(r->repeats == REPEATS_MEAN ? mean_rows : move_rows)(c, order, n, scratch);
	}
	free(order);
	free(scratch);
	return err;
}

/* No byte more than the rows need. */
static void trim(struct config *c, uint32_t nquery)
{
	void *less;
	int k;

	if (c->n == nquery) { /* ascending, and none twice: each query */
		free(c->query);
		c->query = NULL;
	} else if ((less = realloc(c->query, c->n * sizeof(*c->query)))) {
		c->query = less;
	}
	if ((less = realloc(c->verdict, c->n)))
		c->verdict = less;
	for (k = 0; k < COLS; k++)
		if (c->col[k] && (less = realloc(c->col[k], c->n * sizeof(float))))
			c->col[k] = less;
	c->cap = c->n;
}

int results_finish(struct results *r)
{
	int i, err = last_line(r);

	hash_release(&r->by_key);
	free(r->key);
	free(r->carry);
	r->key = NULL;
	r->carry = NULL;
	for (i = 0; i < r->nconfig && !err; i++) {
		if (!is_sorted(r->config[i]))
			err = sort_rows(r, i);
		if (!err)
			trim(r->config[i], r->nquery);
	}
	return err ? err : r->repeated && r->repeats == REPEATS_REFUSE ? -EEXIST : 0;
}

int join_next(struct join *j)
{
	uint32_t q = j->begun ? j->query + 1 : 0;
	int i, same;

	j->begun = 1;
	if (!j->n)
		return 0;
	for (same = 0, i = 0; same < j->n; i = i + 1 == j->n ? 0 : i + 1) {
		const struct config *c = j->config[i];
		uint32_t at = c->query ? j->at[i] : q;

		while (at < c->n && config_query(c, at) < q)
			at++;
		if (at >= c->n)
			return 0;
		j->at[i] = at;
		same = config_query(c, at) == q ? same + 1 : 1;
		q = config_query(c, at);
	}
	j->query = q;
	return 1;
}
