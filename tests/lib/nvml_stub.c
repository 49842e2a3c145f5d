// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A libnvidia-ml.so.1 without a GPU. It has NVML's own symbols and layouts, written down here a second time and not
 * taken from collectors/nvml_api.h, so that a mistake there does not cancel out. What the GPUs do stands in the file
 * named by IPW_NVML_STUB, which is read anew at each call, so that a test can move time on:
 *
 *	gpus 2                        how many there are
 *	now_ms 250                    what time it is; without it, milliseconds since nvmlInit
 *	t0_ns 123456789               ... or since this CLOCK_MONOTONIC
 *	refresh_ms 100                how often the energy counter steps; 1 without it
 *	init 18                       what nvmlInit returns; "init hang": nothing, until the file says otherwise
 *	record_bytes 32               size of a record of nvmlDeviceGetComputeRunningProcesses_v3, 24 without it
 *	log FILE                      where each call is noted down, as "name argument"
 *	gpu 0 name NVIDIA H200
 *	gpu 0 energy_mj 1000          the counter at time 0
 *	gpu 0 energy_file FILE        or what this file has, in uJ
 *	gpu 0 at 500 power 700000     mW from 500 ms on; before the first, 0
 *	gpu 0 power_file FILE         or what this file has, in uW
 *	gpu 0 pid 1234 sm 60          a compute process, and its use of the SMs in per cent
 *	gpu 0 averages                it has the field of the mean power
 *	gpu 0 fail energy 3           what handle, energy, instant, power, processes or usage returns;
 *	gpu 0 limit_mw 700000         the enforced power limit
 *	gpu 0 fail power blank        "blank" (or "zero"): success, with a value that is none
 *
 * With NVML_STUB_OLD it is the library of a driver that has neither energy nor fields nor process utilisation; with
 * NVML_STUB_R450 of one that has the second version of the process list and not the third.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* nvml.h is not at hand; these are its prototypes. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define GPUS  16
#define STEPS 64
#define PIDS  600

enum { CALL_HANDLE, CALL_ENERGY, CALL_INSTANT, CALL_POWER, CALL_PROCESSES, CALL_USAGE, CALLS };
static const char *const call_names[CALLS] = { "handle", "energy", "instant", "power", "processes", "usage" };

enum { FAIL_BLANK = -1, FAIL_ZERO = -2 };

struct stub_gpu {
	char     name[64], energy_file[96], power_file[96];
	uint64_t energy_mj;
	unsigned limit_mw;
	struct {
		uint64_t ms, mw;
	} step[STEPS];
	int nsteps;
	struct {
		unsigned pid, sm;
	} process[PIDS];
	int nprocesses;
	int averages;
	int fail[CALLS];
};

static struct {
	unsigned gpus, record_bytes;
	uint64_t now_ms, t0_ns, refresh_ms;
	int      has_now, init, hang;
	char     log[256];
	struct stub_gpu gpu[GPUS];
} cfg;

static uint64_t init_ns;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void parse_fail(struct stub_gpu *g, const char *what, const char *code)
{
	int i;

	for (i = 0; i < CALLS; i++)
		if (!strcmp(what, call_names[i]))
			g->fail[i] = !strcmp(code, "blank")  ? FAIL_BLANK
				     : !strcmp(code, "zero") ? FAIL_ZERO
							     : atoi(code);
}

static void parse_gpu(struct stub_gpu *g, const char *s)
{
	unsigned long long a, b;
	char what[16], code[16];

	if (sscanf(s, "at %llu power %llu", &a, &b) == 2 && g->nsteps < STEPS) {
		g->step[g->nsteps].ms = a;
		g->step[g->nsteps++].mw = b;
	} else if (sscanf(s, "pid %llu sm %llu", &a, &b) == 2 && g->nprocesses < PIDS) {
		g->process[g->nprocesses].pid = (unsigned)a;
		g->process[g->nprocesses++].sm = (unsigned)b;
	} else if (sscanf(s, "fail %15s %15s", what, code) == 2) {
		parse_fail(g, what, code);
	} else if (sscanf(s, "energy_mj %llu", &a) == 1) {
		g->energy_mj = a;
	} else if (!strncmp(s, "energy_file ", 12)) {
		snprintf(g->energy_file, sizeof(g->energy_file), "%s", s + 12);
	} else if (!strncmp(s, "power_file ", 11)) {
		snprintf(g->power_file, sizeof(g->power_file), "%s", s + 11);
	} else if (sscanf(s, "limit_mw %llu", &a) == 1) {
		g->limit_mw = (unsigned)a;
	} else if (!strcmp(s, "averages")) {
		g->averages = 1;
	} else if (!strncmp(s, "name ", 5)) {
		snprintf(g->name, sizeof(g->name), "%s", s + 5);
	}
}

static void parse_line(char *s)
{
	unsigned long long v;
	unsigned i;
	int used;

	s[strcspn(s, "\n")] = 0;
	if (sscanf(s, "gpu %u %n", &i, &used) == 1 && i < GPUS)
		parse_gpu(&cfg.gpu[i], s + used);
	else if (sscanf(s, "gpus %llu", &v) == 1)
		cfg.gpus = (unsigned)v;
	else if (sscanf(s, "now_ms %llu", &v) == 1)
		cfg.has_now = 1, cfg.now_ms = v;
	else if (sscanf(s, "t0_ns %llu", &v) == 1)
		cfg.t0_ns = v;
	else if (sscanf(s, "refresh_ms %llu", &v) == 1)
		cfg.refresh_ms = v ? v : 1;
	else if (sscanf(s, "record_bytes %llu", &v) == 1)
		cfg.record_bytes = (unsigned)v;
	else if (!strcmp(s, "init hang"))
		cfg.hang = 1;
	else if (sscanf(s, "init %llu", &v) == 1)
		cfg.init = (int)v;
	else if (!strncmp(s, "log ", 4))
		snprintf(cfg.log, sizeof(cfg.log), "%s", s + 4);
}

/* Reads the file, and notes the call down. */
static void load(const char *call, unsigned long long arg)
{
	const char *path = getenv("IPW_NVML_STUB");
	FILE *f = path ? fopen(path, "r") : NULL;
	char line[256];

	memset(&cfg, 0, sizeof(cfg));
	cfg.refresh_ms = 1;
	cfg.record_bytes = 24;
	while (f && fgets(line, sizeof(line), f))
		parse_line(line);
	if (f)
		fclose(f);
	if (!cfg.has_now)
		cfg.now_ms = (now_ns() - (cfg.t0_ns ? cfg.t0_ns : init_ns)) / 1000000;
	f = call && cfg.log[0] ? fopen(cfg.log, "a") : NULL;
	if (f) {
		fprintf(f, "%s %llu\n", call, arg);
		fclose(f);
	}
}

/* The handle of GPU i is i + 1. */
static struct stub_gpu *gpu_of(void *device)
{
	uintptr_t i = (uintptr_t)device;

	return i >= 1 && i <= cfg.gpus && i <= GPUS ? &cfg.gpu[i - 1] : NULL;
}

/* A thousandth of the number in a file. */
static uint64_t from_file(const char *path)
{
	unsigned long long v = 0;
	FILE *f = fopen(path, "r");

	if (f && fscanf(f, "%llu", &v) != 1)
		v = 0;
	if (f)
		fclose(f);
	return v / 1000;
}

static uint64_t power_mw(const struct stub_gpu *g, uint64_t ms)
{
	uint64_t mw = 0;
	int i;

	if (g->power_file[0])
		return from_file(g->power_file);
	for (i = 0; i < g->nsteps && g->step[i].ms <= ms; i++)
		mw = g->step[i].mw;
	return mw;
}

int nvmlInit_v2(void)
{
	init_ns = now_ns();
	load("init", 0);
	while (cfg.hang) {
		usleep(10000);
		load(NULL, 0);
	}
	return cfg.init;
}

int nvmlShutdown(void)
{
	load("shutdown", 0);
	return 0;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
	load("count", 0);
	*n = cfg.gpus;
	return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device)
{
	load("handle", i);
	if (i >= cfg.gpus || i >= GPUS)
		return 2;
	*device = (void *)(uintptr_t)(i + 1);
	return cfg.gpu[i].fail[CALL_HANDLE];
}

int nvmlDeviceGetName(void *device, char *name, unsigned size)
{
	struct stub_gpu *g;

	load("name", (uintptr_t)device);
	g = gpu_of(device);
	if (!g)
		return 2;
	if (strlen(g->name) >= size)
		return 7;
	strcpy(name, g->name);
	return 0;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *mw)
{
	struct stub_gpu *g;

	load("power", (uintptr_t)device);
	g = gpu_of(device);
	if (!g || g->fail[CALL_POWER] > 0)
		return g ? g->fail[CALL_POWER] : 2;
	*mw = g->fail[CALL_POWER] == FAIL_BLANK ? 0x7ffffff0u : (unsigned)power_mw(g, cfg.now_ms);
	if (g->fail[CALL_POWER] == FAIL_ZERO)
		*mw = 0;
	return 0;
}

/* Not supported, where the file does not say. */
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw)
{
	struct stub_gpu *g;

	load("limit", (uintptr_t)device);
	g = gpu_of(device);
	if (!g || !g->limit_mw)
		return g ? 3 : 2;
	*mw = g->limit_mw;
	return 0;
}

/* record 0: of the size that the file says. */
static int list(void *device, const char *call, unsigned *n, unsigned char *buf, size_t record)
{
	struct stub_gpu *g;
	int i, room = (int)*n;

	load(call, (uintptr_t)device);
	g = gpu_of(device);
	if (!g || g->fail[CALL_PROCESSES])
		return g ? g->fail[CALL_PROCESSES] : 2;
	*n = (unsigned)g->nprocesses;
	if (room < g->nprocesses)
		return 7;
	record = record ? record : cfg.record_bytes;
	for (i = 0; i < g->nprocesses; i++) {
		memset(buf + (size_t)i * record, 0, record);
		memcpy(buf + (size_t)i * record, &g->process[i].pid, 4);
	}
	return 0;
}

int nvmlDeviceGetComputeRunningProcesses(void *device, unsigned *n, void *buf)
{
	return list(device, "processes_v1", n, buf, 16);
}

#ifndef NVML_STUB_OLD

struct field_value {
	unsigned           fieldId, scopeId;
	long long          timestamp, latencyUsec;
	unsigned           valueType;
	int                nvmlReturn;
	unsigned long long value;
};

struct utilization_sample {
	unsigned           pid;
	unsigned long long timeStamp;
	unsigned           smUtil, memUtil, encUtil, decUtil;
};

static uint64_t energy_mj(const struct stub_gpu *g, uint64_t ms)
{
	uint64_t uj = 0, from, to;
	int i;

	if (g->energy_file[0])
		return from_file(g->energy_file);
	for (i = 0; i < g->nsteps && g->step[i].ms < ms; i++) {
		from = g->step[i].ms;
		to = i + 1 < g->nsteps && g->step[i + 1].ms < ms ? g->step[i + 1].ms : ms;
		uj += (to - from) * g->step[i].mw;
	}
	return g->energy_mj + uj / 1000;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
	struct stub_gpu *g;

	load("energy", (uintptr_t)device);
	g = gpu_of(device);
	if (!g || g->fail[CALL_ENERGY] > 0)
		return g ? g->fail[CALL_ENERGY] : 2;
	*mj = energy_mj(g, cfg.now_ms / cfg.refresh_ms * cfg.refresh_ms);
	if (g->fail[CALL_ENERGY])
		*mj = g->fail[CALL_ENERGY] == FAIL_BLANK ? 0x7ffffffffffffff2ull : 0;
	return 0;
}

int nvmlDeviceGetFieldValues(void *device, int n, struct field_value *f)
{
	struct stub_gpu *g;
	int i;

	load("fields", (uintptr_t)device);
	g = gpu_of(device);
	if (!g)
		return 2;
	for (i = 0; i < n; i++) {
		f[i].nvmlReturn = 3;
		if (f[i].fieldId != 186 && (f[i].fieldId != 185 || !g->averages))
			continue;
		f[i].nvmlReturn = f[i].fieldId == 186 && g->fail[CALL_INSTANT] > 0 ? g->fail[CALL_INSTANT] : 0;
		f[i].valueType = 1; /* unsigned int: the upper half of the value is not written */
		f[i].value = 0xdeadbeef00000000ull | (unsigned)power_mw(g, cfg.now_ms);
		if (f[i].fieldId == 186 && g->fail[CALL_INSTANT] < 0)
			f[i].value = g->fail[CALL_INSTANT] == FAIL_BLANK ? 0x7ffffff0u : 0;
	}
	return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v2(void *device, unsigned *n, void *buf)
{
	return list(device, "processes_v2", n, buf, 24);
}

#ifndef NVML_STUB_R450
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *n, void *buf)
{
	return list(device, "processes_v3", n, buf, 0);
}
#endif

/* A sample every 200 ms of each process that used the SMs; the newest first, and then that before it, of 1 % more. */
int nvmlDeviceGetProcessUtilization(void *device, struct utilization_sample *u, unsigned *n,
				    unsigned long long after_us)
{
	unsigned long long stamp;
	struct stub_gpu *g;
	unsigned len = 0;
	int i, before;

	load("usage", after_us);
	stamp = (cfg.now_ms / 200 + 1) * 200000;
	g = gpu_of(device);
	if (!g || g->fail[CALL_USAGE])
		return g ? g->fail[CALL_USAGE] : 2;
	for (i = 0; i < 2 * g->nprocesses; i++) {
		before = i >= g->nprocesses;
		if (!g->process[i % g->nprocesses].sm || stamp - 200000u * (unsigned)before <= after_us)
			continue;
		if (len == *n)
			return 7;
		memset(&u[len], 0, sizeof(u[len]));
		u[len].pid = g->process[i % g->nprocesses].pid;
		u[len].timeStamp = stamp - 200000u * (unsigned)before;
		u[len++].smUtil = g->process[i % g->nprocesses].sm + (unsigned)before;
	}
	*n = len;
	return len ? 0 : 6;
}

#endif
