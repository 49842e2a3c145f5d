// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For people, by task: what each turn cost, the gaps between them, and that all tasks together are in the books. */
#include "userspace/sink/sink.h"

#include <math.h>
#include <string.h>

#include "userspace/util/clock.h"
#include "userspace/util/fmt.h"

#define F3(v) fmt3((char[16]){ 0 }, 16, v)
#define F4(v) fmt4((char[16]){ 0 }, 16, v)

#define COUNT(n) count((char[24]){ 0 }, n)

static const char end_letters[] = {
	[QUERY_RUNNING] = 'R', [QUERY_COMPLETE] = ' ', [QUERY_CANCEL] = 'C', [QUERY_ERROR] = 'E', [QUERY_LOST] = 'L',
	[QUERY_MIDWAY] = 'M',
};

static const char *count(char buf[24], int64_t n)
{
	if (n < 0)
		return "-";
	if (n >= 10000)
		return fmt4(buf, 24, (double)n);
	snprintf(buf, 24, "%lld", (long long)n);
	return buf;
}

/* Tokens and joules: the columns that turns and sums have in common. */
static void cost_cells(FILE *f, const struct summary *m, const struct task_cost *c)
{
	struct task_joules j = task_joules(m->books, c);
	char energy[40];

	snprintf(energy, sizeof(energy), isnan(j.energy_j) ? "-" : "%s+-%s", F4(j.energy_j), F4(c->bound_j));
	fprintf(f, " %9s %4s %4s %4s %4s%s\n", energy, F4(j.gross_j), F4(j.prefill_j), F4(j.decode_j),
		F4(c->completion > 0 ? j.energy_j / (double)c->completion : NAN),
		c->flags & QF_ESTIMATED ? " estimated" : "");
}

static void turn(struct sink *s, const struct summary *m, const struct task *t, const struct turn *u)
{
	char start[32] = "-", *clock = start;

	if (u->start_ns) {
		clock_rfc3339(u->start_ns + (uint64_t)s->run->wall_offset_ns, start, sizeof(start));
		clock += 11; /* the time of day */
	}
	fprintf(s->out, "  %-8.8s %4zu %6llu %c %4s %4s %4s %4s %4s %4s", clock, (size_t)(u - t->turn) + 1,
		(unsigned long long)u->id, end_letters[u->end], COUNT(u->cost.prompt), COUNT(u->cost.cached),
		COUNT(u->repeated), COUNT(u->cost.completion), F4(u->ttft_ms), F4(u->duration_ms / 1e3));
	cost_cells(s->out, m, &u->cost);
}

static void gap(struct sink *s, const struct task_gap *g)
{
	fprintf(s->out, "  %-8s gap of %s s: idle %s J, its share %s J\n", "",
		F4((double)(g->to_ns - g->from_ns) * 1e-9), F4(g->idle_j), F4(g->idle_share_j));
}

static void sum_line(struct sink *s, const struct summary *m, const char *what, const struct task *t)
{
	fprintf(s->out, "  %-23.23s %4s %4s %4s %4s %4s %4s", what, COUNT(t->cost.prompt), COUNT(t->cost.cached), "",
		COUNT(t->cost.completion), "", F4(t->nturn ? (double)t->active_ns * 1e-9 : NAN));
	cost_cells(s->out, m, &t->cost);
}

static void task(struct sink *s, const struct summary *m, const struct task *t)
{
	char what[64];
	size_t i, k;

	fprintf(s->out, "\n%s\n  %-8s %4s %6s S %4s %4s %4s %4s %4s %4s %9s %4s %4s %4s %4s\n", t->name, "START",
		"TURN", "ID", "IN", "CACH", "REPT", "OUT", "TTFT", "TIME", "J+-bound", "GROS", "PREF", "DECO", "/OUT");
	for (i = k = 0; i < t->nturn; i++) {
		for (; k < t->ngap && t->gap[k].before == &t->turn[i]; k++)
			gap(s, &t->gap[k]);
		turn(s, m, t, &t->turn[i]);
	}
	snprintf(what, sizeof(what), "sum, gaps %s s", F4((double)t->gap_ns * 1e-9));
	sum_line(s, m, what, t);
}

static void term(FILE *f, double j, double measured, const char *what)
{
	if (isnan(j))
		fprintf(f, "  %14s J  %-38s %8s\n", "-", what, "not known");
	else
		fprintf(f, "  %14.3f J  %-38s %7.2f %%\n", j, what, measured ? 100 * j / measured : NAN);
}

/* The books, with the row of the queries in two. */
static void books(struct sink *s, const struct summary *m)
{
	const struct tasks *t = &m->totals->tasks;
	double in_tasks = 0, share = 0, rest = t->rest.queries ? task_joules(m->books, &t->rest.cost).energy_j : 0;
	char what[64];
	size_t i;

	if (isnan(m->measured_j)) {
		fprintf(s->out, "\n  no energy source: joules are not known\n");
		return;
	}
	for (i = 0; i < t->ntask; i++)
		in_tasks += task_joules(m->books, &t->task[i]->cost).energy_j;
	for (i = 0; i < t->ngap; i++)
		share += t->gap[i].idle_share_j;
	fprintf(s->out, "\n  %14.3f J  measured%s, mean %s W\n", m->measured_j, m->estimated ? " (estimated)" : "",
		F3(m->mean_w));
	snprintf(what, sizeof(what), "%zu tasks of %zu turns", t->ntask, t->nturn);
	term(s->out, in_tasks, m->measured_j, what);
	term(s->out, rest, m->measured_j, "queries of no task");
	term(s->out, m->server_other_j, m->measured_j, "server without a query");
	term(s->out, m->others_j, m->measured_j, "other processes");
	snprintf(what, sizeof(what), "idle, of it shares of gaps %s J", F3(share));
	term(s->out, m->idle_j, m->measured_j, what);
	if (t->no_room)
		fprintf(s->out, "  %llu queries of tasks found no room, and are in those of no task\n",
			(unsigned long long)t->no_room);
}

static void summary(struct sink *s, const struct summary *m)
{
	const struct tasks *t = &m->totals->tasks;
	size_t i;

	fprintf(s->out, "ipw-trace %s: %zu tasks, %llu queries in %.3f s\n", m->run->version, t->ntask,
		(unsigned long long)m->queries, m->duration_s);
	for (i = 0; i < t->ntask; i++)
		task(s, m, t->task[i]);
	if (!t->ntask)
		fprintf(s->out, "\n  no query says what task it is of: a run finds that with --task\n");
	books(s, m);
	fflush(s->out);
}

const struct sink_ops sink_tasks = {
	.name    = "tasks",
	.doc     = "tasks, their turns and gaps (--by task)",
	.summary = summary,
	.close   = sink_flush,
};
