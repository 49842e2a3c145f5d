// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a machine is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/util/host.h"

static char dir[] = "/tmp/ipw-host-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void make(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

#define CPU "processor\t: 0\nmodel name\t: X 1\nphysical id\t: 0\nprocessor\t: 1\nmodel name\t: X 1\nphysical id\t: 1\n"

static void drivers(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024\nGCC: 12.3.0\n",
		  ", NVIDIA driver 550.54.15" },
		{ "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n",
		  ", NVIDIA driver 570.86.15" },
		{ "", "" }, { "no number", "" }, { "7", "" }, { "x 7", "" }, { "x 7.", ", NVIDIA driver 7." },
	};
	char hardware[256], kernel[128], want[256];
	size_t i;

	put("cpuinfo", CPU);
	host_describe(dir, hardware, sizeof(hardware), kernel, sizeof(kernel));
	assert_string_equal(hardware, "X 1, 2 sockets, 2 threads");
	make("driver");
	make("driver/nvidia");
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		put("driver/nvidia/version", cases[i].text);
		host_describe(dir, hardware, sizeof(hardware), kernel, sizeof(kernel));
		snprintf(want, sizeof(want), "X 1, 2 sockets, 2 threads%s", cases[i].want);
		assert_string_equal(hardware, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(drivers) };
	static const char *const names[] = { "driver/nvidia/version", "driver/nvidia", "driver", "cpuinfo", "" };
	char path[256];
	int ret, i;

	if (!mkdtemp(dir))
		return 1;
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	return ret;
}
