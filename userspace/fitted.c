// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/fitted.h"

#include <math.h>

#include "userspace/weight.h"

#define LAG_STEP_NS 500000ull /* at least */
/*
 * When a counter was refreshed is known to a ms or two, which makes work of one window that of the next and so takes
 * from the cost of what comes in bursts, as prompts do. In a longer window that is less; of what a meter of 100 ms
 * shows each stays one.
 */
#define LEARN_NS    90000000ull
#define MEAN_PARTS  8    /* of the time that a mean is of */

/* --- what the lags are -------------------------------------------------------------------------------------------- */

/* Of a gauge the second half of the lags is of one that shows a mean. */
static int is_mean(const struct fitted *f, uint32_t i)
{
	return f->gauge && i >= FIT_LAGS / 2;
}

/* By an eighth of a window up to two windows, by a quarter up to six, then by one. */
static uint64_t lag_of(const struct fitted *f, uint32_t i)
{
	uint64_t n = is_mean(f, i) ? i - FIT_LAGS / 2 : i;

	return f->lag_step_ns * (n < 16 ? n : n < 32 ? 16 + 2 * (n - 16) : 48 + 8 * (n - 32));
}

uint64_t fitted_lag_ns(const struct fitted *f)
{
	return !f->holds ? 0 : lag_of(f, f->fit.best) + (is_mean(f, f->fit.best) ? FITTED_MEAN_NS / 2 : 0);
}

uint64_t fitted_wait_ns(const struct fitted *f)
{
	return f->holds && is_mean(f, f->fit.best) ? FITTED_MEAN_NS : 0;
}

static uint64_t before(uint64_t t_ns, uint64_t by_ns)
{
	return t_ns > by_ns ? t_ns - by_ns : 0;
}

/* The work that a meter with such a lag shows between two times. */
static void work_shown(const struct fitted *f, const struct work_steps *w, uint32_t i, uint64_t from_ns, uint64_t to_ns,
		       double *x)
{
	uint64_t lag = lag_of(f, i), u;
	int k;

	if (!is_mean(f, i)) {
		work_sum(w, before(from_ns, lag), before(to_ns, lag), x);
		return;
	}
	for (k = 0; k < MEAN_PARTS; k++) {
		u = lag + FITTED_MEAN_NS * (2 * (uint64_t)k + 1) / (2 * MEAN_PARTS);
		work_sum(w, before(from_ns, u), before(to_ns, u), x);
	}
	for (k = 0; k < WORK_KINDS; k++)
		x[k] /= MEAN_PARTS;
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

/* What the slot has of uj that were measured between two times: idle power in. Of an open tick no shares are known. */
static struct gross of_slot(const struct timeline *tl, int ch, int slot, double uj, uint64_t from_ns, uint64_t to_ns)
{
	double mine = 0, all = 0, len = (double)(to_ns - from_ns), part;
	const struct tick *t;
	uint64_t k;

	for (k = timeline_find(tl, from_ns + 1); k < tl->closed && timeline_tick(tl, k)->t0 < to_ns; k++) {
		t = timeline_tick(tl, k);
		part = tick_overlap(t, from_ns, to_ns);
		mine += part * t->share[ch * tl->nslot + slot - 1];
		all += part;
	}
	mine = all > 0 ? mine / all : 0;
	return (struct gross){ uj * 1e-6 * mine, len * 1e-9 * mine };
}

/* The unit of the lags is a part of the median of the first windows. */
static void find_step(struct fitted *f, uint64_t len_ns)
{
	unsigned i;

	for (i = f->nfirst++; i && f->first_ns[i - 1] > len_ns; i--)
		f->first_ns[i] = f->first_ns[i - 1];
	f->first_ns[i] = len_ns;
	if (f->nfirst < FITTED_FIRST)
		return;
	f->lag_step_ns = f->first_ns[FITTED_FIRST / 2] / (f->gauge ? 4 : 8);
	f->lag_step_ns = f->lag_step_ns > LAG_STEP_NS ? f->lag_step_ns : LAG_STEP_NS;
}

/* What the meter shows between two times is also of work that is not in the steps. */
static int is_dark(const struct fitted *f, const struct work_steps *w, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t lag = lag_of(f, f->fit.best), mean = is_mean(f, f->fit.best) ? FITTED_MEAN_NS : 0;

	return work_is_dark(w, before(from_ns, lag + mean), before(to_ns, lag));
}

/* Learns from what was gathered, and begins anew. */
static void learn(struct fitted *f, const struct work_steps *w, double idle_w)
{
	double x[FIT_LAGS][WORK_KINDS] = { 0 }, any = 0;
	uint64_t from = f->learn_ns, to = f->learn_to_ns;
	uint32_t i;

	for (i = 0; i < FIT_LAGS; i++) {
		work_shown(f, w, i, from, to, x[i]);
		any += x[i][WORK_STEP];
	}
	if (any > 0 && !is_dark(f, w, from, to))
		fit_window(&f->fit, x, isnan(idle_w) ? f->learn.j : f->learn.j - idle_w * f->learn.s, from, to);
	f->window_ns = (double)(to - from);
	f->alike = is_mean(f, f->fit.best) ? (double)FITTED_MEAN_NS / f->window_ns : 1;
	f->learn_ns = to;
	f->learn = (struct gross){ 0 };
}

/*
 * Gathers the window that ends with the sample of tick f->scan to be learnt, and adds it to what is left. Of one that
 * began before what is still to be handed out, as the meter was silent for so long that nobody waited, that is an even
 * part, and nothing is learnt.
 */
static void take_window(struct fitted *f, const struct timeline *tl, const struct work_steps *w, int ch, int slot,
			double idle_w)
{
	const struct tick *t = timeline_tick(tl, f->scan);
	uint64_t from = f->seen_ns > t->since_ns[ch] ? f->seen_ns : t->since_ns[ch], to = t->seen_ns[ch];
	struct gross g;
	double part;

	f->seen_ns = to;
	if (isnan(t->seen_uj[ch]) || to <= from)
		return;
	part = (double)(to - from) / (double)(to - t->since_ns[ch]);
	g = of_slot(tl, ch, slot, t->seen_uj[ch] * part, from, to);
	gross_add(&f->left, g.j, g.s, 1);
	if (part < 1)
		return;
	if (!f->lag_step_ns) {
		f->gauge = tl->meters[ch].ch.reading == READING_POWER;
		find_step(f, to - from);
		return;
	}
	if (f->learn_to_ns != from) {
		f->learn_ns = from;
		f->learn = (struct gross){ 0 };
	}
	gross_add(&f->learn, g.j, g.s, 1);
	f->learn_to_ns = to;
	if (to - f->learn_ns >= LEARN_NS)
		learn(f, w, idle_w);
}

/* The tick in which the next sample came; the one behind the last where there is none. */
static uint64_t next_sample(const struct timeline *tl, int ch, uint64_t k)
{
	while (k <= tl->closed && !timeline_tick(tl, k)->seen_ns[ch])
		k++;
	return k;
}

/* The window that begins at from_ns. Where no more samples came there is none, and nothing to hand out, up to to_ns. */
static void open_window(struct fitted *f, const struct timeline *tl, const struct work_steps *w, int ch, int slot,
			uint64_t from_ns, uint64_t to_ns, double idle_w)
{
	uint64_t next;

	f->left = (struct gross){ 0 };
	f->seen_ns = from_ns;
	do { /* what is settled has none that was not taken; of a meter that is silent for long it is overwritten */
		next = next_sample(tl, ch, f->scan + 1 > tl->first ? f->scan + 1 : tl->first);
		if (next > tl->closed)
			break;
		f->scan = next;
		take_window(f, tl, w, ch, slot, idle_w);
	} while (f->seen_ns <= from_ns || f->seen_ns < from_ns + fitted_wait_ns(f));
	f->to_ns = f->seen_ns > from_ns ? f->seen_ns : to_ns;
	f->holds = fit_holds(&f->fit);
}

/* --- ticks -------------------------------------------------------------------------------------------------------- */

static double predicted(const struct fitted *f, const struct work_steps *w, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t lag = fitted_lag_ns(f);
	double x[WORK_KINDS] = { 0 };

	work_sum(w, before(from_ns, lag), before(to_ns, lag), x);
	return fit_energy(f->fit.cost, x);
}

/* Of what is left of the window at from_ns the part up to to_ns. */
static double part_of(const struct fitted *f, const struct work_steps *w, uint64_t from_ns, uint64_t to_ns)
{
	double rest, part;

	if (to_ns >= f->to_ns)
		return 1;
	rest = predicted(f, w, from_ns, f->to_ns);
	part = (double)(to_ns - from_ns) / (double)(f->to_ns - from_ns);
	part = rest > 0 ? predicted(f, w, from_ns, to_ns) / rest : part;
	return part < 1 ? part : 1;
}

static void tick_of(struct fitted_tick *t, const struct fitted *f, const struct timeline *tl,
		    const struct work_steps *w, uint64_t k)
{
	const struct tick *tick = timeline_tick(tl, k);
	uint64_t lag = fitted_lag_ns(f);
	double x[WORK_KINDS] = { 0 };
	int i;

	t->f = f;
	t->from_ns = before(tick->t0, lag);
	t->to_ns = before(tick->t1, lag);
	work_sum(w, t->from_ns, t->to_ns, x);
	t->predicted = fit_energy(f->fit.cost, x);
	for (i = 0; i < FIT_GROUPS; i++)
		t->without[i] = fit_energy(f->fit.without[i], x);
}

struct fitted_tick fitted_settle(struct fitted *f, const struct timeline *tl, const struct work_steps *w, int ch,
				 int slot, uint64_t k, double idle_w)
{
	const struct tick *tick = timeline_tick(tl, k);
	struct fitted_tick t = { 0 };
	uint64_t at, to;
	double part;

	for (at = tick->t0; at < tick->t1; at = to) {
		if (at >= f->to_ns)
			open_window(f, tl, w, ch, slot, at, tick->t1, idle_w);
		to = f->to_ns < tick->t1 ? f->to_ns : tick->t1;
		part = part_of(f, w, at, to);
		gross_add(&t.g, f->left.j, f->left.s, part);
		gross_add(&f->left, f->left.j, f->left.s, -part);
	}
	if (f->holds && !is_dark(f, w, tick->t0, tick->t1))
		tick_of(&t, f, tl, w, k);
	return t;
}

struct fitted_tick fitted_guess(const struct fitted *f, const struct timeline *tl, const struct work_steps *w, int ch,
				int slot, uint64_t k)
{
	const struct tick *tick = timeline_tick(tl, k);
	struct fitted_tick t = { 0 };
	double mine = tick->share[ch * tl->nslot + slot - 1];

	if (!f->holds || is_dark(f, w, tick->t0, tick->t1))
		return t;
	tick_of(&t, f, tl, w, k);
	t.g = (struct gross){ tick->energy_uj[ch] * 1e-6 * mine, tick->covered_ns[ch] * 1e-9 * mine };
	return t;
}

/* What is not settled is not in the sums of all, and must not be more than they. */
static void bound_parts(struct fitted_parts *p)
{
	double all = p->prompt + p->answer;

	if (all <= 1)
		return;
	p->prompt /= all;
	p->answer /= all;
	p->shared /= all;
}

struct fitted_parts fitted_parts(const struct fitted_tick *t, const struct work_steps *s, const struct work *w)
{
	double prompt[WORK_KINDS] = { 0 }, answer[WORK_KINDS] = { 0 }, both[WORK_KINDS];
	const struct fit *f = &t->f->fit;
	struct fitted_parts p = { 0 };
	int i;

	if (!(t->predicted > 0))
		return p;
	work_of(s, w, t->from_ns, t->to_ns, prompt, answer);
	for (i = 0; i < WORK_KINDS; i++)
		both[i] = prompt[i] + answer[i];
	p.prompt = fit_energy(f->cost, prompt) / t->predicted;
	p.answer = fit_energy(f->cost, answer) / t->predicted;
	p.shared = f->cost[WORK_STEP] * both[WORK_STEP] / t->predicted;
	for (i = 0; i < FIT_GROUPS; i++)
		p.without[i] = !(t->without[i] > 0) ? p.prompt + p.answer :
			fit_energy(f->without[i], both) / t->without[i];
	if (!w->settled)
		bound_parts(&p);
	return p;
}
