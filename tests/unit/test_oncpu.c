// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who was on the CPUs: what runs and was not charged yet, CPUs that go offline, counts that never go back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/unit/fake_tree.h"
#include "userspace/oncpu.h"

static struct activity sum(struct oncpu *o, uint64_t t_ns)
{
	struct activity a = { 0 };

	oncpu_sum(o, t_ns, &a);
	return a;
}

/* Two CPUs of a package; which are online the file says. */
static void start(struct oncpu *o, const char *online)
{
	char path[128];

	assert_int_equal(oncpu_init(o, 2), 0);
	o->unit[0] = o->unit[1] = 0;
	put(online, "online");
	snprintf(path, sizeof(path), "%s/online", dir);
	online_release(&o->online);
	online_init(&o->online, open(path, O_RDONLY | O_CLOEXEC));
}

static void what_runs_counts(void **state)
{
	struct oncpu o;
	struct activity a;

	start(&o, "0-1\n");
	o.cpu[0] = (struct ev_cpu){ .last_ns = 100, .busy = 1, .slot = 1, .busy_ns = 50 };
	o.cpu[0].slot_ns[1] = 40;
	a = sum(&o, 130);
	assert_int_equal(a.ngroup, 1);
	assert_int_equal(a.group[0].busy_ns, 80);
	assert_int_equal(a.group[0].slot_ns[1], 70);
	o.cpu[0].last_ns = 120; /* charged with less than the clock had said */
	assert_int_equal(sum(&o, 130).group[0].busy_ns, 80);
	oncpu_release(&o);
}

static void an_offline_cpu_does_not_run(void **state)
{
	struct oncpu o;

	start(&o, "0-1\n");
	o.cpu[1] = (struct ev_cpu){ .last_ns = 100, .busy = 1, .busy_ns = 50 };
	assert_int_equal(sum(&o, 110).group[0].busy_ns, 60);
	put("0\n", "online");
	assert_int_equal(sum(&o, 1000).group[0].busy_ns, 60);
	put("0-1\n", "online");
	o.cpu[1] = (struct ev_cpu){ .last_ns = 2000, .busy = 1, .busy_ns = 1950 }; /* as BPF has it when it is back */
	assert_int_equal(sum(&o, 2020).group[0].busy_ns, 1970);
	oncpu_release(&o);
}

static void lists(void **state)
{
	static const struct {
		const char *text;
		int online[4]; /* of CPUs 0, 1, 63, 4095 */
	} t[] = {
		{ "0\n", { 1, 0, 0, 0 } }, { "0-63\n", { 1, 1, 1, 0 } }, { "1,63,4095\n", { 0, 1, 1, 1 } },
		{ "0,2-5,60-4096\n", { 1, 0, 1, 1 } }, { "1-99999999999\n", { 0, 1, 1, 1 } },
	};
	static const int cpu[] = { 0, 1, 63, 4095 };
	struct online o;
	char path[128];
	size_t i, k;

	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		put(t[i].text, "list");
		snprintf(path, sizeof(path), "%s/list", dir);
		online_init(&o, open(path, O_RDONLY | O_CLOEXEC));
		assert_int_equal(online_look(&o), 1);
		assert_int_equal(online_look(&o), 0);
		for (k = 0; k < 4; k++)
			assert_int_equal(online_has(&o, cpu[k]), t[i].online[k]);
		online_release(&o);
	}
	online_init(&o, -1);
	assert_int_equal(online_look(&o), 0);
	assert_int_equal(online_has(&o, 7), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_runs_counts, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(an_offline_cpu_does_not_run, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(lists, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
