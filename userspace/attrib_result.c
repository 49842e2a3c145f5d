// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <math.h>

#include "userspace/attrib_internal.h"

#define NO_WEIGHT  1e-9  /* below it a sum of weights is what rounding left of none */
#define ALONE      1e-9  /* active time of two queries at once, of that of any: what rounding left of none */
#define T_GROUPS   2.365 /* Student's t, 97.5 %, 7 degrees of freedom */
#define COVERED    0.99  /* a tick of which a meter has measured less has a hole */
#define GAIN_MODEL 1.0   /* a model may be wrong by all it says: utilisation tells not what the cycles do, 2-4x (AVX) */

double attrib_gain(const struct attrib *a, int ch)
{
	const struct channel *c = &a->tl->meters[ch].ch;

	return c->estimated ? GAIN_MODEL : c->accuracy;
}

double attrib_active_in(const struct query *q, const struct tick *t)
{
	return tick_overlap(t, q->r_ns, attrib_runs(q) ? UINT64_MAX : q->e_ns);
}

/* The parts of what the server's queries got of a tick that are one query's, before and after F. */
struct parts {
	double prefill, decode, time; /* time: had it been divided by active time */
};

static struct parts parts_of(const struct query *q, const struct tick *t, double weight, const struct active *act)
{
	const struct attrib_query *aq = q->share;
	struct parts ret = { .time = act->time > 0 ? aq->active / act->time : 0 };

	if (weight > NO_WEIGHT) {
		ret.prefill = aq->prefill / weight;
		ret.decode = aq->decode / weight;
	} else {
		ret.prefill = ret.time;
		if (query_first_ns(q) && aq->active > 0)
			ret.prefill *= tick_overlap(t, q->r_ns, query_first_ns(q)) / aq->active;
		ret.decode = ret.time - ret.prefill;
	}
	return ret;
}

/*
 * What is not known where an edge cuts the tick, as a part of its energy: a quarter of a refresh of the meter, or of
 * the tick where that is longer; but where the meter was read near by, no more than the time from there.
 */
static double cut_at(const struct tick *t, int ch, uint64_t at_ns, double refresh)
{
	double len = (double)(t->t1 - t->t0), most = 0.25 * fmax(refresh, 1), away = len;

	if (at_ns <= t->t0 || at_ns > t->t1)
		return 0;
	if (t->read[ch] & TICK_READ_BEGIN)
		away = (double)(at_ns - t->t0);
	if (t->read[ch] & TICK_READ_END)
		away = fmin(away, (double)(t->t1 - at_ns));
	return fmin(most, 0.25 * refresh + away / len);
}

/* By R and E. */
static double edges_in(const struct query *q, const struct tick *t, int ch, double refresh)
{
	return cut_at(t, ch, q->r_ns, refresh) + (attrib_runs(q) ? 0 : cut_at(t, ch, q->e_ns, refresh));
}

/* A tick is a part of a window of the meter: of how far that is from the fit it has an even part. */
static void charge_fitted(const struct fitted_tick *f, const struct query *q, const struct tick *t, int ch,
			  struct part *p, struct gross *given)
{
	struct fitted_parts mix = fitted_parts(f, &q->share->slot->steps, &q->share->work);
	double all = mix.prompt + mix.answer, off = fit_residual(&f->f->fit) * all;
	struct acc *c = &p->ch[ch];
	int i;

	c->measured |= all > 0 && t->covered_ns[ch] > 0;
	gross_add(&c->prefill, f->g.j, f->g.s, mix.prompt);
	gross_add(&c->decode, f->g.j, f->g.s, mix.answer);
	gross_add(&c->time, f->g.j, f->g.s, all);
	gross_add(&c->fitted, f->g.j, f->g.s, all);
	gross_add(&c->shared, f->g.j, f->g.s, mix.shared);
	for (i = 0; i < FIT_GROUPS; i++)
		gross_add(&c->without[i], f->g.j, f->g.s, mix.without[i]);
	c->noise2 += off * off * (double)(t->t1 - t->t0) / f->f->window_ns * f->f->alike;
	c->unsure |= all > 0 && !f->f->fit.grouped;
	p->fitted_j += fabs(f->g.j) * all;
	p->all_j += fabs(f->g.j) * all;
	if (given)
		gross_add(given, f->g.j, f->g.s, all);
}

void attrib_charge(const struct attrib *a, const struct query *q, const struct tick *t, double weight,
		   const struct active *act, const struct fitted_tick *fitted, struct part *p, struct gross *given)
{
	double len = (double)(t->t1 - t->t0), any = act->any / len, j, s, mine, refresh;
	struct parts mix = parts_of(q, t, weight, act);
	int alone = act->time <= act->any * (1 + ALONE);
	double active = q->share->active, beside = act->time > 0 ? active / act->time * any : 0;
	int there = active > 0 || q->share->prefill + q->share->decode > 0, ch, i;
	struct acc *c;

	p->flags |= active > 0 && act->dark && !alone ? QF_STEPS_UNKNOWN : 0;
	p->weighed_ns += weight > NO_WEIGHT ? active : 0;
	p->concurrency_ns += act->any > 0 ? active * act->time / act->any : 0;
	for (ch = 0; ch < a->tl->nch; ch++) {
		if (!attrib_is_top(a, ch))
			continue;
		c = &p->ch[ch];
		c->measured |= there && t->covered_ns[ch] > 0;
		c->idle_s += t->covered_ns[ch] * 1e-9 * beside;
		p->flags |= active > 0 && t->covered_ns[ch] < COVERED * len ? QF_METER_GAP : 0;
		p->flags |= t->unsplit[ch] ? QF_GPU_UNSPLIT : 0;
		if (fitted[ch].f) {
			charge_fitted(&fitted[ch], q, t, ch, p, given ? &given[ch] : NULL);
			continue;
		}
		mine = t->share[ch * a->tl->nslot + (int)q->open.slot - 1];
		j = t->energy_uj[ch] * 1e-6 * mine;
		s = t->covered_ns[ch] * 1e-9 * mine;
		refresh = a->tl->meters[ch].period_us * 1e3 / len;
		gross_add(&c->prefill, j, s, mix.prefill * any);
		gross_add(&c->decode, j, s, mix.decode * any);
		gross_add(&c->time, j, s, mix.time * any);
		for (i = 0; i < FIT_GROUPS; i++)
			gross_add(&c->without[i], j, s, (mix.prefill + mix.decode) * any);
		gross_add(&c->edge, j, s, edges_in(q, t, ch, refresh));
		p->all_j += fabs(j) * (mix.prefill + mix.decode) * any;
	}
}

void attrib_weigh(struct query *q, const struct tick *t, uint64_t k)
{
	struct attrib_query *aq = q->share;

	aq->active = attrib_active_in(q, t);
	aq->prefill = weight_of_spread(&aq->weight, t);
	aq->decode = weight_of_events(&aq->weight, k);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

/* Half of a 95 % interval by the delete-a-group jackknife: Student's t of one degree less than there are groups. */
static double jackknife(const struct attrib *a, int ch, const struct acc *c, double j)
{
	double sum = 0, d;
	int i;

	for (i = 0; i < FIT_GROUPS; i++) {
		d = attrib_joules(a, ch, &c->without[i]) - j;
		sum += d * d;
	}
	return c->unsure ? NAN : T_GROUPS * sqrt(sum * (FIT_GROUPS - 1) / FIT_GROUPS);
}

static void result_channel(const struct attrib *a, const struct part *p, int ch, struct result *r)
{
	const struct acc *c = &p->ch[ch];
	double pre = attrib_joules(a, ch, &c->prefill), j = pre + attrib_joules(a, ch, &c->decode);

	if (a->tl->meters[ch].ch.estimated)
		r->flags |= QF_ESTIMATED;
	if (isnan(a->idle[ch].w))
		r->flags |= QF_IDLE_UNKNOWN;
	if (!c->measured)
		return;
	r->domain_j[ch] = j;
	r->prefill_j += pre;
	r->energy_j += j;
	r->idle_j += a->idle[ch].w * c->idle_s;
	r->shared_j += attrib_joules(a, ch, &c->shared);
	r->edge_j = hypot(r->edge_j, attrib_joules(a, ch, &c->edge));
	r->gain_j = hypot(r->gain_j, attrib_gain(a, ch) * j);
	r->gain_known &= attrib_gain(a, ch) > 0;
	r->split_j += fabs(j - attrib_joules(a, ch, &c->time)) + jackknife(a, ch, c, j);
	r->noise_j = hypot(r->noise_j, 1.96 * sqrt(c->noise2));
}

/* By the fit who waits for a step costs nothing. */
static void result_queue(const struct query *q, struct result *r)
{
	const struct work *w = &q->share->work;
	uint64_t begin = w->settled && q->share->slot->steps.seen ? work_begin_ns(&q->share->slot->steps, w) : 0;

	if (begin < q->r_ns)
		return;
	r->queue_ms = (double)(begin - q->r_ns) * 1e-6;
	if (r->method != METHOD_FITTED)
		return;
	r->queue_j = 0;
	r->flags &= ~(uint32_t)QF_QUEUE_IN_PREFILL;
}

/* The one that gave most of the joules. */
static enum attrib_method method_of(const struct attrib *a, const struct part *p, const struct result *r)
{
	double j = 0;
	int ch;

	for (ch = 0; ch < a->tl->nch; ch++)
		j += attrib_joules(a, ch, &p->ch[ch].fitted);
	if (r->flags & QF_GPU_UNSPLIT)
		return METHOD_GPU_UNSPLIT;
	if (fabs(j) > fabs(r->energy_j - j))
		return METHOD_FITTED;
	return p->weighed_ns > 0 ? METHOD_TOKENS : METHOD_TIME;
}

void attrib_result(const struct attrib *a, const struct query *q, const struct part *p, struct result *r)
{
	double active = (double)(q->e_ns - q->r_ns);
	int ch, known = 0, phased;

	*r = (struct result){ .q = q, .flags = q->flags | p->flags, .acc = p->ch, .queue_ms = NAN, .queue_j = NAN,
			      .gain_known = 1 };
	for (ch = 0; ch < a->tl->nch; ch++) {
		r->domain_j[ch] = NAN;
		if (attrib_is_top(a, ch))
			result_channel(a, p, ch, r);
		known |= !isnan(r->domain_j[ch]);
	}
	/* Of an answer that is not streamed the steps know, if all of it was split by them. */
	phased = query_first_ns(q) || (p->fitted_j > 0 && p->fitted_j >= p->all_j && q->share->work.first_step);
	if (!phased)
		r->prefill_j = r->energy_j; /* also what a hop had after its own F */
	r->decode_j = phased ? r->energy_j - r->prefill_j : NAN;
	r->bound_j = r->flags & (QF_METER_GAP | QF_LOST_EVENTS | QF_EARLY_SPLIT | QF_STEPS_UNKNOWN) ? NAN :
		hypot(hypot(r->edge_j, r->gain_j), r->noise_j) + r->split_j;
	r->concurrency_mean = active > 0 ? p->concurrency_ns / active : NAN;
	r->method = method_of(a, p, r);
	if (p->fitted_j < p->all_j)
		r->shared_j = NAN; /* of a part of it nobody knows */
	result_queue(q, r);
	if (known)
		return;
	r->energy_j = r->idle_j = r->prefill_j = r->decode_j = r->shared_j = r->bound_j = NAN;
	r->method = METHOD_NONE;
}
