// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * When counters refreshed, as the sampler says it, against when they did. Each case states how many times smaller the
 * mean error of its stamps must be than that of the times of reading.
 */
#include "tests/unit/fake_meter.h"

#define REFRESHES 40000
#define WATTS     300

/* A meter of a steady power that refreshes at at[], and what it counts then. */
static struct {
	uint64_t at[REFRESHES], n, next;
	uint64_t first_mj, opened_mj;
} meter;

static uint64_t noise_state;

/* About normal, of variance 1: a sum of twelve that are even in [0, 1), less its mean. */
static double noise(void)
{
	double sum = -6;
	int i;

	for (i = 0; i < 12; i++) {
		noise_state = noise_state * 6364136223846793005ull + 1442695040888963407ull;
		sum += (double)(noise_state >> 33) / 2147483648.0;
	}
	return sum;
}

/* Its joules are those until the refresh. */
static uint64_t counter(uint64_t i)
{
	return meter.first_mj + (meter.at[i] - T0) / 1000000 * WATTS;
}

static void show(void)
{
	while (meter.next < meter.n && meter.at[meter.next] <= fake.now)
		meter.next++;
	fake.val[0].value = counter(meter.next - 1);
}

/* Refreshes every period, each off by a part of it that the next one starts from. */
static void plan(double period_ms, double jitter, double seconds)
{
	double t = 3.7;

	meter.next = 1;
	meter.first_mj = 5000;
	meter.at[0] = T0;
	for (meter.n = 1; t < seconds * 1e3 && meter.n < REFRESHES; meter.n++) {
		meter.at[meter.n] = T0 + (uint64_t)(t * 1e6);
		t += fmax(0.2, 1 + jitter * noise()) * period_ms;
	}
}

/* Takes the refreshes of some seconds out. */
static void stand_still(double from_s, double to_s)
{
	uint64_t i, n = 0;

	for (i = 0; i < meter.n; i++)
		if (meter.at[i] < T0 + (uint64_t)(from_s * 1e9) || meter.at[i] >= T0 + (uint64_t)(to_s * 1e9))
			meter.at[n++] = meter.at[i];
	meter.n = n;
}

static void start_refreshing(uint32_t given_us, uint64_t took_ns)
{
	struct channel *ch;
	int i;

	fake_reset();
	ch = fake_channel("gpu0");
	ch->domain = DOMAIN_GPU;
	ch->scale = 1000;
	ch->period_us = given_us;
	fake.hook = show;
	for (i = 0; i < 4; i++)
		fake.took_ns[i] = took_ns;
	fake_start();
	meter.opened_mj = fake.val[0].value;
}

static struct {
	double   by_stamp, by_reading; /* mean error, ms */
	unsigned n, gaps;
} err;

/* What holds of every sample; `before` is when the counter was read last, and had not moved. */
static void check_sample(const struct sample *m, uint64_t before, uint64_t last_ns)
{
	assert_true(m->t_ns <= fake.now && m->t_ns > last_ns);
	assert_true(m->t_ns >= before);
	if (!err.gaps)
		assert_near(m->energy_uj, (double)(fake.val[0].value - meter.opened_mj) * 1000, 1);
}

/* Ticks for some seconds, of which the first two are not judged. */
static void watch(uint64_t every_ns, double seconds)
{
	uint64_t end = T0 + (uint64_t)(seconds * 1e9), before = 0, read_ns, last_ns = 0;
	unsigned reads;

	memset(&err, 0, sizeof(err));
	while (fake.now < end) {
		reads = fake.reads;
		tick_after(every_ns);
		if (fake.reads == reads)
			continue;
		read_ns = fake.now - fake.took_ns[3] / 2;
		if (got.n) {
			err.gaps += !!(got.s[0].flags & SAMPLE_GAP);
			check_sample(&got.s[0], before, last_ns);
			last_ns = got.s[0].t_ns;
		}
		if (got.n && !got.s[0].flags && fake.now > T0 + 2 * SECOND) {
			err.n++;
			err.by_stamp += fabs((double)got.s[0].t_ns - (double)meter.at[meter.next - 1]) / MS;
			err.by_reading += fabs((double)read_ns - (double)meter.at[meter.next - 1]) / MS;
		}
		before = read_ns;
	}
	err.by_stamp /= err.n;
	err.by_reading /= err.n;
}

static void assert_better(double times)
{
	if (err.by_stamp * times <= err.by_reading && err.n > 50)
		return;
	print_error("%.3f ms by stamps, %.3f ms by readings (%u)\n", err.by_stamp, err.by_reading, err.n);
	fail();
}

struct shape {
	double   period_ms, jitter;
	uint32_t given_us;
	uint64_t every_ns, took_ns;
	double   times; /* better than the readings; the middle of two readings is 2 */
};

static void try_shape(const struct shape *s)
{
	plan(s->period_ms, s->jitter, 60);
	start_refreshing(s->given_us, s->took_ns);
	watch(s->every_ns, 60);
	assert_better(s->times);
	assert_int_equal(err.gaps, 0);
	fake_stop(NULL);
}

static void try_all(const struct shape *s, size_t n)
{
	for (noise_state = 1; n--; s++)
		try_shape(s);
}

#define TRY(...)                                                                                                       \
	do {                                                                                                           \
		static const struct shape s_[] = { __VA_ARGS__ };                                                      \
		try_all(s_, sizeof(s_) / sizeof(s_[0]));                                                               \
	} while (0)

static void steady(void **state)
{
	TRY({ 20, 0, 20000, 11 * MS, 2000, 20 }, { 100, 0, 100000, 55 * MS, 2000, 25 },
	    { 100, 0, 100000, 11 * MS, 2000, 8 });
}

static void jitter_of_two_percent(void **state)
{
	TRY({ 20, 0.02, 20000, 11 * MS, 2000, 7 }, { 100, 0.02, 100000, 55 * MS, 2000, 7 },
	    { 100, 0.02, 100000, 11 * MS, 2000, 2.4 });
}

/* Looks that stand still against the refreshes say less, and still more than nothing. */
static void looks_in_step_with_refreshes(void **state)
{
	TRY({ 20, 0.02, 20000, 10 * MS, 2000, 2 }, { 100, 0.02, 100000, 50 * MS, 2000, 2 });
}

/* Nothing can be predicted: it is the middle of the readings, and not worse. */
static void jitter_of_twenty_percent(void **state)
{
	TRY({ 20, 0.2, 20000, 11 * MS, 2000, 2 }, { 100, 0.2, 100000, 55 * MS, 2000, 2 },
	    { 100, 0.2, 100000, 10 * MS, 2000, 1.9 });
}

static void period_that_is_not_the_documented(void **state)
{
	TRY({ 20.3, 0.0, 20000, 11 * MS, 2000, 15 }, { 96.1, 0.0, 100000, 11 * MS, 2000, 6 },
	    { 20.3, 0.0, 20000, 10 * MS, 2000, 15 }, { 19.8, 0.02, 20000, 10 * MS, 2000, 3 },
	    { 97.0, 0.02, 100000, 53 * MS, 2000, 6 }, { 100, 0, 200000, 11 * MS, 2000, 8 },
	    { 100, 0, 50000, 11 * MS, 2000, 2.5 });
}

/* 5 ms of the driver's lock: read at every 25 ms or so of 100. */
static void dear_source(void **state)
{
	TRY({ 100, 0, 100000, 11 * MS, 5 * MS, 10 }, { 100, 0.02, 100000, 11 * MS, 5 * MS, 4 });
}

/* Not read for longer than it takes to refresh: the last of several. */
static void looks_further_apart_than_refreshes(void **state)
{
	TRY({ 20, 0, 20000, 47 * MS, 2000, 1.9 }, { 20, 0.02, 20000, 110 * MS, 2000, 1.9 },
	    { 20, 0.2, 20000, 1000 * MS, 2000, 1.9 });
}

static void too_quick_to_be_seen_is_the_reading(void **state)
{
	plan(1, 0, 10);
	start_refreshing(1000, 2000);
	watch(11 * MS, 10);
	assert_true(err.n > 700 && err.by_stamp == err.by_reading);
}

static void unknown_period_is_the_reading(void **state)
{
	plan(100, 0, 30);
	start_refreshing(0, 2000);
	watch(11 * MS, 30);
	assert_true(err.n > 200 && err.by_stamp == err.by_reading);
}

/* Nothing was used for a while, or nothing refreshed; the phase may be another one then. */
static void counter_that_stands_still(void **state)
{
	static const double until[] = { 10.1, 10.9, 13, 20 };
	size_t i, k;

	for (i = 0; i < sizeof(until) / sizeof(until[0]); i++) {
		noise_state = i;
		plan(20, 0.02, 60);
		stand_still(10, until[i]);
		for (k = 0; k < meter.n; k++)
			meter.at[k] += i % 2 && meter.at[k] > T0 + 10 * SECOND ? 7 * MS : 0;
		start_refreshing(20000, 2000);
		watch(11 * MS, 60);
		assert_better(6);
		fake_stop(NULL);
	}
}

static uint64_t resets_at;
static void show_reset(void)
{
	show();
	if (fake.now >= resets_at)
		fake.val[0].value -= counter(0);
}

/* The driver was loaded anew in the middle, and counts from another moment. */
static void reset_begins_anew(void **state)
{
	uint64_t k;

	noise_state = 3;
	plan(20, 0.02, 60);
	for (k = 0; k < meter.n; k++)
		meter.at[k] += meter.at[k] > T0 + 30 * SECOND ? 9 * MS : 0;
	meter.first_mj = 50000000;
	resets_at = T0 + 30 * SECOND;
	start_refreshing(20000, 2000);
	fake.hook = show_reset;
	watch(11 * MS, 60);
	assert_int_equal(err.gaps, 1);
	assert_better(7);
}

/* Readings fail for a second now and then. */
static void readings_that_fail(void **state)
{
	int i;

	noise_state = 4;
	plan(20, 0, 60);
	start_refreshing(20000, 2000);
	for (i = 1; i <= 5; i++) {
		watch(11 * MS, 10 * i);
		assert_better(8);
		fake.val[0].valid = 0;
		assert_int_equal(tick_after(SECOND), 0);
		fake.val[0].valid = 1;
	}
}

/* As the program does it: the period is measured, then the interval chosen. */
static void as_it_is_measured(void **state)
{
	static const double period_ms[] = { 20, 37, 64, 100 };
	size_t i;

	for (i = 0; i < sizeof(period_ms) / sizeof(period_ms[0]); i++) {
		noise_state = i;
		plan(period_ms[i], 0.02, 60);
		start_refreshing(0, 2000);
		sampler_measure(sampler, SECOND);
		assert_near(meters[0].period_us, period_ms[i] * 1e3, period_ms[i] * 40);
		watch(sampler_interval_ms(sampler) * MS, 60);
		assert_better(6);
		fake_stop(NULL);
	}
}

static void model_and_gauge_are_of_the_moment(void **state)
{
	int i;

	for (i = 0; i < 2; i++) {
		plan(100, 0, 10);
		fake_stop(NULL);
		start_refreshing(100000, 2000);
		sampler->meter[0].ch.made_when_read = i;
		sampler->meter[0].ch.reading = i ? READING_ENERGY : READING_POWER;
		for (; fake.now < T0 + 5 * SECOND;)
			if (tick_after(11 * MS))
				assert_int_equal(got.s[0].t_ns, fake.now - 1000);
	}
}

#define TEST(f) cmocka_unit_test_teardown(f, fake_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(steady),
		TEST(jitter_of_two_percent),
		TEST(looks_in_step_with_refreshes),
		TEST(jitter_of_twenty_percent),
		TEST(period_that_is_not_the_documented),
		TEST(dear_source),
		TEST(looks_further_apart_than_refreshes),
		TEST(too_quick_to_be_seen_is_the_reading),
		TEST(unknown_period_is_the_reading),
		TEST(counter_that_stands_still),
		TEST(reset_begins_anew),
		TEST(readings_that_fail),
		TEST(as_it_is_measured),
		TEST(model_and_gauge_are_of_the_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
