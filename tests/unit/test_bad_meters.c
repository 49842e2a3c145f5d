// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Meters that misbehave, and machines that are larger than others. */
#include "tests/unit/fake_meter.h"
#include "tests/unit/fake_tree.h"

#include "collectors/rapl_perf.h"

extern const struct collector_ops rapl_powercap_collector;

static int make_machine(void **state)
{
	fake_reset();
	return make_dir(state);
}

static int remove_machine(void **state)
{
	fake_stop(state);
	return remove_dir(state);
}

/* --- zones that come and go --------------------------------------------------------------------------------------- */

static void put_zone(int i, const char *name, const char *energy)
{
	put(name, "class/powercap/intel-rapl:%d/name", i);
	put(energy, "class/powercap/intel-rapl:%d/energy_uj", i);
	put("262143328850\n", "class/powercap/intel-rapl:%d/max_energy_range_uj", i);
}

static void start_powercap(void)
{
	static const struct collector_ops *const list[] = { &rapl_powercap_collector, NULL };
	const struct meter_opts opts = { dir, dir, -1, -1 };
	const char *bad;

	assert_int_equal(sampler_new_from(list, &fake_env, &opts, NULL, &sampler, &bad), 0);
	sampler_meters(sampler, &meters);
}

static void expect(int i, double energy_uj, unsigned flags)
{
	assert_near(got.s[i].energy_uj, energy_uj, 1e-3);
	assert_int_equal(got.s[i].flags, flags);
}

/* The files of a zone that is gone fail for as long as they are open. */
static void zone_goes_and_comes(void **state)
{
	char command[128];

	put_zone(0, "package-0\n", "1000\n");
	put_zone(1, "package-1\n", "5000\n");
	start_powercap();
	assert_int_equal(tick_after(10 * MS), 2);
	put_zone(0, "package-0\n", "");
	put_zone(1, "package-1\n", "5500\n");
	assert_int_equal(tick_after(10 * MS), 1);
	expect(0, 500, 0); /* the other one goes on */
	put_zone(1, "package-1\n", "");
	snprintf(command, sizeof(command), "rm -rf '%s/class'", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(tick_after(2 * SECOND), 0);
	put_zone(0, "package-1\n", "70\n"); /* in another order */
	put_zone(1, "package-0\n", "20\n");
	assert_int_equal(tick_after(100 * MS), 0); /* it is looked for four times a second */
	assert_int_equal(tick_after(150 * MS), 2);
	expect(0, 0, SAMPLE_GAP);
	expect(1, 500, SAMPLE_GAP);
	put_zone(0, "package-1\n", "170\n");
	put_zone(1, "package-0\n", "1020\n");
	assert_int_equal(tick_after(10 * MS), 2);
	expect(0, 1000, 0);
	expect(1, 600, 0);
	assert_int_equal(meters[0].resets, 1);
}

static void text_that_is_no_number(void **state)
{
	static const char *const bad[] = { "nan\n", "-nan\n", "inf\n", "1e6\n", "-1\n", "0x\n", "\n", "",
					   "99999999999999999999\n" };
	size_t i;

	put_zone(0, "package-0\n", "1000\n");
	start_powercap();
	assert_int_equal(tick_after(10 * MS), 1);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_zone(0, "package-0\n", bad[i]);
		assert_int_equal(tick_after(10 * MS), 0);
		assert_int_equal(meters[0].failed, i + 1);
	}
	put_zone(0, "package-0\n", "3000\n");
	assert_int_equal(tick_after(10 * MS), 1);
	expect(0, 2000, 0);
}

/* --- readings that are faults ------------------------------------------------------------------------------------- */

static uint64_t noise_state;
static unsigned noise(unsigned below)
{
	noise_state = noise_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((noise_state >> 33) % below);
}

/* The true counter, and what is shown of it. */
static uint64_t true_uj, shift_uj;
static int sound; /* the reading shows what was spent since the last one, as it was */

static void fault(void)
{
	sound = 0;
	fake.val[0].valid = 1;
	switch (noise(12)) {
	case 0:
		shift_uj += 1000000000000ull; /* 1e6 J more */
		break;
	case 1:
		shift_uj = (uint64_t)0 - true_uj; /* from 0 again */
		break;
	case 2:
		shift_uj -= true_uj + shift_uj > 5000000 ? 5000000 : 0;
		break;
	case 3:
		fake.val[0].valid = 0;
		break;
	case 4:
		fake.val[0].value = UINT64_MAX;
		return;
	default:
		sound = 1;
	}
	fake.val[0].value = true_uj + shift_uj;
}

/* Whatever is read, energy does not fall, and what was spent between two sound readings is counted, and no more. */
static void faults_are_gaps(void **state)
{
	double last = 0, counted = 0;
	int i, was_sound = 0, gaps = 0;

	noise_state = 7;
	true_uj = 40000000;
	shift_uj = 0;
	fake_channel("package-0");
	fake.val[0].value = true_uj;
	fake_start();
	tick_after(MS);
	for (i = 0; i < 20000; i++) {
		true_uj += 100 * 10000; /* 100 W */
		fault();
		tick_after(10 * MS);
		if (got.n) {
			assert_true(got.s[0].energy_uj >= last && isfinite(got.s[0].energy_uj));
			assert_true(got.s[0].energy_uj - last <= 8e6 + 1);
			gaps += !!(got.s[0].flags & SAMPLE_GAP);
			last = got.s[0].energy_uj;
		}
		counted += was_sound && sound ? 1e6 : 0;
		was_sound = sound;
	}
	assert_true(gaps > 5000);
	assert_true(last >= counted && last <= 1.2 * 20000 * 1e6);
}

static uint64_t refresh_ns = SECOND;
static void refresh(void)
{
	fake.val[0].value = fake.now / refresh_ns * refresh_ns / 10;
}

/* Too slow to be measured in the time there is: looks come as for a GPU, each step is seen, none is stale. */
static void once_a_second(void **state)
{
	int i, samples = 0;

	fake_channel("package-0")->period_us = 0;
	fake.hook = refresh;
	fake_start();
	sampler_measure(sampler, 250 * MS);
	assert_int_equal(meters[0].period_us, 0);
	assert_int_equal(sampler_interval_ms(sampler), 55);
	tick_after(0);
	for (i = 0; i < 1000; i++) {
		if (!tick_after(55 * MS))
			continue;
		samples++;
		assert_int_equal(got.s[0].flags, 0);
		assert_near(got.s[0].energy_uj, samples * 1e8, 1);
	}
	assert_int_equal(samples, 55);
}

/* --- machines ----------------------------------------------------------------------------------------------------- */

static int plan(int dies, int cpus_of_die, struct rapl_event *ev, char *why, size_t size)
{
	const struct meter_opts opts = { dir, dir, -1, -1 };
	char mask[1024] = "";
	size_t n = 0;
	int i;

	put("23\n", "bus/event_source/devices/power/type");
	put("event=0x02\n", "bus/event_source/devices/power/events/energy-pkg");
	put("Joules\n", "bus/event_source/devices/power/events/energy-pkg.unit");
	put("2.3283064365386962890625e-10\n", "bus/event_source/devices/power/events/energy-pkg.scale");
	for (i = 0; i < dies; i++) {
		n += (size_t)snprintf(mask + n, sizeof(mask) - n, "%s%d", i ? "," : "", i * cpus_of_die);
		put("0\n", "devices/system/cpu/cpu%d/topology/die_id", i * cpus_of_die);
		snprintf(why, size, "%d\n", i);
		put(why, "devices/system/cpu/cpu%d/topology/physical_package_id", i * cpus_of_die);
	}
	snprintf(mask + n, sizeof(mask) - n, "\n");
	put(mask, "bus/event_source/devices/power/cpumask");
	why[0] = 0;
	return rapl_perf_plan(&opts, ev, CHANNEL_MAX, why, size);
}

/* The list of one CPU for each of 64 packages does not fit in 256 characters. */
static void machine_of_4096_cpus(void **state)
{
	struct rapl_event ev[CHANNEL_MAX];
	char why[160];
	int i;

	assert_int_equal(plan(64, 64, ev, why, sizeof(why)), 64);
	assert_string_equal(why, "");
	for (i = 0; i < 64; i++) {
		assert_int_equal(ev[i].cpu, 64 * i);
		assert_int_equal(ev[i].unit, i);
	}
}

static void more_packages_than_channels(void **state)
{
	struct rapl_event ev[CHANNEL_MAX];
	char why[160];

	assert_int_equal(plan(100, 16, ev, why, sizeof(why)), CHANNEL_MAX);
	assert_int_equal(ev[CHANNEL_MAX - 1].unit, CHANNEL_MAX - 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_machine, remove_machine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(zone_goes_and_comes),
		TEST(text_that_is_no_number),
		TEST(faults_are_gaps),
		TEST(once_a_second),
		TEST(machine_of_4096_cpus),
		TEST(more_packages_than_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
