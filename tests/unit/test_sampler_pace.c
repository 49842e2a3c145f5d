// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How often a channel refreshes, and how often it is worth reading. */
#include "tests/unit/fake_meter.h"

static int setup(void **state)
{
	fake_reset();
	return 0;
}

/* Counters of 100 W that are refreshed now and then. */
static uint64_t refresh_ns[2];
static void refresh(void)
{
	int i;

	for (i = 0; i < fake.nch; i++)
		fake.val[i].value = (refresh_ns[i] ? fake.now / refresh_ns[i] * refresh_ns[i] : T0) / 10;
}

static void start_refreshing(uint64_t a_ns, uint64_t b_ns, uint32_t documented_us, uint64_t took_ns)
{
	int i;

	refresh_ns[0] = a_ns;
	refresh_ns[1] = b_ns;
	fake_channel("package-0")->period_us = documented_us;
	fake_channel("package-1")->period_us = documented_us;
	fake.hook = refresh;
	for (i = 0; i < 4; i++)
		fake.took_ns[i] = took_ns;
	fake_start();
}

static void refresh_is_measured(void **state)
{
	start_refreshing(20 * MS, 100 * MS, 0, 2000);
	assert_int_equal(meters[0].period_us, 0);
	assert_int_equal(sampler_interval_ms(sampler), 55);
	sampler_measure(sampler, SECOND);
	assert_near(meters[0].period_us, 20000, 200);
	assert_near(meters[1].period_us, 100000, 200);
	assert_int_equal(sampler_interval_ms(sampler), 11);
	assert_true(fake.now < T0 + 800 * MS); /* it stops when it knows */
}

static void measuring_loses_no_energy(void **state)
{
	start_refreshing(20 * MS, 100 * MS, 0, 2000);
	sampler_measure(sampler, SECOND);
	assert_int_equal(tick_after(200 * MS), 2);
	assert_near(got.s[1].energy_uj, (double)(fake.now / (100 * MS) * (100 * MS) - T0) / 10, 1);
}

static void measuring_keeps_to_its_budget(void **state)
{
	start_refreshing(20 * MS, 0, 30000, 2000);
	sampler_measure(sampler, 300 * MS);
	assert_near((double)(fake.now - T0), 300 * MS, MS);
	assert_near(meters[0].period_us, 20000, 200);
	assert_int_equal(meters[1].period_us, 30000); /* never moved: as documented */
}

static void too_quick_to_measure_stays_as_documented(void **state)
{
	start_refreshing(MS / 20, MS / 20, 7000, 2000);
	sampler_measure(sampler, 300 * MS);
	assert_int_equal(meters[0].period_us, 7000);
	assert_int_equal(sampler_interval_ms(sampler), 11);
}

/* One refresh came early and one went unseen: neither is the period. */
static const uint64_t edges[] = { 10, 14, 54, 74, 94, 114, 134 };
static void refresh_oddly(void)
{
	size_t i;

	for (i = 0; i < sizeof(edges) / sizeof(edges[0]) && T0 + edges[i] * MS <= fake.now; i++)
		fake.val[0].value = edges[i];
}

static void odd_refreshes_are_not_the_period(void **state)
{
	fake_channel("package-0");
	fake.hook = refresh_oddly;
	fake_start();
	sampler_measure(sampler, SECOND);
	assert_near(meters[0].period_us, 20000, 200);
}

static void slow_interval_is_bounded(void **state)
{
	start_refreshing(0, 0, 5000000, 2000);
	assert_int_equal(sampler_interval_ms(sampler), 1000);
}

/* 1 ms to read, 100 ms to refresh: at ticks of 10 ms it is read at every other. */
static void dear_source_rests(void **state)
{
	int i;

	start_refreshing(100 * MS, 100 * MS, 100000, MS);
	assert_int_equal(tick_after(0), 2); /* the first tick is not left out */
	fake.reads = 0;
	for (i = 0; i < 90; i++)
		tick_after(10 * MS);
	assert_int_equal(fake.reads, 45);
}

/* ... but never so seldom that a refresh would be seen late: 10 ms to read, and yet every 30 ms. */
static void dear_source_is_read_four_times_in_a_refresh(void **state)
{
	int i;

	start_refreshing(100 * MS, 100 * MS, 100000, 10 * MS);
	tick_after(10 * MS);
	fake.reads = 0;
	for (i = 0; i < 90; i++)
		tick_after(10 * MS);
	assert_int_equal(fake.reads, 45); /* the reading itself is 10 of the 30 ms */
}

static void cheap_source_is_read_each_time(void **state)
{
	int i;

	start_refreshing(100 * MS, 100 * MS, 100000, 2000);
	fake.reads = 0;
	for (i = 0; i < 90; i++)
		tick_after(10 * MS);
	assert_int_equal(fake.reads, 90);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fake_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refresh_is_measured),
		TEST(measuring_loses_no_energy),
		TEST(measuring_keeps_to_its_budget),
		TEST(too_quick_to_measure_stays_as_documented),
		TEST(odd_refreshes_are_not_the_period),
		TEST(slow_interval_is_bounded),
		TEST(dear_source_rests),
		TEST(dear_source_is_read_four_times_in_a_refresh),
		TEST(cheap_source_is_read_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
