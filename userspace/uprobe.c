// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/uprobe.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BPF_LINK_CREATE_CMD 28
#define MULTI_RETURN        1u
#define VERSION(a, b, c)    ((a) * 1000000u + (b) * 1000u + (c))

/* union bpf_attr's link_create, for uprobe_multi: headers may be older than that (6.6). */
struct link_create_multi {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid, pad;
};

static unsigned kernel(void)
{
	unsigned a = 0, b = 0, c = 0;
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%u.%u.%u", &a, &b, &c) < 2)
		return 0;
	return VERSION(a, b, c < 999 ? c : 999);
}

int uprobe_multi(void)
{
	return kernel() >= VERSION(6, 10, 0);
}

static int attach_multi(int prog_fd, const char *path, uint64_t offset, enum uprobe_edge edge, uint32_t pid)
{
	struct link_create_multi a = {
		.prog_fd = (uint32_t)prog_fd, .attach_type = UPROBE_MULTI_ATTACH_TYPE, .path = (uintptr_t)path,
		.offsets = (uintptr_t)&offset, .cnt = 1, .multi_flags = edge == UPROBE_RETURN ? MULTI_RETURN : 0,
		.pid = pid,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE_CMD, &a, sizeof(a));

	return fd < 0 ? -errno : (int)fd;
}

/* A number in a file of the PMU "uprobe", in the form of fmt. */
static int pmu(const char *file, const char *fmt, unsigned *ret)
{
	char path[96];
	FILE *f;
	int got;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/uprobe/%s", file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	got = fscanf(f, fmt, ret);
	fclose(f);
	return got == 1 ? 0 : -EINVAL;
}

static int attach_perf(int prog_fd, const char *path, uint64_t offset, enum uprobe_edge edge, uint32_t pid)
{
	struct perf_event_attr a = { .size = sizeof(a), .config1 = (uintptr_t)path, .config2 = offset };
	unsigned type, bit = 0;
	int fd, err = pmu("type", "%u", &type);

	if (!err && edge == UPROBE_RETURN)
		err = pmu("format/retprobe", "config:%u", &bit);
	if (err)
		return err;
	a.type = type;
	a.config = edge == UPROBE_RETURN ? 1ull << bit : 0;
	fd = (int)syscall(SYS_perf_event_open, &a, (pid_t)pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int uprobe_attach(int prog_fd, const char *path, uint64_t offset, enum uprobe_edge edge, uint32_t pid)
{
	return (uprobe_multi() ? attach_multi : attach_perf)(prog_fd, path, offset, edge, pid);
}

int uprobe_return_breaks(uint32_t pid)
{
#if defined(__x86_64__)
	unsigned v = kernel(), mode = 0;
	char line[128];
	FILE *f;

	if (v < VERSION(6, 11, 0) || v >= VERSION(6, 14, 0) || (v >= VERSION(6, 12, 20) && v < VERSION(6, 13, 0)) ||
	    v >= VERSION(6, 13, 10))
		return 0;
	snprintf(line, sizeof(line), "/proc/%u/status", pid);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Seccomp: %u", &mode) != 1)
		;
	if (f)
		fclose(f);
	return mode != 0;
#else
	(void)pid;
	return 0;
#endif
}
