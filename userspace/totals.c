// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/totals.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct totals_row *row_of(struct totals *t, const struct query *q)
{
	struct totals_row *r;
	int i;

	for (i = 0; i < t->nrow; i++)
		if (!strcmp(t->row[i].model, q->model) && !strcmp(t->row[i].dialect, q->open.dialect))
			return &t->row[i];
	if (t->nrow == TOTALS_ROWS)
		return &t->row[TOTALS_ROWS - 1];
	r = &t->row[t->nrow++];
	if (t->nrow == TOTALS_ROWS) {
		snprintf(r->model, sizeof(r->model), "(others)");
	} else {
		snprintf(r->model, sizeof(r->model), "%s", q->model);
		snprintf(r->dialect, sizeof(r->dialect), "%s", q->open.dialect);
	}
	return r;
}

static void observe(struct histo **h, double ms)
{
	if (isnan(ms))
		return;
	if (!*h)
		*h = histo_new();
	if (*h)
		(void)histo_add(*h, (uint64_t)(ms > 0 ? ms * 1e6 : 0), 1);
}

static void add_energy(struct totals_row *row, const struct result *r, int nch, int counted)
{
	struct totals_energy *e;
	const struct acc *a;
	int ch;

	for (ch = 0; ch < nch; ch++) {
		a = &r->acc[ch];
		e = &row->energy[ch];
		gross_add(&e->prefill, a->prefill.j, a->prefill.s, 1);
		gross_add(&e->decode, a->decode.j, a->decode.s, 1);
		if (counted) {
			gross_add(&e->counted, a->prefill.j, a->prefill.s, 1);
			gross_add(&e->counted, a->decode.j, a->decode.s, 1);
		}
		e->jj += a->edge.j * a->edge.j;
		e->js += a->edge.j * a->edge.s;
		e->ss += a->edge.s * a->edge.s;
	}
}

static void add_tokens(struct totals_row *row, const struct result *r)
{
	int64_t completion = query_completion_tokens(r->q);

	if (r->q->usage.prompt >= 0)
		row->prompt += r->q->usage.prompt;
	if (r->q->usage.cached > 0)
		row->cached += r->q->usage.cached;
	if (completion >= 0)
		row->completion += completion;
	row->unknown_tokens += r->q->usage.prompt < 0 || completion < 0;
}

void totals_add(struct totals *t, const struct result *r, int nch)
{
	struct totals_row *row = row_of(t, r->q);

	row->queries++;
	row->errors += r->q->end == QUERY_ERROR;
	row->cancels += r->q->end == QUERY_CANCEL;
	t->running += r->q->end == QUERY_RUNNING;
	t->lost += r->q->end == QUERY_LOST;
	t->hops += r->q->nhop;
	row->flags |= r->flags;
	t->flags |= r->flags;
	t->methods[r->method]++;
	add_tokens(row, r);
	observe(&row->ttft, query_ttft_ms(r->q));
	observe(&row->tpot, query_tpot_ms(r->q));
	observe(&row->duration, query_duration_ms(r->q));
	if (r->q->itl && !row->itl)
		row->itl = histo_new();
	if (r->q->itl && row->itl)
		(void)histo_merge(row->itl, r->q->itl);
	add_energy(row, r, nch, query_completion_tokens(r->q) >= 0);
	tasks_add(&t->tasks, r, nch);
}

/* The edges' variance at an idle floor of w watts. */
static double edge2_of(const struct totals_energy *e, double w)
{
	return isnan(w) ? e->jj : e->jj - 2 * w * e->js + w * w * e->ss;
}

/* Edges are independent of each other, a source's gain error is common to all: of a sum it adds up. */
struct row_joules totals_row_joules(const struct attrib *a, const struct totals_row *r)
{
	struct row_joules ret = { 0 };
	double edge2 = 0, gain = 0;
	int ch, tops = 0;

	for (ch = 0; ch < a->tl->nch; ch++) {
		const struct totals_energy *e = &r->energy[ch];

		if (!attrib_is_top(a, ch))
			continue;
		tops++;
		ret.prefill_j += attrib_joules(a, ch, &e->prefill);
		ret.decode_j += attrib_joules(a, ch, &e->decode);
		ret.counted_j += attrib_joules(a, ch, &e->counted);
		edge2 += edge2_of(e, a->idle[ch].w);
		gain += attrib_gain(a, ch) * fabs(attrib_joules(a, ch, &e->prefill) + attrib_joules(a, ch, &e->decode));
	}
	ret.bound_j = r->flags & (QF_METER_GAP | QF_LOST_EVENTS) ? NAN : sqrt(edge2 > 0 ? edge2 : 0) + gain;
	if (!tops)
		ret = (struct row_joules){ NAN, NAN, NAN, NAN };
	return ret;
}

/* Of all queries: as totals_row_joules(), over the rows. */
static double bound_of(const struct totals *t, const struct attrib *a)
{
	double edge2 = 0, gain = 0;
	int ch, i;

	for (ch = 0; ch < a->tl->nch; ch++) {
		if (!attrib_is_top(a, ch))
			continue;
		for (i = 0; i < t->nrow; i++)
			edge2 += edge2_of(&t->row[i].energy[ch], a->idle[ch].w);
		gain += attrib_gain(a, ch) * fabs(attrib_joules(a, ch, &a->book[ch].queries));
	}
	return t->flags & (QF_METER_GAP | QF_LOST_EVENTS) ? NAN : sqrt(edge2 > 0 ? edge2 : 0) + gain;
}

enum attrib_method summary_method(const struct summary *m)
{
	const uint64_t *n = m->totals->methods;
	enum attrib_method most = METHOD_TOKENS, k;

	if (n[METHOD_GPU_UNSPLIT])
		return METHOD_GPU_UNSPLIT;
	for (k = METHOD_TOKENS; k <= METHOD_FITTED; k++)
		most = n[k] > n[most] ? k : most;
	return n[most] ? most : METHOD_NONE;
}

void totals_release(struct totals *t)
{
	int i;

	tasks_release(&t->tasks);
	for (i = 0; i < t->nrow; i++) {
		histo_free(t->row[i].ttft);
		histo_free(t->row[i].tpot);
		histo_free(t->row[i].itl);
		histo_free(t->row[i].duration);
	}
}

/* One channel into the sums. */
static void add_book(struct summary *s, const struct attrib *a, int ch)
{
	const struct book *b = &a->book[ch];
	struct summary_domain *d = &s->domain[s->ndomain++];
	int known = !isnan(a->idle[ch].w);

	*d = (struct summary_domain){ .meter = &a->tl->meters[ch], .top = attrib_is_top(a, ch),
				      .measured_j = b->measured.j, .idle_w = a->idle[ch].w,
				      .idle = known ? a->idle[ch].source : IDLE_UNKNOWN };
	if (!d->top)
		return;
	s->estimated |= d->meter->ch.estimated;
	s->measured_j += b->measured.j;
	s->queries_j += attrib_joules(a, ch, &b->queries);
	s->server_other_j += attrib_joules(a, ch, &b->server_other);
	s->others_j += attrib_joules(a, ch, &b->others);
	/* Without a floor there is no idle row: what was used while nothing ran is booked as the others'. */
	if (known)
		s->idle_j += attrib_joules(a, ch, &b->idle);
	else
		s->others_j += b->idle.j;
	s->idle_source = d->idle;
}

void totals_summary(const struct totals *t, const struct attrib *a, const struct run *run, const struct run_end *end,
		   struct summary *ret)
{
	int64_t prompt = 0, completion = 0;
	uint64_t known = 0;
	int i, tops = 0, unknown = 0, measured = 0;
	const struct book *b;

	*ret = (struct summary){ .run = run, .end = end, .totals = t, .books = a, .early = a->early,
				 .gaps = a->tl->gaps };
	for (i = 0; i < a->tl->nch; i++) {
		add_book(ret, a, i);
		if (!attrib_is_top(a, i))
			continue;
		b = &a->book[i];
		tops++;
		unknown += isnan(a->idle[i].w);
		ret->mean_w += b->covered_s > 0 ? b->measured.j / b->covered_s : 0;
		measured |= b->covered_s > 0;
	}
	for (i = 0; i < t->nrow; i++) {
		ret->queries += t->row[i].queries;
		ret->errors += t->row[i].errors;
		ret->cancels += t->row[i].cancels;
		prompt += t->row[i].prompt;
		completion += t->row[i].completion;
		known += t->row[i].queries - t->row[i].unknown_tokens;
	}
	ret->duration_s = (double)(int64_t)(end->end_ns - run->start_ns) * 1e-9;
	ret->prompt_tokens = !ret->queries || known || prompt ? prompt : -1;
	ret->completion_tokens = !ret->queries || known || completion ? completion : -1;
	ret->tokens_per_s = ret->completion_tokens >= 0 && ret->duration_s > 0 ?
			    (double)completion / ret->duration_s : NAN;
	ret->concurrency_mean = a->busy_s > 0 ? a->query_s / a->busy_s : NAN;
	ret->imbalance = ret->measured_j ? (ret->queries_j + ret->server_other_j + ret->others_j + ret->idle_j -
					    ret->measured_j) / ret->measured_j : 0;
	if (!measured)
		ret->mean_w = NAN;
	ret->bound_j = end->lost_events ? NAN : bound_of(t, a);
	ret->flags = (t->flags & ~(uint32_t)QF_IDLE_UNKNOWN) | (unknown ? QF_IDLE_UNKNOWN : 0) |
		     (a->tl->gaps ? QF_METER_GAP : 0) | (end->lost_events ? QF_LOST_EVENTS : 0);
	if (unknown)
		ret->idle_source = IDLE_UNKNOWN;
	if (unknown == tops)
		ret->idle_j = NAN;
	if (!tops)
		ret->measured_j = ret->queries_j = ret->server_other_j = ret->others_j = ret->idle_j = ret->bound_j =
			ret->mean_w = NAN;
}
