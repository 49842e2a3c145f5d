// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The books of the sampler: what it makes of each kind of reading. Many of these are bugs that other tools had: a wrap
 * taken for a reset and the other way round, a failed reading taken for 0, a late sample that underflowed.
 */
#include "tests/unit/fake_meter.h"

#include "collectors/rapl_perf.h"

#define RANGE_14 262143328850.0 /* microjoule: 32 bits of 2^-14 J, as powercap says it */
#define RANGE_16 65532610987.0  /* of 2^-16 J */

/* A tick that must give one sample, with these flags and this energy. */
static void expect(uint64_t after_ns, uint64_t raw, unsigned flags, double energy_uj)
{
	fake.val[0].value = raw;
	assert_int_equal(tick_after(after_ns), 1);
	assert_int_equal(got.s[0].channel, 0);
	assert_int_equal(got.s[0].flags, flags);
	assert_int_equal(got.s[0].t_ns, fake.now);
	assert_near(got.s[0].energy_uj, energy_uj, 1e-6 * (1 + energy_uj));
}

/* A tick that must give none. */
static void expect_none(uint64_t after_ns, uint64_t raw)
{
	fake.val[0].value = raw;
	assert_int_equal(tick_after(after_ns), 0);
}

static void expect_counts(unsigned failed, unsigned resets, unsigned wraps)
{
	assert_int_equal(meters[0].failed, failed);
	assert_int_equal(meters[0].resets, resets);
	assert_int_equal(meters[0].wraps, wraps);
}

static int start_counter(void **state)
{
	fake_reset();
	fake_channel("package-0");
	fake.val[0].value = 5000;
	fake_start();
	return 0;
}

/* Begins anew with this range and this first reading. */
static void restart(double wrap, uint64_t raw)
{
	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0")->wrap = wrap;
	fake.val[0].value = raw;
	fake_start();
	expect(10 * MS, raw, 0, 0);
}

static void first_tick_opens_the_books(void **state)
{
	expect(10 * MS, 5000, 0, 0);
	expect(10 * MS, 7000, 0, 2000);
}

static void energy_before_the_first_tick_counts(void **state)
{
	expect(10 * MS, 9000, 0, 4000);
}

static void same_value_gives_no_sample(void **state)
{
	expect(10 * MS, 5000, 0, 0);
	expect_none(10 * MS, 5000);
	expect_none(10 * MS, 5000);
	expect(10 * MS, 6000, 0, 1000);
}

/* NVML's counter steps every 100 ms: five readings of nothing, then all of it. 1 kW for 0.6 s. */
static void flat_then_a_jump(void **state)
{
	int i;

	expect(100 * MS, 5000, 0, 0);
	for (i = 0; i < 5; i++)
		expect_none(100 * MS, 5000);
	expect(100 * MS, 5000 + 600 * 1000000, 0, 600e6);
	expect_counts(0, 0, 0);
}

static void standing_still_is_stale(void **state)
{
	int i;

	expect(10 * MS, 5000, 0, 0);
	for (i = 0; i < 3; i++) {
		expect_none(SAMPLER_STALE_NS - MS, 5000);
		expect(MS, 5000, SAMPLE_STALE, 0);
	}
	expect(10 * MS, 6000, 0, 1000);
}

static void wrap_at_its_range(void **state)
{
	restart(RANGE_14, 262143000000);
	expect(10 * MS, 171150, 0, 500000);
	expect(10 * MS, 271150, 0, 600000);
	expect_counts(0, 0, 1);
	restart(RANGE_16, 65532600000);
	expect(10 * MS, 89013, 0, 100000);
	expect_counts(0, 0, 1);
}

/* Many times round: nothing is lost or won. 190 W for 1000 s at 2^-16 is three wraps. */
static void wraps_add_up(void **state)
{
	double truth = 0;
	int i;

	restart(RANGE_16, 0);
	for (i = 1; i <= 1000; i++) {
		truth += 190e6;
		expect(SECOND, (uint64_t)fmod(truth, RANGE_16), 0, truth);
	}
	expect_counts(0, 0, 2);
}

/* At the most that a domain can take, the range has passed in 3.277 s: after that nobody can say how often. */
static void two_wraps_are_not_one(void **state)
{
	restart(RANGE_16, 65000000000);
	expect(3200 * MS, 1000000000, 0, 1532610987);
	expect_counts(0, 0, 1);
	expect(3300 * MS, 2000000000, SAMPLE_GAP, 1532610987);
	expect(10 * MS, 2000000100, 0, 1532611087);
	expect_counts(0, 1, 1);
}

static void lower_without_a_range_is_a_reset(void **state)
{
	expect(10 * MS, 6000, 0, 1000);
	expect(10 * MS, 100, SAMPLE_GAP, 1000);
	expect(10 * MS, 600, 0, 1500);
	expect_counts(0, 1, 0);
}

/* A driver that was loaded anew begins at 0: as a wrap that would be 162 kJ in 10 ms. */
static void lower_beyond_belief_is_a_reset(void **state)
{
	restart(RANGE_14, 100000000000);
	expect(10 * MS, 0, SAMPLE_GAP, 0);
	expect(10 * MS, 1000000, 0, 1000000);
	expect_counts(0, 1, 0);
}

static void jump_beyond_belief_is_refused(void **state)
{
	expect(10 * MS, 6000, 0, 1000);
	expect(10 * MS, 6000 + 1000000000000, SAMPLE_GAP, 1000);
	expect(10 * MS, 8000 + 1000000000000, 0, 3000);
	expect(10 * MS, 9000, SAMPLE_GAP, 3000);
	expect(10 * MS, 9500, 0, 3500);
	expect_counts(0, 2, 0);
}

/* One step up to what is just possible: 20 kW for the 10 ms and the two refreshes of slack. */
static void belief_ends_at_the_limit(void **state)
{
	expect(10 * MS, 5000, 0, 0);
	expect(10 * MS, 5000 + 441000000, SAMPLE_GAP, 0); /* last moved when opened: 22 ms at 20 kW are 440 J */
	restart(0, 5000);
	expect(10 * MS, 5000 + 439000000, 0, 439000000);
}

static void late_sample_does_not_underflow(void **state)
{
	expect(10 * MS, 6000, 0, 1000);
	expect(3600 * SECOND, 6000 + 100 * 3600 * 1000000ull, 0, 1000 + 100 * 3600 * 1e6);
	expect_counts(0, 0, 0);
}

static void failed_reading_is_no_value(void **state)
{
	expect(10 * MS, 6000, 0, 1000);
	fake.val[0].valid = 0;
	expect_none(10 * MS, 0);
	expect_none(10 * MS, 123456);
	fake.val[0].valid = 1;
	expect(10 * MS, 9000, 0, 4000);
	fake.read_err = -EIO;
	expect_none(10 * MS, 9500);
	fake.read_err = 0;
	expect(10 * MS, 9600, 0, 4600);
	expect_counts(3, 0, 0);
}

/* Over a failure a lower counter may be a wrap or a reset; it is not for us to choose. */
static void lower_after_a_failure_is_a_gap(void **state)
{
	restart(RANGE_14, 262143000000);
	fake.val[0].valid = 0;
	expect_none(10 * MS, 0);
	fake.val[0].valid = 1;
	expect(10 * MS, 171150, SAMPLE_GAP, 0);
	expect(10 * MS, 171250, 0, 100);
	expect_counts(1, 1, 0);
}

/* Nor is it a sign of life: what could not be read for long is not stale, it is unknown. */
static void failed_readings_are_not_stale(void **state)
{
	int i;

	sampler_measure(sampler, 10 * MS); /* a good reading, of which no sample was made yet */
	fake.val[0].valid = 0;
	for (i = 0; i < 5; i++)
		expect_none(SECOND, 5000);
	fake.val[0].valid = 1;
	expect(SECOND, 5000, 0, 0);
}

/* A machine sleeps for an hour between two ticks, and its meter counts on: that is nobody's. */
static void sleep_is_a_gap(void **state)
{
	expect(10 * MS, 5000, 0, 0);
	expect(10 * MS, 5100, 0, 100);
	fake.asleep += 3600 * SECOND;
	expect_none(10 * MS, 5100);	/* it has not refreshed yet */
	expect(10 * MS, 105200, SAMPLE_GAP, 100);
	expect(10 * MS, 105300, 0, 200);
	fake.asleep += MS / 2;		/* two clocks are not read at one moment */
	expect(10 * MS, 105400, 0, 300);
	expect_counts(0, 0, 0);
	assert_int_equal(sampler_asleep_ns(sampler), 3600 * SECOND);
}

static void fall_asleep(void)
{
	fake.asleep += SECOND;
}

/* Before or after the value was taken: nobody knows, so neither step counts. */
static void sleep_within_a_reading(void **state)
{
	expect(10 * MS, 5000, 0, 0);
	fake.hook = fall_asleep;
	expect(10 * MS, 5100, SAMPLE_GAP, 0);
	fake.hook = NULL;
	expect(10 * MS, 5200, SAMPLE_GAP, 0);
	expect(10 * MS, 5300, 0, 100);
}

static void channel_that_comes_late_begins_at_zero(void **state)
{
	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0");
	fake.val[0].valid = 0;
	fake_start();
	expect_none(10 * MS, 0);
	fake.val[0].valid = 1;
	expect(10 * MS, 777777777, 0, 0);
	expect(10 * MS, 777777877, 0, 100);
}

static void start_gauge(void)
{
	struct channel *ch;

	fake_stop(NULL);
	fake_reset();
	ch = fake_channel("gpu0");
	ch->domain = DOMAIN_GPU;
	ch->reading = READING_POWER;
	ch->scale = 1000; /* milliwatt */
	fake.val[0].value = 100000;
	fake_start();
}

static void gauge_is_trapezoids(void **state)
{
	start_gauge();
	expect(100 * MS, 100000, 0, 10e6);
	expect(100 * MS, 300000, 0, 30e6);
	expect(100 * MS, 300000, 0, 60e6); /* unmoved, but time has passed */
	expect(SECOND, 0, 0, 210e6);
}

static void gauge_after_a_failure_is_a_gap(void **state)
{
	start_gauge();
	expect(100 * MS, 100000, 0, 10e6);
	fake.val[0].valid = 0;
	expect_none(100 * MS, 0);
	fake.val[0].valid = 1;
	expect(100 * MS, 100000, SAMPLE_GAP, 10e6);
	expect(100 * MS, 100000, 0, 20e6);
	expect_none(100 * MS, 9223372036854775794u); /* DCGM's blank */
	expect(100 * MS, 100000, SAMPLE_GAP, 20e6);
	expect_counts(2, 0, 0);
}

/*
 * The counts of the newer PMU `power`: 2^-32 J, from 0 when opened, and a step back by the range when the register of
 * 2^-14 J wraps, here 1000 J in: below 0, which is above all in 64 bits.
 */
static void perf_count_steps_back_by_one_range(void **state)
{
	uint64_t range = rapl_perf_range(RANGE_14), joule = 1ull << 32, at = 0;

	assert_int_equal(range, 262143ull << 32);
	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0")->wrap = (double)range;
	fake.ch[0].scale = 1e6 / 4294967296.0;
	fake_start();
	expect(SECOND, rapl_perf_raw(at += 400 * joule, range), 0, 400e6);
	expect(SECOND, rapl_perf_raw(at += 600 * joule - range, range), 0, 1000e6);
	assert_true(at > INT64_MAX);
	expect(SECOND, rapl_perf_raw(at += 100 * joule, range), 0, 1100e6);
	at += range - 200 * joule; /* far on, the same day */
	expect(SECOND, rapl_perf_raw(at, range), SAMPLE_GAP, 1100e6);
	expect(SECOND, rapl_perf_raw(at += 300 * joule, range), 0, 1400e6);
	expect(SECOND, rapl_perf_raw(at += 50 * joule - range, range), 0, 1450e6);
}

/* That PMU takes a register it could not read for 0: its count leaps, and leaps back. Neither is energy. */
static void perf_failed_register_is_no_spike(void **state)
{
	uint64_t range = rapl_perf_range(RANGE_14), joule = 1ull << 32, begun = 150000 * joule, at = 500 * joule;

	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0")->wrap = (double)range;
	fake.ch[0].scale = 1e6 / 4294967296.0;
	fake.val[0].value = at;
	fake_start();
	expect(SECOND, rapl_perf_raw(0 - begun, range), SAMPLE_GAP, 0);
	expect(SECOND, rapl_perf_raw(at += 100 * joule, range), SAMPLE_GAP, 0);
	expect(SECOND, rapl_perf_raw(at += 100 * joule, range), 0, 100e6);
}

static void perf_range_of_other_units(void **state)
{
	assert_int_equal(rapl_perf_range(RANGE_16), 65532ull << 32);
	assert_int_equal(rapl_perf_range(4294967295e6), 0); /* units of 1 J */
	assert_int_equal(rapl_perf_range(4294967295e6 / 2), 0);
	assert_int_equal(rapl_perf_range(4294967295e6 / 4), 1ull << 62);
	assert_int_equal(rapl_perf_range(0), 0);
	assert_int_equal(rapl_perf_raw(UINT64_MAX, 0), UINT64_MAX);
	assert_int_equal(rapl_perf_raw(UINT64_MAX, 1ull << 50), (1ull << 50) - 1);
}

/* Deterministic noise: a linear congruential generator, Knuth's MMIX. */
static uint64_t noise_state;
static unsigned noise(unsigned below)
{
	noise_state = noise_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((noise_state >> 33) % below);
}

/* Three meters of one truth: RAPL that wraps, a GPU that steps each 100 ms, a gauge. */
static double truth_uj, seen_uj, power_w;
static uint64_t truth_ns, stepped_ns;

static void truth_read(void)
{
	double at_step;

	truth_uj += power_w * 1e-3 * (double)(fake.now - truth_ns);
	truth_ns = fake.now;
	fake.val[0].value = (uint64_t)fmod(truth_uj, RANGE_16);
	at_step = truth_uj - power_w * 1e-3 * (double)(fake.now % (100 * MS));
	if (fake.now / (100 * MS) != stepped_ns && at_step > seen_uj) {
		stepped_ns = fake.now / (100 * MS);
		seen_uj = at_step;
	}
	fake.val[1].value = (uint64_t)(seen_uj / 1000);
	fake.val[2].value = (uint64_t)(power_w * 1000);
}

static void conserves_energy(void **state)
{
	double last[3] = { 0 };
	int i, s;

	fake_stop(NULL);
	fake_reset();
	noise_state = 42;
	truth_uj = seen_uj = 0;
	power_w = 300;
	truth_ns = fake.now;
	stepped_ns = fake.now / (100 * MS);
	fake_channel("package-0")->wrap = RANGE_16;
	fake_channel("gpu0")->scale = 1000;
	fake.ch[1].period_us = 100000;
	fake_channel("gpu1")->scale = 1000;
	fake.ch[2].reading = READING_POWER;
	fake.hook = truth_read;
	fake_start();
	for (i = 0; i < 20000; i++) {
		/* Power changes between a tick and the next, never within: so a gauge can know it too. */
		fake.val[0].valid = fake.val[1].valid = noise(20) > 0;
		tick_after((1 + noise(40)) * MS);
		for (s = 0; s < got.n; s++) {
			assert_false(got.s[s].flags & SAMPLE_GAP && got.s[s].channel == 1);
			assert_true(got.s[s].energy_uj >= last[got.s[s].channel]);
			last[got.s[s].channel] = got.s[s].energy_uj;
		}
		if (i % 100 == 99) {
			tick_after(0);
			power_w = 50 + noise(950);
			tick_after(0);
		}
	}
	assert_true(truth_uj > 2 * RANGE_16);
	assert_int_equal(meters[0].wraps + meters[0].resets, (unsigned)(truth_uj / RANGE_16));
	assert_near(last[0], truth_uj, 2 + (double)meters[0].resets * 1000 * 1e6);
	assert_near(last[1], truth_uj, 1000 * 0.3 * 1e6); /* one refresh and two failed ticks, at the most power */
	assert_near(last[2], truth_uj, truth_uj * 1e-3);
}

/* In steps of 61 of the raw value; the documented resolution stands when what is seen is finer. */
static void resolution_is_of_the_steps_seen(void **state)
{
	static const uint64_t steps[] = { 0, 610, 1830, 183, 427, 61 * 7919 };
	uint64_t raw = 5000;
	size_t i;

	expect(10 * MS, raw, 0, 0);
	assert_true(meters[0].resolution == 0);
	for (i = 1; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_true(meters[0].resolution == 0);
		fake.val[0].value = raw += steps[i];
		assert_int_equal(tick_after(10 * MS), 1);
	}
	assert_true(meters[0].resolution == 61);
	expect(10 * MS, raw - 100, SAMPLE_GAP, got.s[0].energy_uj); /* not a step */
	assert_true(meters[0].resolution == 61);
	sampler->meter[0].ch.resolution = 61.035;
	fake.val[0].value = raw + 22;
	assert_int_equal(tick_after(10 * MS), 1);
	assert_true(meters[0].resolution == 61.035);
}

static void interrupted_reading_is_taken_again(void **state)
{
	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0");
	fake.took_ns[0] = fake.took_ns[1] = fake.took_ns[2] = fake.took_ns[3] = 2000;
	fake_start();
	assert_int_equal(tick_after(10 * MS), 1);
	fake.reads = 0;
	fake.took_ns[0] = 10500; /* more than five times as long; the readings after it take 2 us again */
	fake.val[0].value = 100;
	assert_int_equal(tick_after(10 * MS), 1);
	assert_int_equal(fake.reads, 2);
	assert_int_equal(got.s[0].t_ns, fake.now - 1000); /* the middle of the second */
	fake.val[0].value = 200;
	fake.reads = 0;
	fake.took_ns[0] = 9000; /* not five times as long */
	assert_int_equal(tick_after(10 * MS), 1);
	assert_int_equal(fake.reads, 1);
	assert_int_equal(got.s[0].t_ns, fake.now - 4500);
}

static void slow_twice_keeps_the_shorter(void **state)
{
	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0");
	fake.took_ns[0] = fake.took_ns[1] = fake.took_ns[2] = fake.took_ns[3] = 2000;
	fake_start();
	fake.reads = 0;
	fake.took_ns[0] = 5 * MS;
	fake.took_ns[1] = 8 * MS;
	assert_int_equal(tick_after(10 * MS), 1);
	assert_int_equal(fake.reads, 2);
	assert_int_equal(got.s[0].t_ns, fake.now - 8 * MS - 5 * MS / 2);
}

static void emit_that_fails_ends_the_tick(void **state)
{
	fake_stop(NULL);
	fake_reset();
	fake_channel("package-0");
	fake_channel("package-1");
	fake_start();
	got.err = -ENOSPC;
	assert_int_equal(tick_after(10 * MS), 0);
	assert_int_equal(got.calls, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start_counter, fake_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_tick_opens_the_books),
		TEST(energy_before_the_first_tick_counts),
		TEST(same_value_gives_no_sample),
		TEST(flat_then_a_jump),
		TEST(standing_still_is_stale),
		TEST(wrap_at_its_range),
		TEST(wraps_add_up),
		TEST(two_wraps_are_not_one),
		TEST(lower_without_a_range_is_a_reset),
		TEST(lower_beyond_belief_is_a_reset),
		TEST(jump_beyond_belief_is_refused),
		TEST(belief_ends_at_the_limit),
		TEST(late_sample_does_not_underflow),
		TEST(failed_reading_is_no_value),
		TEST(lower_after_a_failure_is_a_gap),
		TEST(failed_readings_are_not_stale),
		TEST(sleep_is_a_gap),
		TEST(sleep_within_a_reading),
		TEST(channel_that_comes_late_begins_at_zero),
		TEST(gauge_is_trapezoids),
		TEST(gauge_after_a_failure_is_a_gap),
		TEST(perf_count_steps_back_by_one_range),
		TEST(perf_failed_register_is_no_spike),
		TEST(perf_range_of_other_units),
		TEST(conserves_energy),
		TEST(resolution_is_of_the_steps_seen),
		TEST(interrupted_reading_is_taken_again),
		TEST(slow_twice_keeps_the_shorter),
		TEST(emit_that_fails_ends_the_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
