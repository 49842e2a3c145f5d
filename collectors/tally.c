// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/tally.h"

#include <math.h>

#define STEPS_LEAST       5            /* that say what all steps are a multiple of */
#define UNKNOWN_PERIOD_NS 250000000ull /* no counter that we know refreshes more seldom */

/* The most that the channel can have taken in dt_ns. */
static double most_uj(uint64_t dt_ns)
{
	return SAMPLER_MAX_W * 1e-3 * (double)dt_ns;
}

/*
 * Whether a step can be energy. What has moved now may have been spent any time since the counter last moved, and that
 * move was seen up to a refresh late.
 */
static int is_believable(const struct tally *t, const struct meter *m, double step_uj, uint64_t t_ns)
{
	uint64_t slack = m->period_us ? 2000ull * m->period_us : UNKNOWN_PERIOD_NS;

	return step_uj <= most_uj(t_ns - t->moved_ns + slack);
}

/* The counter may have gone all the way round since it was last read. */
static int may_have_lapped(const struct tally *t, const struct meter *m, uint64_t t_ns)
{
	return m->ch.wrap > 0 && most_uj(t_ns - t->t_ns) >= m->ch.wrap * m->ch.scale;
}

static void learn_resolution(struct tally *t, struct meter *m, uint64_t step)
{
	uint64_t rest;

	while (step) {
		rest = t->step % step;
		t->step = step;
		step = rest;
	}
	if (++t->nstep >= STEPS_LEAST)
		m->resolution = fmax(m->ch.resolution, (double)t->step * m->ch.scale);
}

static void tally_counter(struct tally *t, struct meter *m, uint64_t value, uint64_t t_ns)
{
	int wrapped = value < t->raw;
	double step;

	if (value == t->raw)
		return;
	t->due = 1;
	if (t->slept) {
		t->flags |= SAMPLE_GAP;
		t->slept = 0;
		return;
	}
	/* Exact in integers first: the counts of perf go beyond 2^53. */
	step = wrapped ? m->ch.wrap - (double)(t->raw - value) : (double)(value - t->raw);
	step *= m->ch.scale;
	if ((wrapped && (t->lost || step < 0)) || may_have_lapped(t, m, t_ns) || !is_believable(t, m, step, t_ns)) {
		t->flags |= SAMPLE_GAP;
		m->resets++;
		return;
	}
	t->energy_uj += step;
	m->wraps += (uint64_t)wrapped;
	if (!wrapped && t->step != 1)
		learn_resolution(t, m, value - t->raw);
}

static void tally_gauge(struct tally *t, struct meter *m, uint64_t value, uint64_t t_ns)
{
	double mean_uw = ((double)t->raw + (double)value) / 2 * m->ch.scale;

	t->due = 1;
	if (t->lost || t->slept)
		t->flags |= SAMPLE_GAP;
	else
		t->energy_uj += mean_uw * 1e-9 * (double)(t_ns - t->t_ns);
	t->slept = 0;
	if (value != t->raw && t->step != 1)
		learn_resolution(t, m, value > t->raw ? value - t->raw : t->raw - value);
}

static int is_good(const struct meter *m, const struct raw *r)
{
	return r->valid &&
	       (m->ch.reading == READING_ENERGY || (double)r->value * m->ch.scale <= SAMPLER_MAX_W * 1e6);
}

/* When what is read now was true. A model has it of the moment, and so has a gauge, as far as is known. */
static uint64_t when_true(struct tally *t, const struct meter *m, uint64_t value, uint64_t t_ns)
{
	if (m->ch.reading != READING_ENERGY || m->ch.made_when_read || !t->moved_ns || value == t->raw)
		return t_ns;
	if (t->flags & SAMPLE_GAP)
		refresh_forget(&t->refresh);
	return refresh_moved(&t->refresh, m->period_us, t->t_ns, t_ns);
}

void tally_add(struct tally *t, struct meter *m, const struct raw *r, uint64_t t_ns)
{
	if (!is_good(m, r)) {
		m->failed++;
		t->lost = 1;
		return;
	}
	if (!t->started)
		t->due = t->started = 1;
	else if (m->ch.reading == READING_ENERGY)
		tally_counter(t, m, r->value, t_ns);
	else
		tally_gauge(t, m, r->value, t_ns);
	t->true_ns = when_true(t, m, r->value, t_ns);
	if (!t->moved_ns || r->value != t->raw)
		t->moved_ns = t_ns;
	t->raw = r->value;
	t->t_ns = t_ns;
	t->lost = 0;
}

int tally_edge(const struct tally *t, const struct meter *m, const struct raw *r, uint64_t t_ns, struct sample *ret)
{
	uint64_t apart = t_ns > t->t_ns ? t_ns - t->t_ns : t->t_ns - t_ns;
	uint64_t slack = m->period_us ? 2000ull * m->period_us : UNKNOWN_PERIOD_NS;
	double step;

	if (!t->started || t->lost || t->flags & SAMPLE_GAP || !r->valid || m->ch.reading != READING_ENERGY)
		return 0;
	step = r->value < t->raw ? -(double)(t->raw - r->value) : (double)(r->value - t->raw);
	if (m->ch.wrap > 0 && fabs(step) > m->ch.wrap / 2)
		step += step > 0 ? -m->ch.wrap : m->ch.wrap;
	step *= m->ch.scale;
	if (fabs(step) > most_uj(apart + slack) || (t_ns < t->t_ns && step > 0) || (t_ns >= t->t_ns && step < 0))
		return 0;
	*ret = (struct sample){ .t_ns = t_ns, .energy_uj = t->energy_uj + step };
	return 1;
}

int tally_sample(struct tally *t, uint64_t t_ns, struct sample *ret)
{
	if (!t->started || t->t_ns != t_ns)
		return 0;
	if (!t->due && t_ns - t->sampled_ns < SAMPLER_STALE_NS)
		return 0;
	ret->t_ns = t->true_ns;
	ret->energy_uj = t->energy_uj;
	ret->flags = (uint16_t)(t->due ? t->flags : t->flags | SAMPLE_STALE);
	t->sampled_ns = t_ns;
	t->flags = 0;
	t->due = 0;
	return 1;
}
