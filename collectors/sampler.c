// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/sampler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LATE_TIMES    5
#define DEAR_TIMES    20        /* a source is read for at most a twentieth of the time, */
#define FRESH_PARTS   4         /* or this often in a refresh */
#define ASSUMED_US    100000u   /* refresh of a channel of which nothing is known: that of GPUs */
#define POLL_NS       100000ull /* between the readings of sampler_measure() */
#define ASLEEP_NS     1000000ull /* a shorter sleep is none */
#define GAPS_MAX      5         /* refreshes that sampler_measure() waits for */
/*
 * Looks come somewhat more seldom than twice in a refresh: each is still seen by itself, and it lies elsewhere between
 * two looks than the one before, which tells when it was (collectors/refresh.h). At an even half, or a tenth, all looks
 * would say the same. Periods are round, so eleven is a number that few of them are a multiple of.
 */
#define INTERVAL_LEAST_MS 11

static int read_once(struct sampler *s, struct source *src, struct raw *val, uint64_t *ret_t_ns, uint64_t *ret_took)
{
	uint64_t start = s->env.now_ns(), end;
	int err;

	memset(val, 0, (size_t)src->c.nch * sizeof(*val));
	err = src->c.ops->read(&src->c, val);
	end = s->env.now_ns();
	*ret_took = end - start;
	*ret_t_ns = start + (end - start) / 2;
	return err;
}

/* One outlier moves the mean by half at most, and a lasting change still gets through. */
static void learn_usual(struct source *src, uint64_t took)
{
	uint64_t most = LATE_TIMES * src->usual_ns;

	if (!src->usual_ns)
		src->usual_ns = took;
	else
		src->usual_ns = (7 * src->usual_ns + (took < most ? took : most)) / 8;
}

int source_read(struct sampler *s, struct source *src, struct raw *val, uint64_t *ret_t_ns)
{
	uint64_t took, took_again, t_again;
	struct raw again[CHANNEL_MAX];
	int err = read_once(s, src, val, ret_t_ns, &took);

	if (!err && src->usual_ns && took > LATE_TIMES * src->usual_ns &&
	    !read_once(s, src, again, &t_again, &took_again) && took_again < took) {
		memcpy(val, again, (size_t)src->c.nch * sizeof(*val));
		*ret_t_ns = t_again;
	}
	learn_usual(src, took);
	src->t_ns = *ret_t_ns;
	return err;
}

void source_tally(struct sampler *s, struct source *src, const struct raw *val, uint64_t t_ns)
{
	static const struct raw failed;
	int i, m;

	for (i = 0; i < src->c.nch; i++) {
		m = src->meter[i];
		if (m != CHANNEL_NONE)
			tally_add(&s->tally[m], &s->meter[m], val ? &val[i] : &failed, t_ns);
	}
}

/* The machine was suspended since before the last reading: what a meter has counted meanwhile is nobody's. */
static void wake(struct sampler *s, struct source *src, uint64_t before_ns)
{
	uint64_t now = s->env.asleep_ns(), since = src->asleep_ns;
	int i;

	src->asleep_ns = before_ns;
	if (!src->ticked || now <= since + ASLEEP_NS)
		return;
	s->asleep_ns = now;
	for (i = 0; i < src->c.nch; i++)
		if (src->meter[i] != CHANNEL_NONE)
			s->tally[src->meter[i]].slept = 1;
}

static uint64_t source_take(struct sampler *s, struct source *src)
{
	uint64_t t_ns, before_ns = s->env.asleep_ns();
	struct raw val[CHANNEL_MAX];
	int err = source_read(s, src, val, &t_ns);

	wake(s, src, before_ns);
	source_tally(s, src, err ? NULL : val, t_ns);
	return t_ns;
}

/* The shortest refresh of what is used of a source. */
static uint32_t source_period_us(const struct sampler *s, const struct source *src)
{
	uint32_t period = UINT32_MAX, p;
	int i;

	for (i = 0; i < src->c.nch; i++) {
		if (src->meter[i] == CHANNEL_NONE)
			continue;
		p = s->meter[src->meter[i]].period_us;
		p = p ? p : ASSUMED_US;
		period = p < period ? p : period;
	}
	return period;
}

/*
 * Reading a GPU can take milliseconds of the driver's lock. A dear source rests after each reading, but not for so long
 * that its refreshes would be seen late.
 */
static int is_due(const struct sampler *s, const struct source *src)
{
	uint64_t rest = DEAR_TIMES * src->usual_ns, most = source_period_us(s, src) * 1000ull / FRESH_PARTS;

	return !src->ticked || s->env.now_ns() - src->t_ns >= (rest < most ? rest : most);
}

static int source_tick(struct sampler *s, struct source *src, int (*emit)(void *ctx, const struct sample *m), void *ctx)
{
	uint64_t t_ns = source_take(s, src);
	struct sample sample;
	int i, m, err = 0;

	src->ticked = 1;
	for (i = 0; i < src->c.nch && !err; i++) {
		m = src->meter[i];
		if (m == CHANNEL_NONE || !tally_sample(&s->tally[m], t_ns, &sample))
			continue;
		sample.channel = (uint16_t)m;
		err = emit(ctx, &sample);
	}
	return err;
}

uint64_t sampler_asleep_ns(const struct sampler *s)
{
	return s->asleep_ns > s->awake_ns ? s->asleep_ns - s->awake_ns : 0;
}

int sampler_tick(struct sampler *s, int (*emit)(void *ctx, const struct sample *m), void *ctx)
{
	int i, err = 0;

	for (i = 0; i < s->nsource && !err; i++)
		if (is_due(s, s->source[i]))
			err = source_tick(s, s->source[i], emit, ctx);
	return err;
}

/* The refreshes of one channel, as they are seen. */
struct watch {
	uint64_t last_ns;
	uint64_t gap_ns[GAPS_MAX];
	unsigned ngaps;
	int      moves;
};

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void watch_move(struct watch *w, uint64_t t_ns)
{
	if (w->moves++ && w->ngaps < GAPS_MAX)
		w->gap_ns[w->ngaps++] = t_ns - w->last_ns;
	w->last_ns = t_ns;
}

/*
 * A gauge may refresh to the same value, and a reading may come late: the middle gap is not moved by either. A channel
 * that had moved at every reading refreshes faster than it can be read, and what it documents stands.
 */
static void watch_judge(struct watch *w, int reads, struct meter *m)
{
	if (!w->ngaps || w->moves * 2 > reads)
		return;
	qsort(w->gap_ns, w->ngaps, sizeof(w->gap_ns[0]), by_size);
	m->period_us = (uint32_t)(w->gap_ns[w->ngaps / 2] / 1000);
}

/* One reading; 1 when every channel has been seen to refresh often enough. */
static int watch_once(struct sampler *s, struct source *src, struct watch *w)
{
	uint64_t t_ns = source_take(s, src);
	int i, m, done = 1;

	for (i = 0; i < src->c.nch; i++) {
		m = src->meter[i];
		if (m == CHANNEL_NONE)
			continue;
		if (s->tally[m].started && s->tally[m].moved_ns == t_ns)
			watch_move(&w[i], t_ns);
		done &= w[i].ngaps == GAPS_MAX;
	}
	return done;
}

static void source_measure(struct sampler *s, struct source *src, uint64_t end_ns)
{
	struct watch w[CHANNEL_MAX] = { 0 };
	int i, reads = 1;

	while (!watch_once(s, src, w) && s->env.now_ns() < end_ns) {
		/* As long as a reading takes, so that the driver is ours for half of the time at most. */
		s->env.sleep_ns(src->usual_ns > POLL_NS ? src->usual_ns : POLL_NS);
		reads++;
	}
	for (i = 0; i < src->c.nch; i++)
		if (src->meter[i] != CHANNEL_NONE)
			watch_judge(&w[i], reads, &s->meter[src->meter[i]]);
}

void sampler_measure(struct sampler *s, uint64_t budget_ns)
{
	uint64_t end = s->env.now_ns() + budget_ns, now;
	int i;

	/* One after the other, so that a slow source does not hide the refreshes of a quick one; each may take an even
	 * share of what is left. */
	for (i = 0; i < s->nsource; i++) {
		now = s->env.now_ns();
		if (now < end)
			source_measure(s, s->source[i], now + (end - now) / (uint64_t)(s->nsource - i));
	}
}

unsigned sampler_interval_ms(const struct sampler *s)
{
	uint32_t period = 1000000, p;
	int i;

	for (i = 0; i < s->nsource; i++) {
		p = source_period_us(s, s->source[i]);
		if (!s->source[i]->c.ch[0].made_when_read)
			p = p / 20 * 11;
		period = p < period ? p : period;
	}
	return period / 1000 < INTERVAL_LEAST_MS ? INTERVAL_LEAST_MS : period / 1000;
}

int sampler_meters(const struct sampler *s, const struct meter **ret)
{
	*ret = s->meter;
	return s->nmeter;
}

int sampler_status(const struct sampler *s, const struct source_status **ret)
{
	*ret = s->status;
	return s->nstatus;
}

/* The collector that channel `channel` is of, and its place there; NULL: there is none. */
static struct collector *collector_of(struct sampler *s, int channel, int *ret_ch)
{
	struct collector *c;
	int i, ch;

	for (i = 0; i < s->nsource && channel >= 0; i++) {
		c = &s->source[i]->c;
		for (ch = 0; ch < c->nch; ch++)
			if (s->source[i]->meter[ch] == channel) {
				*ret_ch = ch;
				return c;
			}
	}
	return NULL;
}

int sampler_users(struct sampler *s, int channel, struct gpu_user *u, int max)
{
	int ch = 0;
	struct collector *c = collector_of(s, channel, &ch);

	return !c ? -EINVAL : c->ops->users ? c->ops->users(c, ch, u, max) : -ENOTSUP;
}

int sampler_edge_fd(struct sampler *s, int channel)
{
	int ch = 0;
	struct collector *c = collector_of(s, channel, &ch);

	return !c ? -EINVAL : c->ops->edge_fd ? c->ops->edge_fd(c, ch) : -ENOTSUP;
}

int sampler_edge(struct sampler *s, int channel, uint64_t count, uint64_t t_ns, struct sample *ret)
{
	int ch = 0;
	struct collector *c = collector_of(s, channel, &ch);
	struct raw raw;

	if (!c || !c->ops->edge_raw)
		return -EINVAL;
	c->ops->edge_raw(c, ch, count, &raw);
	if (!tally_edge(&s->tally[channel], &s->meter[channel], &raw, t_ns, ret))
		return -ERANGE;
	ret->channel = (uint16_t)channel;
	return 0;
}
