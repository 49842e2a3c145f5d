// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The collectors that read files, over the trees in tests/sysfs. Each NAME there holds sys/ and proc/ as a machine has
 * them, and `expect`: what is found in them, one line for each source tried, each channel chosen, each raw reading of
 * rapl_powercap, and each event that rapl_perf would open on that machine. To add a machine, add a directory.
 * Run from the top of the source tree.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectors/rapl_perf.h"
#include "collectors/sampler.h"
#include "collectors/sysfs.h"
#include "collectors/why.h"
#include "tests/unit/fake_tree.h"

#define TREES "tests/sysfs"

static const char *const domain_names[] = { "platform", "package", "core", "uncore", "dram", "gpu" };

static uint64_t no_time(void)
{
	return 0;
}

static const struct collector_ops *find_ops(const char *name)
{
	int i;

	for (i = 0; collectors[i]; i++)
		if (!strcmp(collectors[i]->name, name))
			return collectors[i];
	fail_msg("no collector %s", name);
	return NULL;
}

static struct collector *collector_new(const char *name, const struct meter_opts *opts)
{
	struct collector *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->ops = find_ops(name);
	c->opts = opts;
	c->now_ns = no_time;
	c->state = calloc(1, c->ops->state_size);
	assert_non_null(c->state);
	return c;
}

static void collector_free(struct collector *c)
{
	c->ops->close(c);
	free(c->state);
	free(c);
}

static void print_sources(FILE *f, const struct sampler *s)
{
	const struct source_status *st;
	int i, n = sampler_status(s, &st);

	for (i = 0; i < n; i++)
		fprintf(f, "source %s %s %d%s%s\n", st[i].name, st[i].err ? strerrorname_np(-st[i].err) : "0",
			st[i].used, st[i].why[0] ? " " : "", st[i].why);
}

static void print_channels(FILE *f, const struct sampler *s)
{
	const struct meter *m;
	int i, n = sampler_meters(s, &m);

	for (i = 0; i < n; i++) {
		fprintf(f, "channel %s %s source=%s unit=%d parent=%s wrap=%.0f period_us=%u", m[i].ch.name,
			domain_names[m[i].ch.domain], m[i].source, m[i].ch.unit,
			m[i].parent == CHANNEL_NONE ? "-" : m[m[i].parent].ch.name, m[i].ch.wrap, m[i].ch.period_us);
		if (m[i].ch.estimated)
			fprintf(f, " estimated idle_w=%g device=%s", m[i].ch.idle_w, m[i].ch.device);
		fputc('\n', f);
		assert_int_equal(m[i].ch.reading, READING_ENERGY);
		assert_true(m[i].ch.scale == 1);
		assert_true(m[i].ch.estimated || m[i].ch.idle_w < 0);
	}
}

static void print_raw(FILE *f, const struct meter_opts *opts)
{
	struct collector *c = collector_new("rapl_powercap", opts);
	struct raw val[CHANNEL_MAX];
	int i;

	if (!c->ops->open(c)) {
		assert_int_equal(c->ops->read(c, val), 0);
		for (i = 0; i < c->nch; i++)
			fprintf(f, "raw %s %lld\n", c->ch[i].name, val[i].valid ? (long long)val[i].value : -1);
	}
	collector_free(c);
}

static void print_events(FILE *f, const struct meter_opts *opts)
{
	struct rapl_event ev[CHANNEL_MAX];
	char why[160] = "";
	int i, n = rapl_perf_plan(opts, ev, CHANNEL_MAX, why, sizeof(why));

	for (i = 0; i < n; i++) {
		fprintf(f, "event %s cpu=%d unit=%d die=%d type=%u config=%llu range=%llu\n",
			domain_names[ev[i].domain], ev[i].cpu, ev[i].unit, ev[i].die, ev[i].type,
			(unsigned long long)ev[i].config, (unsigned long long)ev[i].range);
		assert_true(ev[i].scale == 2.3283064365386962890625e-10 * 1e6);
	}
}

static char *find_all(const char *tree)
{
	char sys[256], proc[256], *text = NULL;
	struct meter_opts opts = { sys, proc, -1, -1 };
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct sampler *s = NULL;
	const char *bad;

	assert_non_null(f);
	snprintf(sys, sizeof(sys), "%s/%s/sys", TREES, tree);
	snprintf(proc, sizeof(proc), "%s/%s/proc", TREES, tree);
	assert_int_equal(sampler_new(&opts, "rapl_perf,rapl_powercap,model", &s, &bad), 0);
	print_sources(f, s);
	print_channels(f, s);
	sampler_free(s);
	print_raw(f, &opts);
	print_events(f, &opts);
	fclose(f);
	return text;
}

/* The lines of `expect` but its comments. */
static char *read_expect(const char *tree)
{
	char path[256], line[512], *text = NULL;
	size_t size;
	FILE *f, *out = open_memstream(&text, &size);

	snprintf(path, sizeof(path), "%s/%s/expect", TREES, tree);
	f = fopen(path, "r");
	if (!f)
		fail_msg("cannot open '%s': run from the top of the source tree", path);
	while (fgets(line, sizeof(line), f))
		if (line[0] != '#')
			fputs(line, out);
	fclose(f);
	fclose(out);
	return text;
}

static void trees_are_as_expected(void **state)
{
	DIR *d = opendir(TREES);
	int trees = 0, wrong = 0;
	char *want, *have;
	struct dirent *e;

	if (!d)
		fail_msg("cannot open '%s': run from the top of the source tree", TREES);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		want = read_expect(e->d_name);
		have = find_all(e->d_name);
		if (strcmp(want, have)) {
			print_error("--- %s/%s/expect\n%s+++ found\n%s", TREES, e->d_name, want, have);
			wrong++;
		}
		free(want);
		free(have);
		trees++;
	}
	closedir(d);
	assert_int_equal(wrong, 0);
	assert_in_range(trees, 14, 1000);
}

/* --- a tree that changes while it is read ------------------------------------------------------------------------- */

static void put_zone(void)
{
	put("package-0\n", "class/powercap/intel-rapl:0/name");
	put("1000\n", "class/powercap/intel-rapl:0/energy_uj");
	put("262143328850\n", "class/powercap/intel-rapl:0/max_energy_range_uj");
}

static void failed_read_is_invalid(void **state)
{
	struct meter_opts opts = { dir, dir, -1, -1 };
	struct collector *c = collector_new("rapl_powercap", &opts);
	struct raw val = { 0 };

	put_zone();
	assert_int_equal(c->ops->open(c), 0);
	put("2000\n", "class/powercap/intel-rapl:0/energy_uj");
	assert_int_equal(c->ops->read(c, &val), 0);
	assert_true(val.valid && val.value == 2000);
	put("", "class/powercap/intel-rapl:0/energy_uj");
	assert_int_equal(c->ops->read(c, &val), 0);
	assert_false(val.valid);
	put("-5\n", "class/powercap/intel-rapl:0/energy_uj");
	assert_int_equal(c->ops->read(c, &val), 0);
	assert_false(val.valid);
	put("3000\n", "class/powercap/intel-rapl:0/energy_uj");
	assert_int_equal(c->ops->read(c, &val), 0);
	assert_true(val.valid && val.value == 3000);
	collector_free(c);
}

/* Runs f in a process that may not do what only root may; f returns 0 when all is as it should be. */
static void as_nobody(int (*f)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(!geteuid() && setuid(65534) ? 99 : f());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* 0 when the collector was refused so, and said this. */
static int is_refused(struct collector *c, int err, int want, const char *say)
{
	int ok = err == want && strstr(c->why, say);

	if (!ok)
		print_error("%d, %s\n", err, c->why);
	collector_free(c);
	return !ok;
}

static int open_unreadable(void)
{
	struct meter_opts opts = { dir, dir, -1, -1 };
	struct collector *c = collector_new("rapl_powercap", &opts);

	return is_refused(c, c->ops->open(c), -EACCES,
			  "Permission denied: run as root or with CAP_DAC_READ_SEARCH");
}

static void unreadable_says_what_to_do(void **state)
{
	char path[256];

	put_zone();
	snprintf(path, sizeof(path), "%s/class/powercap/intel-rapl:0/energy_uj", dir);
	assert_int_equal(chmod(path, geteuid() ? 0 : 0400), 0);
	as_nobody(open_unreadable);
}

static void more_zones_than_channels(void **state)
{
	struct meter_opts opts = { dir, dir, -1, -1 };
	struct collector *c = collector_new("rapl_powercap", &opts);
	char path[128], name[32];
	int i;

	for (i = 0; i < CHANNEL_MAX + 6; i++) {
		snprintf(path, sizeof(path), "class/powercap/intel-rapl:%d/name", i);
		snprintf(name, sizeof(name), "package-%d\n", i);
		put(name, "%s", path);
		snprintf(path, sizeof(path), "class/powercap/intel-rapl:%d/energy_uj", i);
		put("1\n", "%s", path);
	}
	assert_int_equal(c->ops->open(c), 0);
	assert_int_equal(c->nch, CHANNEL_MAX);
	assert_string_equal(c->why, "other zones left out: 6");
	collector_free(c);
}

/*
 * Opening and reading an event for real needs a PMU that is there: the kernel's software clock, which counts
 * nanoseconds, stands in for RAPL. Where this process may not open it (the kernel is asked directly, first), the
 * collector must say so.
 */
static int kernel_refuses(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK };
	long fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static void event_is_opened_and_read(void **state)
{
	struct meter_opts opts = { dir, dir, -1, -1 };
	struct collector *c = collector_new("rapl_perf", &opts);
	const struct rapl_event ev[] = {
		{ .domain = DOMAIN_DRAM, .die = -1, .type = PERF_TYPE_SOFTWARE, .config = 99999 },
		{ .domain = DOMAIN_PACKAGE, .die = -1, .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
		  .scale = 1, .range = 1009 },
	};
	struct raw a = { 0 }, b = { 0 };
	int refused = kernel_refuses(), moved = 0, i;

	assert_int_equal(rapl_perf_start(c, ev, 2), refused);
	assert_non_null(strstr(c->why, "perf_event_open: "));
	assert_int_equal(c->nch, !refused); /* one event refused, the other opened: what is there goes on */
	if (!refused) {
		assert_string_equal(c->ch[0].name, "package-0");
		assert_true(c->ch[0].wrap == 1009);
		assert_int_equal(c->ops->read(c, &a), 0);
		for (i = 0; i < 100; i++) {
			assert_int_equal(c->ops->read(c, &b), 0);
			assert_true(a.valid && b.valid && a.value < 1009 && b.value < 1009);
			moved += b.value != a.value;
		}
		assert_true(moved > 50);
	}
	collector_free(c);
}

static int open_event(void)
{
	struct meter_opts opts = { dir, dir, -1, -1 };
	const struct rapl_event ev = { .domain = DOMAIN_PACKAGE, .die = -1, .type = PERF_TYPE_SOFTWARE,
				       .config = PERF_COUNT_SW_CPU_CLOCK };
	struct collector *c = collector_new("rapl_perf", &opts);
	int refused = kernel_refuses();

	return is_refused(c, rapl_perf_start(c, &ev, 1), refused,
			  refused ? ": needs CAP_PERFMON or kernel.perf_event_paranoid <= 0" : "");
}

static void event_refused_says_what_to_do(void **state)
{
	as_nobody(open_event);
}

/* --- helpers ------------------------------------------------------------------------------------------------------ */

static void numbers_are_whole(void **state)
{
	static const struct {
		const char *text;
		int         err;
		uint64_t    v;
	} t[] = {
		{ "0\n", 0, 0 }, { "18446744073709551615\n", 0, UINT64_MAX }, { "0x1f", 0, 31 }, { "010\n", 0, 10 },
		{ "", -ENODATA, 0 }, { "\n", -ENODATA, 0 }, { "-1\n", -EBADMSG, 0 }, { " 1\n", -EBADMSG, 0 },
		{ "1 \n", -EBADMSG, 0 }, { "1.5\n", -EBADMSG, 0 }, { "18446744073709551616\n", -EBADMSG, 0 },
		{ "00000000000000000000000000000000000000001\n", -EBADMSG, 0 }, { "<none>\n", -EBADMSG, 0 },
	};
	uint64_t v;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		v = 77;
		put(t[i].text, "n");
		assert_int_equal(sysfs_u64(&v, dir, "n"), t[i].err);
		assert_int_equal(v, t[i].err ? 77 : t[i].v);
	}
	assert_int_equal(sysfs_u64(&v, dir, "none"), -ENOENT);
}

static void lines_are_bounded(void **state)
{
	char text[8] = "as was", wide[512], big[5000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	put("1234567\nmore\n", "l");
	assert_int_equal(sysfs_text(text, sizeof(text), dir, "l"), 0);
	assert_string_equal(text, "1234567");
	put("12345678\n", "l");
	assert_int_equal(sysfs_text(text, sizeof(text), dir, "l"), -EMSGSIZE);
	put(big, "l");
	assert_int_equal(sysfs_text(text, sizeof(text), dir, "l"), -EMSGSIZE);
	assert_int_equal(sysfs_text(wide, sizeof(wide), dir, "l"), -EMSGSIZE);
	assert_string_equal(text, "1234567");
	assert_int_equal(sysfs_text(text, sizeof(text), dir, "%s", big), -ENAMETOOLONG);
	assert_int_equal(sysfs_text(text, sizeof(text), big, "l"), -ENAMETOOLONG);
}

static void cpuinfo_is_of_the_first_processor(void **state)
{
	char text[8];

	put("processor\t: 0\nmodel name\t: A long name\nmodel\t\t: 7\n\nprocessor\t: 1\nstepping\t: 3\n", "cpuinfo");
	assert_int_equal(cpuinfo_get(dir, "model", text, sizeof(text)), 0);
	assert_string_equal(text, "7");
	assert_int_equal(cpuinfo_get(dir, "model name", text, sizeof(text)), 0);
	assert_string_equal(text, "A long ");
	assert_int_equal(cpuinfo_get(dir, "stepping", text, sizeof(text)), -ENOENT);
	assert_int_equal(cpuinfo_get("/nowhere", "model", text, sizeof(text)), -ENOENT);
}

static void cpu_lists(void **state)
{
	static const struct {
		const char *text;
		int         n, last;
	} t[] = {
		{ "0", 1, 0 }, { "0,18", 2, 18 }, { "0-3", 4, 3 }, { "2,4-5,64", 4, 64 }, { "0-7", 8, 3 },
		{ "", 0, -1 }, { "x", -EBADMSG, -1 }, { "3-1", -EBADMSG, -1 }, { "0-99999999", -EBADMSG, -1 },
		{ "1;2", -EBADMSG, -1 },
	};
	int cpu[4], n;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		n = sysfs_cpulist(t[i].text, cpu, 4);
		assert_int_equal(n, t[i].n);
		if (n > 0)
			assert_int_equal(cpu[n < 4 ? n - 1 : 3], t[i].last);
	}
}

static void reasons_are_cut_with_a_mark(void **state)
{
	char why[16] = "", name[] = "A\x01\x1b[31m\xc3\xa9\x7f ~";

	why_add(why, sizeof(why), "%s", "one");
	assert_string_equal(why, "one");
	why_add(why, sizeof(why), "two");
	assert_string_equal(why, "one; two");
	why_add(why, sizeof(why), "%d", 3456);
	assert_string_equal(why, "one; two; 3456");
	why_add(why, sizeof(why), "and more");
	assert_string_equal(why, "one; two; 34...");
	why_add(why, sizeof(why), "and more");
	assert_string_equal(why, "one; two; 34...");
	printable(name);
	assert_string_equal(name, "A??[31m??? ~");
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_are_as_expected),
		WITH_DIR(failed_read_is_invalid),
		WITH_DIR(unreadable_says_what_to_do),
		WITH_DIR(more_zones_than_channels),
		WITH_DIR(event_is_opened_and_read),
		WITH_DIR(event_refused_says_what_to_do),
		WITH_DIR(numbers_are_whole),
		WITH_DIR(lines_are_bounded),
		WITH_DIR(cpuinfo_is_of_the_first_processor),
		cmocka_unit_test(cpu_lists),
		cmocka_unit_test(reasons_are_cut_with_a_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
