/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A meter whose readings a test writes down, on a clock that only the test moves. */
#ifndef IPW_TEST_FAKE_METER_H
#define IPW_TEST_FAKE_METER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collectors/sampler_internal.h"

#define MS      1000000ull
#define SECOND  1000000000ull
#define T0      (1000 * SECOND)
#define SAMPLES 64

#define FAKE __attribute__((unused)) static

/* What the next readings say. */
static struct {
	uint64_t       now, asleep;
	int            nch;
	struct channel ch[CHANNEL_MAX];
	struct raw     val[CHANNEL_MAX];
	int            open_err, read_err;
	uint64_t       took_ns[4]; /* by the next readings; the last goes on */
	unsigned       reads, closes;
	void (*hook)(void); /* called in the middle of each reading */
} fake;

/* What the sampler gave. */
static struct {
	int           n;
	struct sample s[SAMPLES];
	int           err;   /* what emit returns */
	int           calls; /* of emit */
} got;

static struct sampler *sampler;
static const struct meter *meters;

FAKE uint64_t fake_now(void)
{
	return fake.now;
}

FAKE void fake_sleep(uint64_t ns)
{
	fake.now += ns;
}

FAKE uint64_t fake_asleep(void)
{
	return fake.asleep;
}

static const struct sampler_env fake_env = { fake_now, fake_sleep, fake_asleep };
static const struct meter_opts fake_opts = { "/nowhere", "/nowhere", -1, -1 };

FAKE int fake_open(struct collector *c)
{
	memcpy(c->ch, fake.ch, sizeof(c->ch));
	c->nch = fake.nch;
	snprintf(c->why, sizeof(c->why), "%s", fake.open_err ? "refused, says the test" : "");
	return fake.open_err;
}

FAKE int fake_read(struct collector *c, struct raw *val)
{
	uint64_t took = fake.took_ns[fake.reads < 3 ? fake.reads : 3];

	fake.reads++;
	fake.now += took / 2;
	if (fake.hook)
		fake.hook();
	memcpy(val, fake.val, (size_t)fake.nch * sizeof(*val));
	fake.now += took - took / 2;
	return fake.read_err;
}

FAKE void fake_close(struct collector *c)
{
	fake.closes++;
}

static const struct collector_ops fake_collector = {
	.name = "fake", .doc = "a test", .state_size = 1, .open = fake_open, .read = fake_read, .close = fake_close,
};
static const struct collector_ops *const fake_collectors[] = { &fake_collector, NULL };

FAKE int keep(void *ctx, const struct sample *m)
{
	assert_ptr_equal(ctx, &got);
	got.calls++;
	if (got.err)
		return got.err;
	assert_true(got.n < SAMPLES);
	got.s[got.n++] = *m;
	return 0;
}

/* One channel: a package's counter in microjoules, 1 ms, that does not wrap. */
FAKE struct channel *fake_channel(const char *name)
{
	struct channel *ch = &fake.ch[fake.nch];

	memset(ch, 0, sizeof(*ch));
	snprintf(ch->name, sizeof(ch->name), "%s", name);
	ch->domain = DOMAIN_PACKAGE;
	ch->scale = 1;
	ch->period_us = 1000;
	ch->idle_w = -1;
	fake.val[fake.nch++].valid = 1;
	return ch;
}

FAKE void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	memset(&got, 0, sizeof(got));
	fake.now = T0;
}

FAKE void fake_start(void)
{
	const char *bad;

	assert_int_equal(sampler_new_from(fake_collectors, &fake_env, &fake_opts, NULL, &sampler, &bad), 0);
	assert_int_equal(sampler_meters(sampler, &meters), fake.nch);
}

FAKE int fake_stop(void **state)
{
	sampler_free(sampler);
	sampler = NULL;
	return 0;
}

/* Moves the clock on, and ticks; returns how many samples came, which are then in got.s[0 ..]. */
FAKE int tick_after(uint64_t ns)
{
	got.n = 0;
	fake.now += ns;
	assert_int_equal(sampler_tick(sampler, keep, &got), got.err);
	return got.n;
}

#define assert_near(a, b, eps) near_(a, b, eps, #a, __FILE__, __LINE__)
FAKE void near_(double a, double b, double eps, const char *what, const char *file, int line)
{
	if (fabs(a - b) <= eps)
		return;
	print_error("%s is %.9g, not %.9g\n", what, a, b);
	_fail(file, line);
}

#endif
