// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/host.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "userspace/util/str.h"

#define SOCKETS_MAX 64

/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue ..." of the loaded driver. */
static void add_driver(const char *procfs, char *hardware, size_t size)
{
	char path[512], line[256], version[32];
	const char *p;
	size_t at = strlen(hardware);
	FILE *f;

	snprintf(path, sizeof(path), "%s/driver/nvidia/version", procfs);
	f = fopen(path, "re");
	p = f && fgets(line, sizeof(line), f) ? strpbrk(line, "0123456789") : NULL;
	/* the first word with a point in it: "x86_64" has none */
	for (; p; p = strpbrk(p + strcspn(p, " \t\n"), "0123456789")) {
		if (p == line || p[-1] != ' ' || !memchr(p, '.', strcspn(p, " \t\n")))
			continue;
		str_clean(version, sizeof(version), p, strcspn(p, " \t\n"));
		snprintf(hardware + at, size - at, ", NVIDIA driver %s", version);
		break;
	}
	if (f)
		fclose(f);
}

void host_describe(const char *procfs, char *hardware, size_t hsize, char *kernel, size_t ksize)
{
	char path[512], line[512], model[128] = "unknown CPU";
	int threads = 0, sockets = 0, id;
	uint64_t seen = 0;
	struct utsname u;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cpuinfo", procfs);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *v = strchr(line, ':');

		if (!v)
			continue;
		v += 1 + strspn(v + 1, " \t");
		threads += !strncmp(line, "processor\t", 10);
		if (!strncmp(line, "model name\t", 11))
			str_clean(model, sizeof(model), v, strcspn(v, "\n"));
		id = strncmp(line, "physical id\t", 12) ? -1 : atoi(v);
		if (id >= 0 && id < SOCKETS_MAX && !(seen >> id & 1)) {
			seen |= 1ull << id;
			sockets++;
		}
	}
	if (f)
		fclose(f);
	snprintf(hardware, hsize, "%s, %d socket%s, %d thread%s", model, sockets ? sockets : 1, sockets > 1 ? "s" : "",
		 threads, threads == 1 ? "" : "s");
	add_driver(procfs, hardware, hsize);
	uname(&u);
	snprintf(kernel, ksize, "%s %s", u.release, u.machine);
}

void host_add(char *hardware, size_t size, const char *name, int n)
{
	size_t at = strlen(hardware);

	if (at + 4 < size)
		snprintf(hardware + at, size - at, ", %d x %s", n, name);
}

int32_t host_package(int cpu)
{
	char path[96];
	int32_t unit = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &unit) != 1 || unit < 0)
		unit = 0;
	fclose(f);
	return unit;
}
