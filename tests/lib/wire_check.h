/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What must hold of a play when bytes are missing in it, compared with the play in which none are. */
#ifndef IPW_TEST_WIRE_CHECK_H
#define IPW_TEST_WIRE_CHECK_H

#include "tests/lib/wire_records.h"

static struct scenario sc;
static struct play real;   /* as it is */
static struct play full;   /* the same, but everything is copied, however long */
static int failures;

/* --- saying what went wrong --------------------------------------------------------------------------------------- */

static size_t lines_of(char *text, char **line, size_t max)
{
	size_t n = 0;
	char *p;

	for (p = strtok(text, "\n"); p && n < max; p = strtok(NULL, "\n"))
		line[n++] = p;
	return n;
}

/* What differs between the first line and the last that do. */
static void diff(const char *want, const char *got)
{
	enum { MAX = 4096, SHOWN = 40 };
	static char *a[MAX], *b[MAX];
	char *ta = strdup(want ? want : ""), *tb = strdup(got ? got : "");
	size_t na = lines_of(ta, a, MAX), nb = lines_of(tb, b, MAX), from = 0, i;

	while (from < na && from < nb && !strcmp(a[from], b[from]))
		from++;
	while (na > from && nb > from && !strcmp(a[na - 1], b[nb - 1]))
		na--, nb--;
	if (from)
		printf("    %s\n", a[from - 1]);
	for (i = from; i < na && i < from + SHOWN; i++)
		printf("  - %s\n", a[i]);
	for (i = from; i < nb && i < from + SHOWN; i++)
		printf("  + %s\n", b[i]);
	free(ta);
	free(tb);
}

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	va_list ap;

	printf("%s %s: ", failures ? "     " : "not ok", sc.name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	failures++;
	return 1;
}

/* --- what must hold when bytes are missing ------------------------------------------------------------------------ */

static int by_time(const void *a, const void *b)
{
	const struct token_ev *x = a, *y = b;

	return x->ts_ns < y->ts_ns ? -1 : x->ts_ns > y->ts_ns;
}

static size_t all_tokens(const struct play *y, struct token_ev **ret)
{
	size_t n = 0, i, k = 0;

	for (i = 0; i < y->nseen; i++)
		n += y->seen[i].ntok;
	*ret = malloc((n + 1) * sizeof(**ret));
	if (!*ret)
		abort();
	for (i = 0; i < y->nseen; i++) {
		if (y->seen[i].ntok)
			memcpy(*ret + k, y->seen[i].tok, y->seen[i].ntok * sizeof(**ret));
		k += y->seen[i].ntok;
	}
	qsort(*ret, n, sizeof(**ret), by_time);
	return n;
}

/* At no time more tokens than there were by then. Returns that time, or 0. */
static uint64_t too_many(const struct token_ev *a, size_t na, const struct token_ev *b, size_t nb)
{
	uint64_t sum_a = 0, sum_b = 0;
	size_t i, k = 0;

	for (i = 0; i < na; i++) {
		for (; k < nb && b[k].ts_ns <= a[i].ts_ns; k++)
			sum_b += b[k].n;
		sum_a += a[i].n;
		if (sum_a > sum_b)
			return a[i].ts_ns;
	}
	return 0;
}

static int more(int64_t got, int64_t said)
{
	return got > said;
}

static int same_query(const struct seen *a, const struct seen *b)
{
	return a->tokens == b->tokens && a->q.end == b->q.end && a->q.status == b->q.status &&
	       a->q.usage.prompt == b->q.usage.prompt && a->q.usage.completion == b->q.usage.completion &&
	       a->q.usage.cached == b->q.usage.cached;
}

/* The query of `y` that began at a time, if there is just one; requests in one segment cannot be told apart. */
static const struct seen *find(const struct play *y, uint64_t start_ns)
{
	const struct seen *s = NULL;
	size_t i;

	for (i = 0; i < y->nseen && start_ns; i++)
		if (y->seen[i].start_ns == start_ns) {
			if (s)
				return NULL;
			s = &y->seen[i];
		}
	return s;
}

/*
 * strict: only bytes of known length are missing, and then it is known that they are. When a whole record is, the
 * stream shows it only later, so that a query may look cancelled; but none may look complete.
 */
static const char *check_query(const struct seen *g, const struct seen *f, int strict)
{
	static char why[160];

	if (g->q.flags & QF_LOST_EVENTS)
		return NULL;
	if (too_many(g->tok, g->ntok, f->tok, f->ntok))
		return "a query has more tokens than there were";
	if (more(g->q.usage.prompt, f->q.usage.prompt) || more(g->q.usage.completion, f->q.usage.completion) ||
	    more(g->q.usage.cached, f->q.usage.cached))
		return "more usage than was said";
	if (*g->q.task && strcmp(g->q.task, f->q.task))
		return "a query is of another task than it was";
	if ((g->q.flags & QF_TRUNCATED) || same_query(g, f))
		return NULL;
	if (g->q.end == QUERY_RUNNING || g->q.end == QUERY_LOST || (!strict && g->q.end != QUERY_COMPLETE))
		return NULL; /* it says itself that it does not know */
	if (g->q.end == f->q.end && g->q.usage.completion >= 0 && g->q.usage.completion == f->q.usage.completion)
		return NULL; /* a token event may be missing: the count is exact all the same */
	snprintf(why, sizeof(why),
		 "a query is not marked, and not right: %s, %llu tokens, usage %lld; it was %s, %llu, %lld",
		 query_end_name(g->q.end), (unsigned long long)g->tokens, (long long)g->q.usage.completion,
		 query_end_name(f->q.end), (unsigned long long)f->tokens, (long long)f->q.usage.completion);
	return why;
}

/* Usage that no query had. */
static int unheard(const struct seen *g)
{
	size_t i;

	for (i = 0; i < full.nseen; i++)
		if (!more(g->q.usage.prompt, full.seen[i].q.usage.prompt) &&
		    !more(g->q.usage.completion, full.seen[i].q.usage.completion))
			return 0;
	return 1;
}

/* Every model that is named was named in the full log. */
static int known_model(const char *model)
{
	char want[160];

	snprintf(want, sizeof(want), " model %s", model);
	return !model[0] || strstr(full.log.p, want);
}

/* hurt_ns: when the bytes were lost; queries that began later must not notice. 0: not asked. */
static const char *check(const struct play *y, uint64_t hurt_ns, int strict)
{
	struct token_ev *a, *b;
	size_t na = all_tokens(y, &a), nb = all_tokens(&full, &b), i;
	const char *why = too_many(a, na, b, nb) ? "more tokens than there were" : NULL;
	const struct seen *f, *g;

	free(a);
	free(b);
	if (!why && y->nseen > full.nseen)
		why = "more queries than there were";
	for (i = 0; i < y->nseen && !why; i++) {
		g = &y->seen[i];
		f = find(&full, g->start_ns);
		if (f && find(y, g->start_ns) == g)
			why = check_query(g, f, strict);
		if (!why && unheard(g))
			why = "usage that no query had";
		if (!why && !known_model(g->model))
			why = "a model that nobody named";
	}
	for (i = 0; i < full.nseen && !why && hurt_ns && !(sc.skip & NO_REGAIN); i++) {
		f = &full.seen[i];
		if (f->start_ns <= hurt_ns || find(&full, f->start_ns) != f)
			continue;
		g = find(y, f->start_ns);
		if (!g || !same_query(g, f))
			why = "a later query is not seen as it was";
	}
	return why;
}

static int holds(const struct play *y, uint64_t hurt_ns, int strict, const char *mode)
{
	const char *why = check(y, hurt_ns, strict);

	if (!why)
		return 0;
	fail("%s: %s", mode, why);
	return 1;
}

#endif
