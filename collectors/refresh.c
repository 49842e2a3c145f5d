// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/refresh.h"

#include <math.h>

#define SLACK_FIRST 0.02  /* of a period */
#define SLACK_LEAST 0.001
#define SLACK_MOST  0.5
#define SLACK_GROW  1.5
#define SLACK_DECAY 0.99

static double middle(const struct refresh *r)
{
	return (r->from + r->to) / 2;
}

static void set_slack(struct refresh *r, double slack)
{
	r->slack = fmin(fmax(slack, SLACK_LEAST * r->period), SLACK_MOST * r->period);
}

static void begin(struct refresh *r, double lo, double hi)
{
	r->known = 1;
	r->from = lo;
	r->to = hi;
	r->n = 0;
	r->old.n = r->newer.n = 0;
	r->old.t = r->newer.t = middle(r);
}

/* The fewest periods that lead to a refresh after lo; one less, if that misses (lo, hi] by less. */
static double periods_to(const struct refresh *r, double lo, double hi)
{
	double k = fmax(1, ceil((lo - r->to) / (r->period + r->slack)));
	double early = lo - r->to - (k - 1) * (r->period + r->slack);
	double late = r->from + k * (r->period - r->slack) - hi;

	return k > 1 && late >= 0 && early < late ? k - 1 : k;
}

/* Cuts what was predicted, [from, to], with what was read. */
static void cut(struct refresh *r, double from, double to, double lo, double hi)
{
	double at = from >= hi ? hi : lo;
	int apart = from >= hi || to <= lo;

	set_slack(r, r->slack * (apart ? SLACK_GROW : SLACK_DECAY));
	r->from = fmax(lo, apart ? at - r->slack : from);
	r->to = fmin(hi, apart ? at + r->slack : to);
}

/* The last k refreshes are new. When the period is learnt, how far off was the one before is of no matter any more. */
static void learn_period(struct refresh *r, uint64_t k)
{
	int first = r->n >= REFRESH_LEARN && r->n - k < REFRESH_LEARN;

	if (r->n - r->old.n >= REFRESH_LEARN) {
		r->period = (middle(r) - r->old.t) / (double)(r->n - r->old.n);
		set_slack(r, first ? SLACK_FIRST * r->period : r->slack);
	}
	if (r->n - r->newer.n >= REFRESH_SPAN) {
		r->old = r->newer;
		r->newer.n = r->n;
		r->newer.t = middle(r);
	}
}

static void follow(struct refresh *r, double lo, double hi)
{
	double k = periods_to(r, lo, hi);

	if (k > 1 && 2 * k * r->slack >= r->period) { /* nobody can say any more how many there were */
		begin(r, lo, hi);
		return;
	}
	cut(r, r->from + k * (r->period - r->slack), r->to + k * (r->period + r->slack), lo, hi);
	r->n += (uint64_t)k;
	learn_period(r, (uint64_t)k);
}

uint64_t refresh_moved(struct refresh *r, uint32_t period_us, uint64_t lo_ns, uint64_t hi_ns)
{
	double lo, hi = (double)hi_ns;
	uint64_t at;

	if (period_us < REFRESH_LEAST_US)
		return hi_ns;
	if (r->given_us != period_us) {
		*r = (struct refresh){ .given_us = period_us, .period = period_us * 1e3 };
		set_slack(r, SLACK_FIRST * r->period);
	}
	/* Not read for longer than a period: this was the last of several refreshes. */
	lo = fmax((double)lo_ns, hi - r->period);
	if (r->known && lo > hi - r->period)
		follow(r, lo, hi);
	else
		begin(r, lo, hi);
	at = (uint64_t)middle(r);
	return at > hi_ns ? hi_ns : at <= lo_ns ? lo_ns + (lo_ns < hi_ns) : at;
}

void refresh_forget(struct refresh *r)
{
	r->known = 0;
}
