// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The model of power from CPU time, on a /proc that the test writes and a clock that it moves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/collector.h"

#define SECOND 1000000000ull

extern const struct collector_ops model_collector;

static char dir[64];
static uint64_t now;
static struct collector *col;
static struct meter_opts opts;
static long hz;

static uint64_t fake_now(void)
{
	return now;
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/ipw-model-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	hz = sysconf(_SC_CLK_TCK);
	now = 5000 * SECOND;
	opts = (struct meter_opts){ .sysfs = dir, .procfs = dir, .model_idle_w = 50, .model_max_w = 250 };
	col = calloc(1, sizeof(*col));
	col->ops = &model_collector;
	col->opts = &opts;
	col->now_ns = fake_now;
	col->state = calloc(1, col->ops->state_size);
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	col->ops->close(col);
	free(col->state);
	free(col);
	snprintf(path, sizeof(path), "%s/stat", dir);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/cpuinfo", dir);
	(void)unlink(path);
	return rmdir(dir);
}

static FILE *create(const char *name)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	return f;
}

static void put(const char *name, const char *text)
{
	FILE *f = create(name);

	fputs(text, f);
	fclose(f);
}

/* /proc/stat with `ncpu` lines and this much user time in all; the rest must not count. */
static void put_stat(unsigned ncpu, double busy_s, unsigned noise)
{
	FILE *f = create("stat");
	unsigned i;

	fprintf(f, "cpu  %.0f 0 0 %u %u 0 0 %u %u %u\n", busy_s * (double)hz, 7 * noise, 5 * noise, 3 * noise, noise,
		noise);
	for (i = 0; i < ncpu; i++)
		fprintf(f, "cpu%u 1 0 0 1 0 0 0 0 0 0\n", 2 * i);
	fprintf(f, "intr 12345 1 2 3\nctxt 1\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n");
	fclose(f);
}

static double read_joule(void)
{
	struct raw val = { 0 };

	assert_int_equal(col->ops->read(col, &val), 0);
	assert_true(val.valid);
	return (double)val.value * 1e-6;
}

static void open_with(unsigned ncpu)
{
	put_stat(ncpu, 1000, 0);
	assert_int_equal(col->ops->open(col), 0);
	assert_int_equal(col->nch, 1);
}

static void expect(double joule, double is)
{
	if (fabs(is - joule) > 1e-3)
		fail_msg("%.6f J, not %.6f", is, joule);
}

static void channel_is_marked(void **state)
{
	open_with(4);
	assert_string_equal(col->ch[0].name, "package_estimated");
	assert_int_equal(col->ch[0].domain, DOMAIN_PACKAGE);
	assert_int_equal(col->ch[0].reading, READING_ENERGY);
	assert_int_equal(col->ch[0].estimated, 1);
	assert_int_equal(col->ch[0].unit, -1);
	assert_int_equal(col->ch[0].period_us, 100000);
	assert_true(col->ch[0].idle_w == 50 && col->ch[0].scale == 1 && col->ch[0].wrap == 0);
	assert_string_equal(col->why, "estimated: 50.0 W idle, 250.0 W at most, as given");
}

static void idle_draws_idle_watts(void **state)
{
	open_with(4);
	expect(0, read_joule());
	now += 10 * SECOND;
	put_stat(4, 1000, 100000); /* idle, iowait and steal rise, and guest, which is in user already */
	expect(500, read_joule());
}

static void all_busy_draws_the_most(void **state)
{
	open_with(4);
	now += 10 * SECOND;
	put_stat(4, 1040, 0);
	expect(2500, read_joule());
}

/* A tick that began before is counted as a whole: it is not cut off, which would lose a little each time. */
static void a_tick_more_is_not_lost(void **state)
{
	open_with(4);
	now += SECOND / 10;
	put_stat(4, 1000 + 0.4 + 1.0 / (double)hz, 0);
	expect(5 + 20 + 50.0 / (double)hz, read_joule());
}

static void half_busy_draws_half_of_the_rest(void **state)
{
	open_with(4);
	now += SECOND;
	put_stat(4, 1002, 0);
	expect(150, read_joule());
	now += SECOND;
	expect(200, read_joule()); /* nothing more was done: idle */
}

static void each_kind_of_work_counts_once(void **state)
{
	open_with(1);
	now += 100 * SECOND;
	put("stat", "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 0\n");
	expect(5000, read_joule());
	put("stat", "cpu 300 200 100 9999 9999 400 500 9999 300 200\ncpu0 0\n");
	now += 100 * SECOND;
	expect(10000 + 200.0 * 1500 / (double)hz, read_joule());
}

/* The kernel's total goes on counting what an offline CPU has done. */
static void cpus_go_and_come(void **state)
{
	open_with(4);
	now += SECOND;
	put_stat(4, 1002, 0);
	expect(150, read_joule());
	now += SECOND;
	put_stat(2, 1004, 0); /* two CPUs, both busy: half of what four can do */
	expect(300, read_joule());
	now += SECOND;
	put_stat(4, 1008, 0);
	expect(550, read_joule());
	now += SECOND;
	put_stat(1, 1012, 0); /* all four were busy, and then three went */
	expect(800, read_joule());
}

/* In a container the total is the sum of the lines there are: it falls by what the CPU had done, and leaps back. */
static void total_that_falls_and_leaps(void **state)
{
	double before;

	open_with(4);
	now += SECOND;
	put_stat(3, 750, 0);
	expect(50, read_joule());
	now += SECOND;
	put_stat(3, 751, 0);
	expect(150, read_joule());
	before = read_joule();
	now += SECOND;
	put_stat(4, 1003, 0);
	/* at most all four for the second, and two ticks each */
	assert_in_range((unsigned)(read_joule() - before), 50, 50 + 200 + 1 + (unsigned)(8 * 50 / hz));
}

static void bad_stat_is_an_error(void **state)
{
	static const char *const bad[] = {
		"", "\n", "cpu\n", "cpu  1 2 3 4 5 6\ncpu0 1\n", "cpu  a b c d e f g\ncpu0 1\n", "intr 5\n",
		"cpu  1 2 3 4 5 6 7 8 9 10\nintr 5\n", "cpu  -\n",
	};
	struct raw val = { 0 };
	size_t i;

	open_with(4);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("stat", bad[i]);
		now += SECOND;
		assert_int_equal(col->ops->read(col, &val), -EBADMSG);
	}
	put_stat(4, 1000, 0);
	expect(50.0 * (double)i, read_joule()); /* the time went by all the same */
}

static void bad_stat_cannot_be_opened(void **state)
{
	char want[128];

	assert_int_equal(col->ops->open(col), -ENODEV);
	snprintf(want, sizeof(want), "%s/stat: No such file or directory", dir);
	assert_string_equal(col->why, want);
	put("stat", "nonsense\n");
	assert_int_equal(col->ops->open(col), -EBADMSG);
	assert_int_equal(col->nch, 0);
}

/* 4096 CPUs, in cpuinfo too. */
static void large_machine(void **state)
{
	FILE *f = create("cpuinfo");
	unsigned i;

	for (i = 0; i < 4096; i++)
		fprintf(f, "processor\t: %u\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 17\n"
			   "model name\t: AMD EPYC 9965 192-Core Processor\nstepping\t: 0\nflags\t\t: %0300d\n\n",
			i, 0);
	fclose(f);
	opts.model_idle_w = opts.model_max_w = -1;
	open_with(4096);
	assert_string_equal(col->ch[0].device, "AMD EPYC 9965 192-Core Processor");
	assert_string_equal(col->why, "estimated: 1092.4 W idle, 6064.1 W at most; EPYC 5th Gen");
	now += SECOND;
	put_stat(4096, 1000 + 2048, 0);
	expect((0.2667 + 1.4805) / 2 * 4096, read_joule());
}

static void put_cpu(const char *vendor, int family, int model, int stepping)
{
	FILE *f = create("cpuinfo");

	fprintf(f, "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %d\nmodel\t\t: %d\nstepping\t: %d\n",
		vendor, family, model, stepping);
	fclose(f);
}

/* Model 85 is three microarchitectures, told apart by the stepping; 158 is two, of which one is in the table. */
static void steppings_matter(void **state)
{
	static const struct {
		int         model, stepping;
		const char *name;
	} t[] = {
		{ 85, 4, "Skylake server" },
		{ 85, 7, "Cascade Lake" },
		{ 85, 11, "unknown CPU: average of the table" },
		{ 158, 9, "unknown CPU: average of the table" },
		{ 158, 10, "Coffee Lake" },
	};
	size_t i;

	opts.model_idle_w = opts.model_max_w = -1;
	put_stat(1, 0, 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		put_cpu("GenuineIntel", 6, t[i].model, t[i].stepping);
		col->why[0] = 0;
		assert_int_equal(col->ops->open(col), 0);
		assert_string_equal(strstr(col->why, "; ") + 2, t[i].name);
	}
}

static void one_figure_may_be_given(void **state)
{
	put_cpu("GenuineIntel", 6, 85, 7);
	opts.model_idle_w = -1;
	open_with(100);
	assert_string_equal(col->why, "estimated: 69.0 W idle, 250.0 W at most; Cascade Lake");
}

static void idle_above_the_most_is_refused(void **state)
{
	put_stat(4, 0, 0);
	opts.model_idle_w = 300;
	assert_int_equal(col->ops->open(col), -EINVAL);
	assert_non_null(strstr(col->why, "idle must not be more than the most"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(channel_is_marked),
		TEST(idle_draws_idle_watts),
		TEST(all_busy_draws_the_most),
		TEST(a_tick_more_is_not_lost),
		TEST(half_busy_draws_half_of_the_rest),
		TEST(each_kind_of_work_counts_once),
		TEST(cpus_go_and_come),
		TEST(total_that_falls_and_leaps),
		TEST(bad_stat_is_an_error),
		TEST(bad_stat_cannot_be_opened),
		TEST(large_machine),
		TEST(steppings_matter),
		TEST(one_figure_may_be_given),
		TEST(idle_above_the_most_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
