// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a bench says of itself: while it runs, at its end, and in its file. */
#include "userspace/ipw/bench_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/args.h"
#include "userspace/util/clock.h"
#include "userspace/util/fmt.h"
#include "userspace/util/json_out.h"

#define BAR    20
#define BOOKS  1e-6 /* rows and the tracer's summary may differ by this part: what is written has 12 digits */

static size_t done_of(const struct bench *b)
{
	return b->plan.total - b->left - b->nlater - (size_t)client_running(b->client);
}

/* "1:05:09", "5:09" */
static void clock_text(char *buf, size_t size, double s)
{
	long n = isfinite(s) && s < 1e9 ? lround(s) : -1;

	if (n < 0)
		snprintf(buf, size, "?");
	else if (n >= 3600)
		snprintf(buf, size, "%ld:%02ld:%02ld", n / 3600, n / 60 % 60, n % 60);
	else
		snprintf(buf, size, "%ld:%02ld", n / 60, n % 60);
}

void bench_progress_clear(struct bench *b)
{
	if (b->shows && b->shown_ns)
		fputs("\r\033[K", stderr);
	b->shown_ns = 0;
}

void bench_progress(struct bench *b, uint64_t now)
{
	double s = b->start_ns ? (double)(now - b->start_ns) * 1e-9 : 0, j = NAN;
	size_t done = b->start_ns ? done_of(b) : b->out.ndone, here = done - b->out.ndone, i;
	char eta[24], rate[16], per[16], bar[BAR + 1];

	if (!b->shows)
		return;
	for (i = 0; i < BAR; i++)
		bar[i] = i < BAR * done / b->plan.total ? '#' : '.';
	bar[BAR] = 0;
	clock_text(eta, sizeof(eta), here ? s / (double)here * (double)(b->plan.total - done) : NAN);
	if (b->sum.joule_tokens)
		j = b->sum.energy_j / (double)b->sum.joule_tokens;
	fprintf(stderr, "\r\033[K[%s] %zu/%zu, %s%s left, %s tokens/s, %s J/token%s", bar, done, b->plan.total,
		b->start_ns ? "" : "warming up, ", eta,
		fmt3(rate, sizeof(rate), s > 0 ? (double)b->sum.completion / s : NAN), fmt3(per, sizeof(per), j),
		b->sum.estimated ? " estimated" : "");
	b->shown_ns = now;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static double figure(const struct bench *b, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(b->trace.summary, key);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static const char *const books[] = { "measured_j", "queries_j", "server_other_j", "others_j", "idle_j", "mean_w" };

static double duration_s(const struct bench *b)
{
	return b->start_ns ? (double)(b->end_ns - b->start_ns) * 1e-9 : 0;
}

/* What the tracer gave to queries and is in no row of its that we have read, as a part of it. */
static double missing(const struct bench *b)
{
	double q = figure(b, "queries_j");

	return isnan(q) ? NAN : (q - b->trace.ours_j - b->trace.foreign_j) / fmax(fabs(q), 1e-9);
}

static void segment_energy(struct json_out *j, const struct bench *b)
{
	size_t i;

	json_num(j, "rows_j", b->sum.joule_tokens || b->sum.energy_j > 0 ? b->sum.energy_j : NAN);
	json_raw(j, "estimated", !b->sum.joule_tokens ? "null" : b->sum.estimated ? "true" : "false");
	json_num(j, "warmup_j", b->trace.summary ? b->sum.warmup_j : NAN);
	json_num(j, "retry_j", b->trace.summary ? b->sum.retry_j : NAN);
	json_int_or_null(j, "other_queries", b->trace.summary ? (int64_t)b->trace.foreign : -1);
	json_num(j, "other_queries_j", b->trace.summary ? b->trace.foreign_j : NAN);
	for (i = 0; i < sizeof(books) / sizeof(*books); i++)
		json_num(j, books[i], figure(b, books[i]));
	json_num(j, "lost_events", figure(b, "lost_events"));
	json_num(j, "books_missing", missing(b));
}

static void segment(struct bench *b)
{
	const struct tally *s = &b->sum;
	char *buf = NULL, when[32];
	size_t size;
	struct json_out j = { .f = open_memstream(&buf, &size) };

	if (!j.f || b->err)
		return;
	clock_rfc3339(b->start_ns + (uint64_t)clock_wall_offset_ns(), when, sizeof(when));
	json_open(&j, NULL, '{');
	json_str(&j, "type", "segment");
	json_str(&j, "run", b->out.run);
	json_str(&j, "segment", b->out.segment);
	json_str(&j, "start_time", b->start_ns ? when : NULL);
	json_num(&j, "duration_s", duration_s(b));
	json_int(&j, "rows", (int64_t)s->rows);
	json_int(&j, "warmup", (int64_t)s->warmups);
	json_int(&j, "right", (int64_t)s->right);
	json_int(&j, "unparsable", (int64_t)s->unreadable);
	json_int(&j, "failed", (int64_t)s->failed);
	json_int(&j, "not_graded", (int64_t)s->unknown);
	json_int(&j, "untraced", (int64_t)s->untraced);
	json_int(&j, "late", (int64_t)s->late);
	json_int(&j, "retries", (int64_t)s->retries);
	json_int(&j, "prompt_tokens", (int64_t)s->prompt);
	json_int(&j, "completion_tokens", (int64_t)s->completion);
	segment_energy(&j, b);
	json_str(&j, "stopped", b->why);
	json_close(&j, '}');
	json_line(&j);
	if (!fclose(j.f))
		b->err = bench_out_line(&b->out, buf, size);
	free(buf);
}

static void say_accuracy(const struct tally *s)
{
	size_t graded = s->rows - s->unknown;

	if (graded)
		printf("  accuracy  %.2f %%: %zu right of %zu; of the others %zu have no answer that can be read, %zu "
		       "failed\n", 100.0 * (double)s->right / (double)graded, s->right, graded, s->unreadable,
		       s->failed);
	if (s->unknown)
		printf("  %zu answers wait for a judge (ipw-trace grade), or have nothing to be compared with\n",
		       s->unknown);
}

/* "  failed    2 error, 1 cut; the first is 'letter-3': HTTP 500" */
static void say_failed(const struct tally *s)
{
	const char *comma = "";
	int e;

	if (!*s->first_failed)
		return;
	printf("  failed    ");
	for (e = REPLY_COMPLETE + 1; e <= REPLY_CANCELLED; e++) {
		if (!s->ends[e])
			continue;
		printf("%s%zu %s", comma, s->ends[e], reply_end_name((enum reply_end)e));
		comma = ", ";
	}
	printf("; the first is %s\n", s->first_failed);
}

static void say_energy(const struct bench *b)
{
	const struct tally *s = &b->sum;
	size_t seen = s->rows - s->untraced;
	char e[16], t[16], q[16], m[16];

	if (!b->trace.summary) {
		puts("  joules are not known");
		return;
	}
	printf("  energy    %s J, %s J a query, %s J an output token%s; measured %s J in all\n",
	       fmt3(e, sizeof(e), s->energy_j), fmt3(q, sizeof(q), seen ? s->energy_j / (double)seen : NAN),
	       fmt3(t, sizeof(t), s->joule_tokens ? s->energy_j / (double)s->joule_tokens : NAN),
	       s->estimated ? " (estimated)" : "",
	       fmt3(m, sizeof(m), figure(b, "measured_j")));
	if (s->untraced)
		printf("  %zu queries were not seen by the tracer: their joules are null\n", s->untraced);
	if (b->trace.foreign)
		printf("  %zu queries of other clients took %s J\n", b->trace.foreign,
		       fmt3(e, sizeof(e), b->trace.foreign_j));
	if (!(fabs(missing(b)) < BOOKS))
		printf("  THE BOOKS DO NOT BALANCE: %g of what queries took is in no row\n", missing(b));
}

void bench_finish(struct bench *b)
{
	const struct tally *s = &b->sum;
	char rate[16];

	bench_progress_clear(b);
	segment(b);
	printf("\n %zu queries of %s in %.1f s, %zu before\n %s on %s\n", s->rows, b->run.d->name, duration_s(b),
	       b->out.ndone, b->run.model, b->run.hardware);
	say_accuracy(s);
	say_failed(s);
	printf("  tokens    %llu in, %llu out, %s a second out; %zu to warm up, not counted\n",
	       (unsigned long long)s->prompt, (unsigned long long)s->completion,
	       fmt3(rate, sizeof(rate), duration_s(b) > 0 ? (double)s->completion / duration_s(b) : NAN), s->warmups);
	if (s->retries)
		printf("  %zu times the server put a query off, which was sent again%s%s%s\n", s->retries,
		       b->trace.summary ? ": " : "", b->trace.summary ? fmt3(rate, sizeof(rate), s->retry_j) : "",
		       b->trace.summary ? " J, beside those of the rows" : "");
	if (s->late)
		printf("  %zu arrivals were late: the rate was more than could be sent\n", s->late);
	say_energy(b);
	fflush(stdout);
}
