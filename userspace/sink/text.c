// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For people: one line a query, and a summary in the manner of perf stat. */
#include "userspace/sink/sink.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "userspace/util/clock.h"
#include "userspace/util/fmt.h"

#define F3(v) fmt3((char[16]){ 0 }, 16, v)
#define F4(v) fmt4((char[16]){ 0 }, 16, v)
#define WIDTH 100

struct text {
	int head_printed;
};

/* "openai-chat" is "chat"; of a longer one the cell has the beginning. */
static const char *api(const char *dialect)
{
	const char *dash = strchr(dialect, '-');

	return dash ? dash + 1 : dialect;
}

/* The last part of a path, as a model is often the name of a file. */
static const char *base(const char *model)
{
	const char *slash = strrchr(model, '/');

	return !*model ? "-" : slash && slash[1] ? slash + 1 : model;
}

/* Bytes that fit into `cols` columns; UTF-8 characters count one. */
static int fit(const char *s, int cols)
{
	int i;

	for (i = 0; s[i]; i++)
		if ((s[i] & 0xc0) != 0x80 && !cols--)
			break;
	return i;
}

/* Prints s in exactly `cols` columns. */
static void cell(FILE *f, const char *s, int cols)
{
	int n = fit(s, cols), used = 0, i;

	for (i = 0; i < n; i++)
		used += (s[i] & 0xc0) != 0x80;
	fprintf(f, "%.*s%*s ", n, s, cols - used, "");
}

static const char *count(char *buf, size_t size, int64_t v)
{
	if (v < 0)
		snprintf(buf, size, "-");
	else if (v < 10000)
		snprintf(buf, size, "%lld", (long long)v);
	else
		fmt4(buf, size, (double)v);
	return buf;
}

static const char *pair(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return buf;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static const char end_letters[] = {
	[QUERY_RUNNING] = 'R', [QUERY_COMPLETE] = ' ', [QUERY_CANCEL] = 'C', [QUERY_ERROR] = 'E', [QUERY_LOST] = 'L',
	[QUERY_MIDWAY] = 'M',
};

static const char *const titles[2][15] = {
	{ "START", "ID", "S", "MODEL", "API", "IN(CACH)", "OUT", "TTFT", "TPOT", "ITL50/95", "TIME", "J+-bound",
	  "PREF", "DECO", "/OUT" },
	{ "", "", " ", "", "", "tokens", "tok", "ms", "ms", "ms", "s", "J", "J", "J", "J" },
};

static void head(struct sink *s)
{
	struct text *t = s->state;
	int i, estimated = 0;

	if (t->head_printed++)
		return;
	for (i = 0; i < s->nmeter; i++)
		estimated |= s->meters[i].ch.estimated && s->meters[i].parent == CHANNEL_NONE;
	for (i = 0; i < 2; i++)
		fprintf(s->out, "%s%-8s %3s %s %-*s %-4s %8s %4s %4s %4s %8s %4s %9s %4s %4s %4s%s%s\n",
			s->colour ? "\033[1m" : "", titles[i][0], titles[i][1], titles[i][2], s->verbose ? 24 : 6,
			titles[i][3], titles[i][4], titles[i][5], titles[i][6], titles[i][7], titles[i][8],
			titles[i][9], titles[i][10], titles[i][11], titles[i][12], titles[i][13], titles[i][14],
			i && estimated ? " estimated" : "", s->colour ? "\033[0m" : "");
}

static void clock_cell(struct sink *s, const struct query *q)
{
	char buf[32] = "-";

	if (q->start_ns)
		clock_rfc3339(q->start_ns + (uint64_t)s->run->wall_offset_ns, buf, sizeof(buf));
	cell(s->out, q->start_ns ? buf + 11 : buf, 8);
}

/* "estimated", and the other flags but the one that all queries have; what does not fit is a '+', and all is in -v. */
static void flags_cell(struct sink *s, uint32_t flags, int room)
{
	uint32_t bits = flags & ~(uint32_t)(s->verbose ? 0 : QF_QUEUE_IN_PREFILL);
	const char *sep = " ";
	int i, n;

	for (i = 0; query_flag_name(i); i++) {
		if (!(bits & 1u << i))
			continue;
		n = (int)strlen(query_flag_name(i)) + 1;
		if (!s->verbose && n > room - 1) {
			fputc('+', s->out);
			return;
		}
		fprintf(s->out, "%s%s", sep, query_flag_name(i));
		room -= n;
		sep = ",";
	}
}

/* Under its query, with -v: where it went inside the server, and when. */
static void hop_lines(struct sink *s, const struct query *q)
{
	const struct query *h;
	FILE *f = s->out;

	for (h = q->hop; h; h = h->next_hop) {
		fprintf(f, "%12s hop to pid %u, %s %s > %s, by %s: ", "", h->open.pid, h->open.dialect, h->open.client,
			h->open.server, wire_hop_name(h->by));
		if (h->start_ns && q->start_ns)
			fprintf(f, "+%s ms, ", F4((double)(int64_t)(h->start_ns - q->start_ns) / 1e6));
		fprintf(f, "TTFT %s ms, %s s, %lld tokens, %s\n", F4(query_ttft_ms(h)), F4(query_duration_ms(h) / 1e3),
			(long long)query_completion_tokens(h), query_end_name(h->end));
	}
	if (q->nhop > QUERY_HOPS_MAX)
		fprintf(f, "%12s %u hops in all\n", "", q->nhop);
}

/* And what its bound is made of. */
static void bound_line(struct sink *s, const struct result *r)
{
	if (!isnan(r->energy_j))
		fprintf(s->out, "%12s bound of edges %s, noise %s, accuracy %s, split %s J\n", "", F4(r->edge_j),
			F4(r->noise_j), F4(r->gain_known ? r->gain_j : NAN), F4(r->split_j));
}

static void result(struct sink *s, const struct result *r)
{
	const struct query *q = r->q;
	int64_t out = query_completion_tokens(q);
	char a[48], b[24], c[24];
	FILE *f = s->out;

	head(s);
	clock_cell(s, q);
	fprintf(f, "%3llu %c ", (unsigned long long)q->id, end_letters[q->end]);
	cell(f, base(q->model), s->verbose ? 24 : 6);
	cell(f, api(q->open.dialect), 4);
	if (q->usage.cached > 0)
		pair(a, sizeof(a), "%s(%s)", count(b, sizeof(b), q->usage.prompt),
		     count(c, sizeof(c), q->usage.cached));
	else
		pair(a, sizeof(a), "%s", count(b, sizeof(b), q->usage.prompt));
	fprintf(f, "%8s %4s %4s %4s ", a, count(b, sizeof(b), out), F4(query_ttft_ms(q)), F4(query_tpot_ms(q)));
	pair(a, sizeof(a), isnan(query_itl_ms(q, .5)) ? "-" : "%s/%s", F4(query_itl_ms(q, .5)),
	     F4(query_itl_ms(q, .95)));
	fprintf(f, "%8s %4s ",
		strlen(a) > 8 ? pair(a, sizeof(a), "%.0f/%.0f", query_itl_ms(q, .5), query_itl_ms(q, .95)) : a,
		F4(query_duration_ms(q) / 1e3));
	pair(a, sizeof(a), isnan(r->energy_j) ? "-" : "%s+-%s", F4(r->energy_j), F4(r->bound_j));
	fprintf(f, "%9s %4s %4s %4s", a, F4(r->prefill_j), F4(r->decode_j),
		F4(out > 0 ? r->energy_j / (double)out : NAN));
	flags_cell(s, r->flags, WIDTH - 89);
	fputc('\n', f);
	if (s->verbose) {
		hop_lines(s, q);
		bound_line(s, r);
	}
	fflush(f);
}

static void unread(struct sink *s, const struct wire_unread *u)
{
	if (s->verbose && u->why != HTTP_CLIENT)
		fprintf(s->out, "%12s not read: %s, %s > %s, pid %u: %s s, %s bytes in, %s out\n", "", http_why(u->why),
			u->client, u->server, u->pid, F4((double)(int64_t)(u->end_ns - u->start_ns) / 1e9),
			F4(u->in < 0 ? NAN : (double)u->in), F4(u->out < 0 ? NAN : (double)u->out));
}

/* --- summary ------------------------------------------------------------------------------------------------------ */

/* Median of a histogram of ns, in ms. */
static double median(const struct histo *h)
{
	return histo_quantile_ns(h, .5) / 1e6;
}

/* One line for each model and dialect; times are medians. */
static void model_rows(struct sink *s, const struct summary *m)
{
	char a[48], b[24], c[24];
	FILE *f = s->out;
	int i;

	if (!m->totals->nrow)
		return;
	fprintf(f, "\n %-8s %-4s %4s %3s %9s %5s %4s %4s %8s %4s %10s %4s %4s %4s%s\n", "MODEL", "API", "QUER", "E/C",
		"IN(CACHE)", "OUT", "TTFT", "TPOT", "ITL50/95", "TIME", "J+-bound", "PREF", "DECO", "/OUT",
		m->estimated ? " estimated" : "");
	for (i = 0; i < m->totals->nrow; i++) {
		const struct totals_row *r = &m->totals->row[i];
		struct row_joules j = totals_row_joules(m->books, r);

		fputc(' ', f);
		cell(f, base(r->model), 8);
		cell(f, api(r->dialect), 4);
		pair(a, sizeof(a), "%llu/%llu", (unsigned long long)r->errors, (unsigned long long)r->cancels);
		fprintf(f, "%4s %3s ", count(b, sizeof(b), (int64_t)r->queries), a);
		pair(a, sizeof(a), "%s(%s)", count(b, sizeof(b), r->prompt), count(c, sizeof(c), r->cached));
		fprintf(f, "%9s %5s %4s %4s ", a, count(b, sizeof(b), r->completion), F4(median(r->ttft)),
			F4(median(r->tpot)));
		pair(a, sizeof(a), "%s/%s", F4(median(r->itl)), F4(histo_quantile_ns(r->itl, .95) / 1e6));
		fprintf(f, "%8s %4s ", a, F4(median(r->duration) / 1e3));
		pair(a, sizeof(a), "%s+-%s", F4(j.prefill_j + j.decode_j), F4(j.bound_j));
		fprintf(f, "%10s %4s %4s %4s%s\n", a, F4(j.prefill_j), F4(j.decode_j),
			F4(r->completion > 0 ? j.counted_j / (double)r->completion : NAN),
			r->flags & QF_ESTIMATED ? " estimated" : "");
	}
}

static void term(FILE *f, const struct summary *m, double j, const char *what)
{
	if (isnan(j))
		fprintf(f, "  %14s J  %-26s %8s\n", "-", what, "not known");
	else
		fprintf(f, "  %14.3f J  %-26s %7.2f %%\n", j, what, m->measured_j ? 100 * j / m->measured_j : NAN);
}

static void books(struct sink *s, const struct summary *m)
{
	const char *est = m->estimated ? " (estimated)" : "";
	FILE *f = s->out;
	char what[64];
	int i;

	if (isnan(m->measured_j)) {
		fprintf(f, "\n  no energy source: joules are not known\n");
		return;
	}
	fprintf(f, "\n  %14.3f J  measured%s, mean %s W\n", m->measured_j, est, F3(m->mean_w));
	snprintf(what, sizeof(what), "queries, +- %s", F3(m->bound_j));
	term(f, m, m->queries_j, what);
	term(f, m, m->server_other_j, "server without a query");
	term(f, m, m->others_j, "other processes");
	term(f, m, m->idle_j, "idle");
	fprintf(f, "  %14.1e    of measured is missing from the sum of the terms\n", m->imbalance);
	fputc('\n', f);
	for (i = 0; i < m->ndomain; i++) {
		const struct summary_domain *d = &m->domain[i];

		fprintf(f, "  %14.3f J  %-18s %s%s", d->measured_j, d->meter->ch.name, d->meter->source,
			d->meter->ch.estimated ? " (estimated)" : "");
		if (d->meter->period_us)
			fprintf(f, ", refresh %s ms", F3(d->meter->period_us / 1e3));
		if (!d->top)
			fprintf(f, ", part of another, not summed");
		else if (isnan(d->idle_w))
			fprintf(f, ", idle floor not known: idle power is in all rows");
		else
			fprintf(f, ", idle floor %s W (%s)", F3(d->idle_w), idle_source_name(d->idle));
		fputc('\n', f);
	}
}

static void flags_legend(struct sink *s, const struct summary *m)
{
	uint32_t bits = m->flags;
	const char *sep = "\n  flags: ";
	int i;

	for (i = 0; query_flag_name(i); i++)
		if (bits & 1u << i) {
			fprintf(s->out, "%s%s", sep, query_flag_name(i));
			sep = ", ";
		}
	if (bits)
		fputc('\n', s->out);
	fprintf(s->out, "  S: C cancelled, E error, L lost sight of, M began before we looked, R still running\n");
}

static void summary(struct sink *s, const struct summary *m)
{
	char start[32];
	FILE *f = s->out;
	uint32_t i;

	clock_rfc3339(m->run->start_ns + (uint64_t)m->run->wall_offset_ns, start, sizeof(start));
	fprintf(f, "\n ipw-trace %s: %llu queries in %.3f s from %s\n", m->run->version, (unsigned long long)m->queries,
		m->duration_s, start);
	fprintf(f, " on %s, Linux %s\n", m->run->hardware, m->run->kernel);
	for (i = 1; i <= m->run->nslot; i++)
		fprintf(f, " of pid %u (%s)\n", m->run->target[i].pid, m->run->target[i].comm);
	model_rows(s, m);
	fprintf(f, "\n  %s tokens/s out, %s queries at a time while any ran, %llu errors, %llu cancelled, %llu lost, "
		"%llu running\n", F3(m->tokens_per_s), F3(m->concurrency_mean), (unsigned long long)m->errors,
		(unsigned long long)m->cancels, (unsigned long long)m->totals->lost,
		(unsigned long long)m->totals->running);
	if (m->totals->hops)
		fprintf(f, "  %llu hops between processes of the server are in the queries they were for\n",
			(unsigned long long)m->totals->hops);
	if (m->totals->tasks.ntask)
		fprintf(f, "  %zu tasks of %zu turns: --by task has them\n", m->totals->tasks.ntask,
			m->totals->tasks.nturn);
	books(s, m);
	fprintf(f, "\n  split by %s; every %u ms; network tier %s\n",
		attrib_method_name(summary_method(m)) ? attrib_method_name(summary_method(m)) : "nothing",
		m->run->interval_ms, m->run->net);
	fprintf(f, "  %llu events lost; tracer: %.3f s of CPU, %.2f %% of one\n",
		(unsigned long long)m->end->lost_events, m->end->tracer_cpu_s,
		m->duration_s > 0 ? 100 * m->end->tracer_cpu_s / m->duration_s : NAN);
	if (m->end->evicted)
		fprintf(f, "  %llu connections or queries found no room\n", (unsigned long long)m->end->evicted);
	for (i = 0; i < UNREAD_MAX; i++)
		if (m->end->unread[i].n)
			fprintf(f, "  %llu connections not read: %s\n", (unsigned long long)m->end->unread[i].n,
				m->end->unread[i].why);
	flags_legend(s, m);
	fflush(f);
}

const struct sink_ops sink_text = {
	.name       = "text",
	.doc        = "lines and a summary on stdout",
	.state_size = sizeof(struct text),
	.result     = result,
	.unread     = unread,
	.summary    = summary,
	.close      = sink_flush,
};
