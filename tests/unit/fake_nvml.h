/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * NVIDIA GPUs without one: tests/lib/nvml_stub.so stands in as libnvidia-ml.so.1 in a directory of LD_LIBRARY_PATH, and
 * is found and loaded just as the driver's library would be. The loader reads that variable when a program starts, so
 * a test's main() is nvml_main(), which sets it and starts the program again.
 */
#ifndef IPW_TEST_NVML_FAKE_H
#define IPW_TEST_NVML_FAKE_H

#include "tests/unit/fake_meter.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

extern const struct collector_ops nvml_collector;

#define DIR_VARIABLE "IPW_TEST_NVML_DIR"

static char dir[64], stub_dir[PATH_MAX];
static struct collector *col;

FAKE void path_in_dir(char *path, size_t size, const char *name)
{
	assert_true((size_t)snprintf(path, size, "%s/%s", dir, name) < size);
}

FAKE void remove_file(const char *name)
{
	char path[128];

	path_in_dir(path, sizeof(path), name);
	(void)unlink(path);
}

/* Makes this the library; NULL: there is none. */
FAKE void install(const char *target)
{
	char path[128];

	path_in_dir(path, sizeof(path), "libnvidia-ml.so.1");
	(void)unlink(path);
	if (target)
		assert_int_equal(symlink(target, path), 0);
}

FAKE void install_stub(const char *name)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", stub_dir, name);
	assert_int_equal(access(path, R_OK), 0); /* make tests builds it */
	install(path);
}

/* In one step: a thread that reads the file meanwhile sees the old one or the new one, never an empty one. */
FAKE void put(const char *name, const char *text)
{
	char path[128], whole[128];
	FILE *f;

	path_in_dir(path, sizeof(path), "new");
	path_in_dir(whole, sizeof(whole), name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(path, whole), 0);
}

/* What the GPUs do, and what time it is. */
FAKE void gpus(unsigned now_ms, const char *text)
{
	char all[16384];

	assert_true((size_t)snprintf(all, sizeof(all), "now_ms %u\nlog %s/log\n%s", now_ms, dir, text) < sizeof(all));
	put("stub", all);
}

FAKE int setup(void **state)
{
	fake_reset();
	install_stub("nvml_stub.so");
	remove_file("log");
	col = calloc(1, sizeof(*col));
	col->ops = &nvml_collector;
	col->opts = &fake_opts;
	col->now_ns = fake_now;
	col->state = calloc(1, col->ops->state_size);
	return 0;
}

FAKE int teardown(void **state)
{
	col->ops->close(col);
	free(col->state);
	free(col);
	return fake_stop(state);
}

/* Opens anew: what an open() that failed half-way left is closed first. */
FAKE int open_again(void)
{
	col->ops->close(col);
	memset(col->state, 0, col->ops->state_size);
	memset(col->ch, 0, sizeof(col->ch));
	col->nch = 0;
	col->why[0] = 0;
	return col->ops->open(col);
}

FAKE struct raw reading(int ch)
{
	struct raw val[CHANNEL_MAX] = { 0 };

	assert_int_equal(col->ops->read(col, val), 0);
	return val[ch];
}

FAKE void assert_reads(int ch, uint64_t value)
{
	struct raw r = reading(ch);

	assert_true(r.valid);
	assert_int_equal(r.value, value);
}

/* Whether the log has a call with this argument. */
FAKE int was_called(const char *call)
{
	char path[128], line[128];
	int found = 0;
	FILE *f;

	path_in_dir(path, sizeof(path), "log");
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		found |= !strcmp(line, call);
	}
	if (f)
		fclose(f);
	return found;
}

/* Never comes back when it works. */
FAKE int start_again(char **argv)
{
	const char *before = getenv("LD_LIBRARY_PATH");
	char path[PATH_MAX];

	strcpy(dir, "/tmp/ipw-nvml-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s%s%s", dir, before ? ":" : "", before ? before : "");
	setenv("LD_LIBRARY_PATH", path, 1);
	setenv(DIR_VARIABLE, dir, 1);
	snprintf(path, sizeof(path), "%s/stub", dir);
	setenv("IPW_NVML_STUB", path, 1);
	execv("/proc/self/exe", argv);
	perror("cannot start again");
	return 1;
}

FAKE int find_stub(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return -1;
	exe[n] = 0;
	return (size_t)snprintf(stub_dir, sizeof(stub_dir), "%s/../lib", dirname(exe)) < sizeof(stub_dir) ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

FAKE int nvml_main(char **argv, int (*run)(void))
{
	int err;

	if (!getenv(DIR_VARIABLE))
		return start_again(argv);
	snprintf(dir, sizeof(dir), "%s", getenv(DIR_VARIABLE));
	if (find_stub())
		return 1;
	err = run();
	remove_file("stub");
	remove_file("log");
	install(NULL);
	return rmdir(dir) ? 1 : err;
}

#endif
