// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which source is chosen for what, and what contains what. */
#include "tests/unit/fake_meter.h"

/* Three collectors that are little more than their channels. */
struct fixed {
	int            nch, err, read_err;
	uint64_t       took_ns, refresh_ns;
	double         gain;
	const char    *why;
	struct channel ch[CHANNEL_MAX];
};
static struct fixed first, second, third;
static int open_now; /* opened and not closed */

static int fixed_open(struct collector *c, const struct fixed *f)
{
	open_now++;
	memcpy(c->ch, f->ch, sizeof(c->ch));
	c->nch = f->nch;
	snprintf(c->why, sizeof(c->why), "%s", f->why ? f->why : "");
	return f->err;
}

static int first_open(struct collector *c)
{
	return fixed_open(c, &first);
}

static int second_open(struct collector *c)
{
	return fixed_open(c, &second);
}

static int third_open(struct collector *c)
{
	return fixed_open(c, &third);
}

static int fixed_read(struct collector *c, struct raw *val)
{
	const struct fixed *f = c->ops->open == first_open ? &first : c->ops->open == second_open ? &second : &third;
	int i;

	fake.now += f->took_ns;
	for (i = 0; i < c->nch; i++)
		val[i] = (struct raw){ (uint64_t)((double)(fake.now / f->refresh_ns * f->refresh_ns / 10) *
						  (f->gain ? f->gain : 1)), 1 };
	return f->read_err;
}

static void fixed_close(struct collector *c)
{
	open_now--;
}

static int second_users(struct collector *c, int ch, struct gpu_user *u, int max)
{
	u[0].pid = 100 + (unsigned)ch;
	u[0].util_permille = -1;
	return max;
}

static const struct collector_ops ops[] = {
	{ .name = "first", .doc = "the first", .open = first_open, .read = fixed_read, .close = fixed_close },
	{ .name = "second", .doc = "the second", .open = second_open, .read = fixed_read, .users = second_users,
	  .close = fixed_close },
	{ .name = "third", .doc = "the third", .open = third_open, .read = fixed_read, .close = fixed_close },
};
static const struct collector_ops *const list[] = { &ops[0], &ops[1], &ops[2], NULL };

static void add(struct fixed *f, const char *name, enum domain domain, int unit)
{
	struct channel *ch = &f->ch[f->nch++];

	snprintf(ch->name, sizeof(ch->name), "%s", name);
	ch->domain = domain;
	ch->unit = unit;
	ch->scale = 1;
}

static int start(const char *names)
{
	const char *bad;
	int err = sampler_new_from(list, &fake_env, &fake_opts, names, &sampler, &bad);

	assert_int_equal(sampler_meters(sampler, &meters), err ? 0 : sampler->nmeter);
	return err;
}

static int setup(void **state)
{
	fake_reset();
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	memset(&third, 0, sizeof(third));
	first.took_ns = second.took_ns = third.took_ns = 1000;
	first.refresh_ns = second.refresh_ns = third.refresh_ns = 10;
	open_now = 0;
	return 0;
}

static int teardown(void **state)
{
	fake_stop(state);
	assert_int_equal(open_now, 0);
	return 0;
}

static int index_of(const char *name)
{
	int i;

	for (i = 0; i < sampler->nmeter; i++)
		if (!strcmp(meters[i].ch.name, name))
			return i;
	fail_msg("no channel %s", name);
	return -1;
}

static void assert_parent(const char *child, const char *parent)
{
	assert_int_equal(meters[index_of(child)].parent, parent ? index_of(parent) : CHANNEL_NONE);
}

static void assert_status(int i, const char *name, int err, int used, const char *why)
{
	const struct source_status *st;

	assert_true(i < sampler_status(sampler, &st));
	assert_string_equal(st[i].name, name);
	assert_int_equal(st[i].err, err);
	assert_int_equal(st[i].used, used);
	assert_string_equal(st[i].why, why);
}

static void one_source_per_domain(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "package-1", DOMAIN_PACKAGE, 1);
	add(&second, "dram-0", DOMAIN_DRAM, 0);
	add(&third, "package_estimated", DOMAIN_PACKAGE, -1);
	assert_int_equal(start(NULL), 0);
	assert_int_equal(sampler->nmeter, 2);
	assert_string_equal(meters[index_of("package-0")].source, "first");
	assert_string_equal(meters[index_of("dram-0")].source, "second");
	assert_status(0, "first", 0, 1, "");
	assert_status(1, "second", 0, 1, "");
	assert_status(2, "third", 0, 0, "not used: first has the same");
	assert_int_equal(open_now, 2); /* what is not used is closed at once */
	assert_int_equal(tick_after(MS), 2);
	assert_int_equal(got.s[0].channel + got.s[1].channel, 1);
}

static void next_when_the_first_is_refused(void **state)
{
	first.err = -EACCES;
	first.why = "run as root";
	second.err = -ENODEV;
	second.why = "no such thing";
	add(&third, "package_estimated", DOMAIN_PACKAGE, -1);
	assert_int_equal(start(NULL), 0);
	assert_status(0, "first", -EACCES, 0, "run as root");
	assert_status(1, "second", -ENODEV, 0, "no such thing");
	assert_status(2, "third", 0, 1, "");
}

static void next_when_the_first_cannot_be_read(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	first.read_err = -EIO;
	add(&second, "package-0", DOMAIN_PACKAGE, 0);
	assert_int_equal(start(NULL), 0);
	assert_status(0, "first", -EIO, 0, "cannot be read: Input/output error");
	assert_string_equal(meters[0].source, "second");
}

static struct comparison compared[CHANNEL_MAX];
static int compare(void)
{
	return sampler_compare(sampler, SECOND / 2, compared, CHANNEL_MAX);
}

/* The one that is not used is read beside the one that is. 100 W here, by the clock. */
static void two_sources_are_compared(void **state)
{
	int n;

	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "package-1", DOMAIN_PACKAGE, 1); /* the first does not have it */
	add(&third, "package-0", DOMAIN_PACKAGE, 0);
	first.ch[0].period_us = second.ch[0].period_us = third.ch[0].period_us = 1000;
	second.gain = 1.05;
	third.gain = 1.004;
	assert_int_equal(start(NULL), 0);
	assert_int_equal(open_now, 3);
	n = compare();
	assert_int_equal(n, 2);
	assert_int_equal(compared[0].meter, 0);
	assert_string_equal(compared[0].source, "second");
	assert_near(compared[0].ours_w, 100, 0.1);
	assert_near(compared[0].theirs_w, 105, 0.1);
	assert_near(compared[0].apart, 0.05 / 1.05, 1e-4);
	assert_near(compared[0].allowed, 4.0 / 500, 1e-4);
	assert_true(compared[0].apart > compared[0].allowed);
	assert_string_equal(compared[1].source, "third");
	assert_true(compared[1].apart < compared[1].allowed && compared[1].apart > 0.003);
	assert_int_equal(tick_after(MS), 1); /* and the books are as they would be */
	assert_near(got.s[0].energy_uj, (double)(fake.now - T0) / 10, 1000);
}

/* What refreshes as seldom as this takes says nothing yet; what is not steady in its steps neither. */
static void coarse_sources_are_not_accused(void **state)
{
	add(&first, "psys", DOMAIN_PLATFORM, -1);
	add(&second, "psys", DOMAIN_PLATFORM, -1);
	first.ch[0].period_us = 1000;
	second.refresh_ns = 400 * MS;
	assert_int_equal(start(NULL), 0);
	assert_int_equal(compare(), 1);
	assert_true(compared[0].apart < compared[0].allowed);
	second.ch[0].resolution = 30e6;
	second.ch[0].period_us = 1000;
	fake_stop(NULL);
	assert_int_equal(start(NULL), 0);
	assert_int_equal(compare(), 1);
	assert_true(compared[0].apart < compared[0].allowed && compared[0].allowed > 1);
}

static void only_counters_of_one_thing_are_compared(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&first, "gpu0", DOMAIN_GPU, 0);
	add(&second, "package-1", DOMAIN_PACKAGE, 1);
	add(&second, "gpu0", DOMAIN_GPU, 0);
	second.ch[1].reading = READING_POWER;
	add(&third, "package-0", DOMAIN_PACKAGE, 0);
	third.ch[0].estimated = 1;
	assert_int_equal(start(NULL), 0);
	assert_int_equal(open_now, 1);
	assert_int_equal(compare(), 0);
}

static void failing_source_is_not_compared(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "package-0", DOMAIN_PACKAGE, 0);
	assert_int_equal(start(NULL), 0);
	second.read_err = -EIO;
	assert_int_equal(compare(), 0);
	second.read_err = 0;
	first.read_err = -EIO;
	assert_int_equal(compare(), 0);
	first.read_err = 0;
	assert_int_equal(compare(), 1);
}

/* Zones as a machine has them, that stand still, beside a meter that moves. */
static void powercap_beside_another(void **state)
{
	static const struct meter_opts tree = { "tests/sysfs/two-sockets-holes/sys", "/nowhere", -1, -1 };
	extern const struct collector_ops rapl_powercap_collector;
	const struct collector_ops *const both[] = { &ops[0], &rapl_powercap_collector, NULL };
	const char *bad;

	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&first, "package-1", DOMAIN_PACKAGE, 1);
	first.ch[0].period_us = first.ch[1].period_us = 1000;
	assert_int_equal(sampler_new_from(both, &fake_env, &tree, NULL, &sampler, &bad), 0);
	assert_int_equal(sampler_meters(sampler, &meters), 4); /* DRAM from powercap */
	assert_string_equal(meters[2].source, "rapl_powercap");
	assert_int_equal(compare(), 2);
	assert_string_equal(compared[1].source, "rapl_powercap");
	assert_int_equal(compared[1].meter, 1);
	assert_true(compared[1].theirs_w == 0 && compared[1].apart == 1 && compared[1].allowed < 0.01);
}

static void nothing_at_all_still_says_why(void **state)
{
	first.err = second.err = third.err = -ENODEV;
	third.why = "not this one either";
	sampler = NULL;
	assert_int_equal(start(NULL), -ENODEV);
	assert_non_null(sampler);
	assert_status(2, "third", -ENODEV, 0, "not this one either");
	assert_int_equal(tick_after(MS), 0);
	assert_int_equal(sampler_interval_ms(sampler), 1000);
}

/* A collector that opens without a channel has found nothing. */
static void no_channel_is_absent(void **state)
{
	add(&second, "gpu0", DOMAIN_GPU, 0);
	assert_int_equal(start(NULL), 0);
	assert_status(0, "first", -ENODEV, 0, "");
}

static void only_the_named_are_tried(void **state)
{
	const struct source_status *st;

	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "package-0", DOMAIN_PACKAGE, 0);
	add(&third, "package-0", DOMAIN_PACKAGE, 0);
	assert_int_equal(start("third,second"), 0);
	assert_int_equal(sampler_status(sampler, &st), 2);
	assert_string_equal(meters[0].source, "second"); /* in the order of the registry */
	fake_stop(NULL);
	assert_int_equal(start("third"), 0);
	assert_string_equal(meters[0].source, "third");
}

static void unknown_names_are_pointed_at(void **state)
{
	static const struct {
		const char *names, *bad;
	} t[] = {
		{ "firs", "firs" }, { "first,nope,third", "nope,third" }, { "", "" }, { "first,", "" },
		{ "firstsecond", "firstsecond" }, { ",first", ",first" },
	};
	const char *bad;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bad = NULL;
		assert_int_equal(sampler_new_from(list, &fake_env, &fake_opts, t[i].names, &sampler, &bad), -ENOENT);
		assert_non_null(bad);
		assert_true(bad >= t[i].names && bad <= t[i].names + strlen(t[i].names));
		assert_string_equal(bad, t[i].bad);
		assert_null(sampler);
	}
}

static void tops_without_platform(void **state)
{
	add(&first, "core-0", DOMAIN_CORE, 0);
	add(&first, "core-1", DOMAIN_CORE, 1);
	add(&first, "core-2", DOMAIN_CORE, 2); /* whose package is not there */
	add(&first, "uncore-1", DOMAIN_UNCORE, 1);
	add(&first, "dram-0", DOMAIN_DRAM, 0);
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&first, "package-1", DOMAIN_PACKAGE, 1);
	add(&second, "gpu0", DOMAIN_GPU, 0);
	assert_int_equal(start(NULL), 0);
	assert_parent("package-0", NULL);
	assert_parent("package-1", NULL);
	assert_parent("core-0", "package-0");
	assert_parent("core-1", "package-1");
	assert_parent("core-2", NULL);
	assert_parent("uncore-1", "package-1");
	assert_parent("dram-0", NULL);
	assert_parent("gpu0", NULL);
}

/* The platform may come from another source, and after what it contains. */
static void platform_is_the_top(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&first, "core-0", DOMAIN_CORE, 0);
	add(&first, "core-5", DOMAIN_CORE, 5);
	add(&first, "dram-0", DOMAIN_DRAM, 0);
	add(&second, "gpu0", DOMAIN_GPU, 0);
	add(&third, "psys", DOMAIN_PLATFORM, -1);
	assert_int_equal(start(NULL), 0);
	assert_parent("psys", NULL);
	assert_parent("package-0", "psys");
	assert_parent("core-0", "package-0");
	assert_parent("core-5", "psys");
	assert_parent("dram-0", "psys");
	assert_parent("gpu0", NULL);
}

static void dies_contain_their_own(void **state)
{
	add(&first, "package-0-die-0", DOMAIN_PACKAGE, 0);
	add(&first, "package-0-die-1", DOMAIN_PACKAGE, 0);
	add(&first, "core-0-die-0", DOMAIN_CORE, 0);
	add(&first, "core-0-die-1", DOMAIN_CORE, 0);
	assert_int_equal(start(NULL), 0);
	assert_parent("core-0-die-0", "package-0-die-0");
	assert_parent("core-0-die-1", "package-0-die-1");
}

static void too_many_channels_are_counted(void **state)
{
	char name[16];
	int i;

	for (i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "package-%d", i);
		add(&first, name, DOMAIN_PACKAGE, i);
		snprintf(name, sizeof(name), "gpu%d", i);
		add(&second, name, DOMAIN_GPU, i);
	}
	assert_int_equal(start(NULL), 0);
	assert_int_equal(sampler->nmeter, CHANNEL_MAX);
	assert_status(1, "second", 0, 4, "56 channels left out: there is room for 64");
	assert_int_equal(tick_after(MS), CHANNEL_MAX);
}

static void cost_is_shared_by_channels(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&first, "dram-0", DOMAIN_DRAM, 0);
	assert_int_equal(start(NULL), 0);
	assert_int_equal(meters[0].read_ns, 500);
	assert_int_equal(meters[1].read_ns, 500);
}

static void users_of_the_right_channel(void **state)
{
	struct gpu_user u[2];

	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	add(&first, "package-1", DOMAIN_PACKAGE, 1);
	add(&second, "package-0", DOMAIN_PACKAGE, 0);
	add(&second, "gpu0", DOMAIN_GPU, 0);
	add(&second, "gpu1", DOMAIN_GPU, 1);
	assert_int_equal(start(NULL), 0);
	assert_int_equal(index_of("gpu1"), 3);
	assert_int_equal(sampler_users(sampler, index_of("gpu1"), u, 2), 2);
	assert_int_equal(u[0].pid, 102); /* its collector's channel 2 */
	assert_int_equal(sampler_users(sampler, index_of("package-0"), u, 2), -ENOTSUP);
	assert_int_equal(sampler_users(sampler, CHANNEL_NONE, u, 2), -EINVAL);
	assert_int_equal(sampler_users(sampler, 4, u, 2), -EINVAL);
}

static void slow_source_does_not_hide_a_quick_one(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	first.refresh_ns = MS;
	add(&second, "gpu0", DOMAIN_GPU, 0);
	second.took_ns = 10 * MS;
	second.refresh_ns = 100 * MS;
	assert_int_equal(start(NULL), 0);
	sampler_measure(sampler, 3 * SECOND);
	assert_near(meters[index_of("package-0")].period_us, 1000, 110);
	assert_near(meters[index_of("gpu0")].period_us, 100000, 20000);
}

/* One that never refreshes has its share of the time and no more. */
static void still_source_leaves_time_for_others(void **state)
{
	add(&first, "package-0", DOMAIN_PACKAGE, 0);
	first.refresh_ns = 1000000 * SECOND;
	add(&second, "gpu0", DOMAIN_GPU, 0);
	second.refresh_ns = 20 * MS;
	assert_int_equal(start(NULL), 0);
	sampler_measure(sampler, 300 * MS);
	assert_int_equal(meters[index_of("package-0")].period_us, 0);
	assert_near(meters[index_of("gpu0")].period_us, 20000, 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_source_per_domain),
		TEST(next_when_the_first_is_refused),
		TEST(next_when_the_first_cannot_be_read),
		TEST(two_sources_are_compared),
		TEST(coarse_sources_are_not_accused),
		TEST(only_counters_of_one_thing_are_compared),
		TEST(failing_source_is_not_compared),
		TEST(powercap_beside_another),
		TEST(nothing_at_all_still_says_why),
		TEST(no_channel_is_absent),
		TEST(only_the_named_are_tried),
		TEST(unknown_names_are_pointed_at),
		TEST(tops_without_platform),
		TEST(platform_is_the_top),
		TEST(dies_contain_their_own),
		TEST(too_many_channels_are_counted),
		TEST(cost_is_shared_by_channels),
		TEST(users_of_the_right_channel),
		TEST(slow_source_does_not_hide_a_quick_one),
		TEST(still_source_leaves_time_for_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
