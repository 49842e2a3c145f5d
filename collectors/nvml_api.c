// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/nvml_api.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collectors/why.h"

static const char *const words[] = {
	"success", "uninitialized", "invalid argument", "not supported", "no permission", "already initialized",
	"not found", "insufficient size", "insufficient external power", "driver not loaded", "timeout", "irq issue",
	"library not found", "function not found", "corrupted infoROM", "GPU is lost", "reset required",
	"blocked by the operating system or cgroup", "library and driver versions differ: reboot or reload the driver",
	"in use", "insufficient memory", "no data", "not possible with ECC on", "insufficient resources",
	"frequency not supported", "argument version mismatch", "deprecated", "not ready", "GPU not found",
	"invalid state",
};

const char *nvml_words(int code)
{
	if (code < 0 || (size_t)code >= sizeof(words) / sizeof(words[0]))
		return "unknown error";
	return words[code];
}

int nvml_errno(int code)
{
	switch (code) {
	case NVML_OK:
		return 0;
	case NVML_DRIVER_NOT_LOADED:
	case NVML_NO_LIBRARY:
		return -ENODEV;
	case NVML_NOT_SUPPORTED:
	case NVML_NO_FUNCTION:
		return -ENOTSUP;
	case NVML_NO_PERMISSION:
		return -EPERM;
	default:
		return -EIO;
	}
}

#define NVML_FUNCTION(member, symbol) { offsetof(struct nvml, member), symbol }

static const struct {
	size_t      at;
	const char *symbol;
} functions[] = {
	NVML_FUNCTION(shutdown, "nvmlShutdown"),
	NVML_FUNCTION(count, "nvmlDeviceGetCount_v2"),
	NVML_FUNCTION(handle, "nvmlDeviceGetHandleByIndex_v2"),
	NVML_FUNCTION(name, "nvmlDeviceGetName"),
	NVML_FUNCTION(energy, "nvmlDeviceGetTotalEnergyConsumption"),
	NVML_FUNCTION(power, "nvmlDeviceGetPowerUsage"),
	NVML_FUNCTION(limit, "nvmlDeviceGetEnforcedPowerLimit"),
	NVML_FUNCTION(fields, "nvmlDeviceGetFieldValues"),
	NVML_FUNCTION(processes_v3, "nvmlDeviceGetComputeRunningProcesses_v3"),
	NVML_FUNCTION(processes_v2, "nvmlDeviceGetComputeRunningProcesses_v2"),
	NVML_FUNCTION(processes_v1, "nvmlDeviceGetComputeRunningProcesses"),
	NVML_FUNCTION(usage, "nvmlDeviceGetProcessUtilization"),
};

/* What the loading thread and its caller share; the last of the two frees it. */
struct load {
	pthread_mutex_t lock;
	pthread_cond_t  done_cond;
	int             done, abandoned;
	struct nvml     nvml;
	int             err;
	char            why[160];
};

static int load_library(struct nvml *n, char *why, size_t size)
{
	const char *reason;
	size_t i;

	n->lib = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!n->lib) {
		reason = dlerror();
		why_add(why, size, "%s", reason ? reason : "libnvidia-ml.so.1: cannot be loaded");
		return reason && strstr(reason, strerror(ENOENT)) ? -ENODEV : -EIO;
	}
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		*(void **)((char *)n + functions[i].at) = dlsym(n->lib, functions[i].symbol);
	if (n->shutdown && n->count && n->handle)
		return 0;
	why_add(why, size, "libnvidia-ml.so.1 is too old: it lacks nvmlDeviceGetCount_v2 or its like");
	return -EIO;
}

static int load_init(struct nvml *n, char *why, size_t size)
{
	int (*init)(void), ret;
	int err = load_library(n, why, size);

	if (err)
		goto out;
	*(void **)&init = dlsym(n->lib, "nvmlInit_v2");
	ret = init ? init() : NVML_NO_FUNCTION;
	if (ret == NVML_OK)
		return 0;
	why_add(why, size, "nvmlInit: %s (%d)", nvml_words(ret), ret);
	err = nvml_errno(ret);
	n->shutdown = NULL; /* there is nothing to shut down */
out:
	nvml_unload(n);
	return err;
}

static void load_free(struct load *l)
{
	pthread_cond_destroy(&l->done_cond);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void *load_run(void *arg)
{
	struct load *l = arg;
	int abandoned;

	l->err = load_init(&l->nvml, l->why, sizeof(l->why));
	pthread_mutex_lock(&l->lock);
	l->done = 1;
	abandoned = l->abandoned;
	pthread_cond_signal(&l->done_cond);
	pthread_mutex_unlock(&l->lock);
	if (abandoned) {
		nvml_unload(&l->nvml);
		load_free(l);
	}
	return NULL;
}

static int load_start(struct load *l)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, load_run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

static struct load *load_new(void)
{
	struct load *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->done_cond, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

/* 1 when the thread is through; else it owns l from here on. */
static int load_wait(struct load *l)
{
	struct timespec until;
	int done, late = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += NVML_LOAD_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (!l->done && !late)
		late = pthread_cond_timedwait(&l->done_cond, &l->lock, &until);
	done = l->done;
	l->abandoned = !done;
	pthread_mutex_unlock(&l->lock);
	return done;
}

int nvml_load(struct nvml *ret, char *why, size_t size)
{
	struct load *l = load_new();
	int err;

	if (!l)
		return -ENOMEM;
	err = load_start(l);
	if (err) {
		load_free(l);
		return err;
	}
	if (!load_wait(l)) {
		why_add(why, size, "nvmlInit did not come back in %d s: the driver hangs", NVML_LOAD_MS / 1000);
		return -ETIMEDOUT;
	}
	err = l->err;
	if (err)
		why_add(why, size, "%s", l->why);
	else
		*ret = l->nvml;
	load_free(l);
	return err;
}

void nvml_unload(struct nvml *n)
{
	if (n->lib && n->shutdown)
		(void)n->shutdown();
	if (n->lib)
		(void)dlclose(n->lib);
	n->lib = NULL;
}
