// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which collectors there are, which channel of which is used, and what contains what. */
#include "collectors/sampler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectors/why.h"

#define TRIAL_READS 3

static uint64_t clock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void clock_sleep_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	(void)nanosleep(&t, NULL);
}

/* What CLOCK_BOOTTIME has more. Whoever is interrupted between the two has too much; hardly three times in a row. */
static uint64_t clock_asleep_ns(void)
{
	uint64_t mono, most = UINT64_MAX, more;
	struct timespec t;
	int i;

	for (i = 0; i < 3; i++) {
		mono = clock_now_ns();
		clock_gettime(CLOCK_BOOTTIME, &t);
		more = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec - mono;
		most = more < most ? more : most;
	}
	return most;
}

/* Whether the first `len` bytes of name are a collector's name. */
static int is_called(const struct collector_ops *ops, const char *name, size_t len)
{
	return strlen(ops->name) == len && !memcmp(ops->name, name, len);
}

/* The first of the names that no collector has; NULL when all are known. */
static const char *unknown_name(const struct collector_ops *const *ops, const char *names)
{
	const struct collector_ops *const *o;
	size_t len;

	for (;; names += len + 1) {
		len = strcspn(names, ",");
		for (o = ops; *o && !is_called(*o, names, len); o++)
			;
		if (!*o)
			return names;
		if (!names[len])
			return NULL;
	}
}

static int is_wanted(const struct collector_ops *ops, const char *names)
{
	size_t len;

	for (; names; names += len + 1) {
		len = strcspn(names, ",");
		if (is_called(ops, names, len))
			return 1;
		if (!names[len])
			return 0;
	}
	return 1;
}

static void source_free(struct source *src)
{
	if (!src)
		return;
	src->c.ops->close(&src->c);
	free(src->c.state);
	free(src);
}

static struct source *source_alloc(struct sampler *s, const struct collector_ops *ops)
{
	struct source *src = calloc(1, sizeof(*src));

	if (!src)
		return NULL;
	src->c.ops = ops;
	src->c.opts = &s->opts;
	src->c.now_ns = s->env.now_ns;
	src->c.state = calloc(1, ops->state_size ? ops->state_size : 1);
	if (!src->c.state) {
		free(src);
		return NULL;
	}
	return src;
}

/* The collector that has this domain already, or NULL: a domain comes from one collector only. */
static const char *domain_owner(const struct sampler *s, enum domain domain, const char *but)
{
	int i;

	for (i = 0; i < s->nmeter; i++)
		if (s->meter[i].ch.domain == domain && strcmp(s->meter[i].source, but))
			return s->meter[i].source;
	return NULL;
}

/* The meter that is in use and counts the same, by name; a model measures nothing. */
static int find_twin(const struct sampler *s, const struct channel *ch)
{
	const struct channel *c;
	int i;

	for (i = 0; i < s->nmeter; i++) {
		c = &s->meter[i].ch;
		if (c->domain == ch->domain && !strcmp(c->name, ch->name) && c->reading == READING_ENERGY &&
		    ch->reading == READING_ENERGY && !c->estimated && !ch->estimated)
			return i;
	}
	return CHANNEL_NONE;
}

/* Takes what is free of an open collector's channels; returns how many. */
static int source_adopt(struct sampler *s, struct source *src, uint64_t read_ns, struct source_status *st)
{
	int i, left = 0, used = 0;
	const char *owner, *other = NULL;
	struct meter *m;

	for (i = 0; i < src->c.nch; i++) {
		src->meter[i] = src->twin[i] = CHANNEL_NONE;
		owner = domain_owner(s, src->c.ch[i].domain, src->c.ops->name);
		if (owner) {
			other = owner;
			src->twin[i] = find_twin(s, &src->c.ch[i]);
			continue;
		}
		if (s->nmeter == CHANNEL_MAX) {
			left++;
			continue;
		}
		src->meter[i] = s->nmeter;
		m = &s->meter[s->nmeter++];
		m->ch = src->c.ch[i];
		m->source = src->c.ops->name;
		m->parent = CHANNEL_NONE;
		m->period_us = m->ch.period_us;
		m->resolution = m->ch.resolution;
		m->read_ns = read_ns / (uint64_t)src->c.nch;
		used++;
	}
	if (left)
		why_add(st->why, sizeof(st->why), "%d channels left out: there is room for %d", left, CHANNEL_MAX);
	if (other && !used)
		why_add(st->why, sizeof(st->why), "not used: %s has the same", other);
	return used;
}

/* Reads an open collector a few times; its last reading is where the books begin. */
static int source_try(struct sampler *s, struct source *src, struct raw *val, uint64_t *ret_t_ns, uint64_t *ret_read_ns)
{
	uint64_t start = s->env.now_ns();
	int i, err = 0;

	for (i = 0; i < TRIAL_READS && !err; i++)
		err = source_read(s, src, val, ret_t_ns);
	*ret_read_ns = (s->env.now_ns() - start) / TRIAL_READS;
	return err;
}

static int source_open(struct sampler *s, struct source *src, struct source_status *st)
{
	struct raw val[CHANNEL_MAX];
	uint64_t t_ns, read_ns;
	int err = src->c.ops->open(&src->c);

	if (!err && !src->c.nch)
		err = -ENODEV;
	why_add(st->why, sizeof(st->why), "%s", src->c.why);
	if (err)
		return err;
	err = source_try(s, src, val, &t_ns, &read_ns);
	if (err) {
		why_add(st->why, sizeof(st->why), "cannot be read: %s", strerror(-err));
		return err;
	}
	st->used = source_adopt(s, src, read_ns, st);
	source_tally(s, src, val, t_ns);
	return 0;
}

/* The suffix that package, core, uncore and DRAM of one die share: "-0-die-1". */
static const char *suffix(const struct meter *m)
{
	const char *p = strchr(m->ch.name, '-');

	return p ? p : "";
}

/* The channel of that domain which contains m: its own die's, else its own package's. */
static int find_container(const struct sampler *s, const struct meter *m, enum domain domain)
{
	int i, best = CHANNEL_NONE;

	for (i = 0; i < s->nmeter; i++) {
		if (s->meter[i].ch.domain != domain)
			continue;
		if (domain == DOMAIN_PLATFORM)
			return i;
		if (s->meter[i].ch.unit != m->ch.unit)
			continue;
		if (best == CHANNEL_NONE || !strcmp(suffix(&s->meter[i]), suffix(m)))
			best = i;
	}
	return best;
}

static int find_parent(const struct sampler *s, const struct meter *m)
{
	int package = CHANNEL_NONE;

	if (m->ch.domain == DOMAIN_PLATFORM || m->ch.domain == DOMAIN_GPU)
		return CHANNEL_NONE;
	if (m->ch.domain == DOMAIN_CORE || m->ch.domain == DOMAIN_UNCORE)
		package = find_container(s, m, DOMAIN_PACKAGE);
	return package != CHANNEL_NONE ? package : find_container(s, m, DOMAIN_PLATFORM);
}

static int has_twin(const struct source *src)
{
	int i;

	for (i = 0; i < src->c.nch; i++)
		if (src->twin[i] != CHANNEL_NONE)
			return 1;
	return 0;
}

/* Tries one collector, and keeps it when any of it is used, or can be compared with what is. */
static int sampler_add(struct sampler *s, const struct collector_ops *ops)
{
	struct source_status *st = &s->status[s->nstatus];
	struct source *src = source_alloc(s, ops);

	if (!src)
		return -ENOMEM;
	s->nstatus++;
	st->name = ops->name;
	st->doc = ops->doc;
	st->err = source_open(s, src, st);
	if (st->used)
		s->source[s->nsource++] = src;
	else if (!st->err && has_twin(src))
		s->spare[s->nspare++] = src;
	else
		source_free(src);
	return 0;
}

int sampler_new_from(const struct collector_ops *const *ops, const struct sampler_env *env,
		     const struct meter_opts *opts, const char *names, struct sampler **ret, const char **ret_bad)
{
	const char *bad = names ? unknown_name(ops, names) : NULL;
	struct sampler *s;
	int i, err = 0;

	if (bad) {
		*ret_bad = bad;
		return -ENOENT;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->env = *env;
	s->awake_ns = env->asleep_ns();
	s->opts = *opts;
	for (; *ops && s->nstatus < SOURCE_MAX && !err; ops++)
		if (is_wanted(*ops, names))
			err = sampler_add(s, *ops);
	if (err) {
		sampler_free(s);
		return err;
	}
	for (i = 0; i < s->nmeter; i++)
		s->meter[i].parent = find_parent(s, &s->meter[i]);
	*ret = s;
	return s->nmeter ? 0 : -ENODEV;
}

int sampler_new(const struct meter_opts *opts, const char *names, struct sampler **ret, const char **ret_bad)
{
	static const struct sampler_env env = { clock_now_ns, clock_sleep_ns, clock_asleep_ns };

	return sampler_new_from(collectors, &env, opts, names, ret, ret_bad);
}

void sampler_free(struct sampler *s)
{
	int i;

	for (i = 0; s && i < s->nsource; i++)
		source_free(s->source[i]);
	for (i = 0; s && i < s->nspare; i++)
		source_free(s->spare[i]);
	free(s);
}
