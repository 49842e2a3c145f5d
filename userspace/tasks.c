// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/tasks.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COVERED 0.99 /* a tick of which a meter has measured less has a hole */

/* --- costs -------------------------------------------------------------------------------------------------------- */

static int cost_init(struct task_cost *c, int nch)
{
	*c = (struct task_cost){ .prompt = -1, .cached = -1, .completion = -1 };
	c->channel = calloc((size_t)nch + 1, sizeof(*c->channel));
	return c->channel ? 0 : -ENOMEM;
}

static void add_count(int64_t *sum, int64_t n)
{
	if (n >= 0)
		*sum = (*sum > 0 ? *sum : 0) + n;
}

/* As attrib_result() makes its joules. */
static void cost_add(struct task_cost *c, const struct result *r, int nch)
{
	int phased = !isnan(r->decode_j), ch;
	const struct acc *a;

	add_count(&c->prompt, r->q->usage.prompt);
	add_count(&c->cached, r->q->usage.cached);
	add_count(&c->completion, query_completion_tokens(r->q));
	c->bound_j += r->bound_j;
	c->flags |= r->flags;
	c->measured |= r->method != METHOD_NONE;
	c->phased |= phased;
	for (ch = 0; ch < nch; ch++) {
		a = &r->acc[ch];
		if (!a->measured)
			continue;
		gross_add(&c->channel[ch].prefill, a->prefill.j, a->prefill.s, 1);
		gross_add(phased ? &c->channel[ch].decode : &c->channel[ch].prefill, a->decode.j, a->decode.s, 1);
		c->channel[ch].idle_s += a->idle_s;
	}
}

struct task_joules task_joules(const struct attrib *a, const struct task_cost *c)
{
	struct task_joules ret = { NAN, NAN, NAN, NAN };
	double idle = 0, pre = 0, dec = 0;
	int ch;

	if (!c->measured)
		return ret;
	for (ch = 0; ch < a->tl->nch; ch++) {
		if (!attrib_is_top(a, ch))
			continue;
		pre += attrib_joules(a, ch, &c->channel[ch].prefill);
		dec += attrib_joules(a, ch, &c->channel[ch].decode);
		idle += a->idle[ch].w * c->channel[ch].idle_s;
	}
	ret.energy_j = pre + dec;
	ret.gross_j = pre + dec + idle;
	ret.prefill_j = pre;
	ret.decode_j = c->phased ? dec : NAN;
	return ret;
}

/* --- results come ------------------------------------------------------------------------------------------------- */

void tasks_release(struct tasks *t)
{
	size_t i;

	for (i = 0; i < t->nturn; i++)
		free(t->turn[i].cost.channel);
	for (i = 0; i < t->ntask; i++) {
		free(t->task[i]->cost.channel);
		free(t->task[i]);
	}
	free(t->rest.cost.channel);
	free(t->turn);
	free(t->task);
	free(t->gap);
	hash_release(&t->by_name);
	spans_release(&t->active);
	spans_release(&t->silent);
	*t = (struct tasks){ .off = t->off };
}

static int begin(struct tasks *t, int nch)
{
	int err;

	if (t->rest.cost.channel)
		return 0;
	t->nch = nch;
	err = cost_init(&t->rest.cost, nch);
	t->task = err ? NULL : calloc(TASKS_MAX, sizeof(struct task *));
	return t->task ? 0 : -ENOMEM;
}

/* The task of that name, made if there is none; NULL: no room. */
static struct task *task_of(struct tasks *t, const char *name)
{
	uint64_t key = conn_mix(0xcbf29ce484222325ull, name, strlen(name));
	struct task *k;

	while ((k = hash_get(&t->by_name, key)) && strcmp(k->name, name))
		key++;
	if (k || t->ntask == TASKS_MAX)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k || cost_init(&k->cost, t->nch) || hash_put(&t->by_name, key, k)) {
		if (k)
			free(k->cost.channel);
		free(k);
		return NULL;
	}
	snprintf(k->name, sizeof(k->name), "%s", name);
	return t->task[t->ntask++] = k;
}

/* A new turn, with nothing but its cost; NULL: no room. */
static struct turn *turn_new(struct tasks *t)
{
	size_t cap = t->cap ? 2 * t->cap : 64;
	struct turn *turn;

	if (t->nturn == t->cap) {
		turn = cap <= TASKS_TURNS_MAX ? realloc(t->turn, cap * sizeof(*turn)) : NULL;
		if (!turn)
			return NULL;
		t->turn = turn;
		t->cap = cap;
	}
	turn = &t->turn[t->nturn];
	*turn = (struct turn){ .repeated = -1 };
	if (cost_init(&turn->cost, t->nch))
		return NULL;
	t->nturn++;
	return turn;
}

static struct task *add_turn(struct tasks *t, const struct result *r)
{
	const struct query *q = r->q;
	struct turn *turn = turn_new(t);
	struct task *k = turn ? task_of(t, q->task) : NULL;

	if (turn && !k) {
		free(turn->cost.channel);
		t->nturn--;
	}
	if (!k)
		return NULL;
	turn->task = k;
	turn->id = q->id;
	turn->start_ns = q->start_ns;
	turn->from_ns = q->start_ns ? q->start_ns : q->r_ns;
	turn->to_ns = q->end_ns > q->e_ns ? q->end_ns : q->e_ns;
	turn->end = q->end;
	turn->ttft_ms = query_ttft_ms(q);
	turn->duration_ms = query_duration_ms(q);
	cost_add(&turn->cost, r, t->nch);
	return k;
}

void tasks_add(struct tasks *t, const struct result *r, int nch)
{
	struct task *k;

	if (t->off || begin(t, nch))
		return;
	(void)spans_add(&t->active, r->q->r_ns, r->q->e_ns);
	k = *r->q->task ? add_turn(t, r) : &t->rest;
	t->no_room += !k;
	k = k ? k : &t->rest;
	k->queries++;
	k->errors += r->q->end == QUERY_ERROR;
	k->cancels += r->q->end == QUERY_CANCEL;
	cost_add(&k->cost, r, nch);
}

void tasks_tick(struct tasks *t, const struct attrib *a, const struct tick *k)
{
	double least = COVERED * (double)(k->t1 - k->t0);
	int ch;

	for (ch = 0; !t->off && ch < a->tl->nch; ch++)
		if (attrib_is_top(a, ch) && k->covered_ns[ch] < least)
			(void)spans_add(&t->silent, k->t0, k->t1);
}

/* --- turns in order, and what is between them --------------------------------------------------------------------- */

static int by_task(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	if (x->from_ns != y->from_ns)
		return x->from_ns < y->from_ns ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void say_repeated(struct turn *u, const struct turn *before)
{
	int64_t both = u->cost.prompt < before->cost.prompt ? u->cost.prompt : before->cost.prompt;

	if (both >= 0 && u->cost.cached >= 0 && before->to_ns <= u->from_ns)
		u->repeated = both > u->cost.cached ? both - u->cost.cached : 0;
}

/* The turns of one task, which are in order. */
static void find_gaps(struct tasks *t, struct task *k)
{
	const struct turn *last = k->turn, *u;
	uint64_t from;
	size_t i;

	k->gap = &t->gap[t->ngap];
	k->active_ns = last->to_ns - last->from_ns;
	for (i = 1; i < k->nturn; i++) {
		u = &k->turn[i];
		say_repeated(&k->turn[i], u - 1);
		if (u->from_ns > last->to_ns) {
			t->gap[t->ngap++] = (struct task_gap){ .after = last, .before = u, .from_ns = last->to_ns,
							       .to_ns = u->from_ns };
			k->gap_ns += u->from_ns - last->to_ns;
			k->ngap++;
		}
		from = u->from_ns > last->to_ns ? u->from_ns : last->to_ns;
		k->active_ns += u->to_ns > from ? u->to_ns - from : 0;
		last = u->to_ns > last->to_ns ? u : last;
	}
}

/* A gap begins or ends. */
struct edge {
	uint64_t t_ns;
	struct task_gap *gap;
	int begins;
};

static int by_time(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->t_ns < y->t_ns ? -1 : x->t_ns > y->t_ns;
}

/* Who is in a gap while no query is active shares that time with the others who are: one walk along all edges. */
static void share_quiet(struct tasks *t, struct edge *edge, size_t n)
{
	double quiet = 0, shared = 0, s;
	size_t i, in = 0, at = 0;
	uint64_t from = 0;

	qsort(edge, n, sizeof(*edge), by_time);
	for (i = 0; i < n; i++) {
		s = in ? (double)(edge[i].t_ns - from - spans_within(&t->active, from, edge[i].t_ns, &at)) * 1e-9 : 0;
		from = edge[i].t_ns;
		quiet += s;
		shared += in ? s / (double)in : 0;
		edge[i].gap->quiet_s = quiet - edge[i].gap->quiet_s;
		edge[i].gap->share_s = shared - edge[i].gap->share_s;
		in += edge[i].begins ? 1 : (size_t)-1;
	}
}

/* The floor of all that is summed; NAN: of one of them it is not known, or there is none. */
static double floor_w(const struct attrib *a)
{
	double w = 0;
	int ch, tops = 0;

	for (ch = 0; ch < a->tl->nch; ch++)
		if (attrib_is_top(a, ch)) {
			w += a->idle[ch].w;
			tops++;
		}
	return tops ? w : NAN;
}

static int idle_of_gaps(struct tasks *t, const struct attrib *a)
{
	struct edge *edge = calloc(2 * t->ngap + 1, sizeof(*edge));
	struct task_gap *g;
	size_t i, at;
	double w;

	if (!edge)
		return -ENOMEM;
	for (i = 0; i < t->ngap; i++) {
		edge[2 * i] = (struct edge){ t->gap[i].from_ns, &t->gap[i], 1 };
		edge[2 * i + 1] = (struct edge){ t->gap[i].to_ns, &t->gap[i], 0 };
	}
	share_quiet(t, edge, 2 * t->ngap);
	free(edge);
	for (i = 0; i < t->ngap; i++) {
		g = &t->gap[i];
		at = 0;
		w = t->silent.lossy || spans_within(&t->silent, g->from_ns, g->to_ns, &at) ? NAN : floor_w(a);
		if (t->active.lossy)
			g->quiet_s = g->share_s = NAN;
		g->idle_j = w * (double)(g->to_ns - g->from_ns) * 1e-9;
		g->idle_share_j = w * g->share_s;
	}
	return 0;
}

int tasks_settle(struct tasks *t, const struct attrib *a)
{
	size_t i;

	t->gap = calloc(t->nturn + 1, sizeof(*t->gap));
	if (!t->gap)
		return -ENOMEM;
	if (t->nturn)
		qsort(t->turn, t->nturn, sizeof(*t->turn), by_task);
	for (i = 0; i < t->nturn; i++) {
		if (!t->turn[i].task->turn)
			t->turn[i].task->turn = &t->turn[i];
		t->turn[i].task->nturn++;
	}
	for (i = 0; i < t->ntask; i++)
		if (t->task[i]->nturn)
			find_gaps(t, t->task[i]);
	return idle_of_gaps(t, a);
}
