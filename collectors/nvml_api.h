/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As much of NVIDIA's libnvidia-ml.so.1 as is needed here, declared by ourselves: the library is loaded where it is
 * there, and never linked. Layouts and codes are those of nvml.h from CUDA 11 to 13.
 */
#ifndef IPW_COLLECTOR_NVML_API_H
#define IPW_COLLECTOR_NVML_API_H

#include <stddef.h>
#include <stdint.h>

enum nvml_return {
	NVML_OK                = 0,
	NVML_NOT_SUPPORTED     = 3,
	NVML_NO_PERMISSION     = 4,
	NVML_NOT_FOUND         = 6,
	NVML_INSUFFICIENT_SIZE = 7,
	NVML_DRIVER_NOT_LOADED = 9,
	NVML_NO_LIBRARY        = 12,
	NVML_NO_FUNCTION       = 13, /* also what an absent symbol counts as here */
	NVML_NO_DATA           = 21, /* also a value that is none: blank, or 0 W */
};

typedef struct nvml_device *nvml_device;

#define NVML_FIELD_POWER_AVERAGE 185 /* mW, mean of 1 s; on Ampere but GA100, and later */
#define NVML_FIELD_POWER_INSTANT 186 /* mW */

struct nvml_field {
	uint32_t id;
	uint32_t scope; /* 0: the GPU */
	int64_t  timestamp_us;
	int64_t  latency_us;
	uint32_t type; /* enum nvml_type */
	int32_t  ret;  /* of this field alone */
	union {
		uint32_t u32;
		uint64_t u64;
	} value; /* and other types, which power does not have */
};
_Static_assert(sizeof(struct nvml_field) == 40, "nvmlFieldValue_t");
_Static_assert(offsetof(struct nvml_field, type) == 24 && offsetof(struct nvml_field, ret) == 28 &&
	       offsetof(struct nvml_field, value) == 32, "nvmlFieldValue_t");

enum nvml_type {
	NVML_UINT   = 1,
	NVML_ULONG  = 2,
	NVML_ULLONG = 3,
};

struct nvml_process_v1 {
	uint32_t pid;
	uint64_t memory;
};
_Static_assert(sizeof(struct nvml_process_v1) == 16, "nvmlProcessInfo_v1_t");

struct nvml_process {
	uint32_t pid;
	uint64_t memory;
	uint32_t gpu_instance, compute_instance;
};
_Static_assert(sizeof(struct nvml_process) == 24, "nvmlProcessInfo_v2_t");
/* The first drivers of R535 have 8 bytes more, under the same name of the function (XuehaiPan/nvitop#79). */
#define NVML_PROCESS_MAX 32

struct nvml_usage {
	uint32_t pid;
	uint64_t timestamp_us;
	uint32_t sm, memory, encoder, decoder; /* per cent */
};
_Static_assert(sizeof(struct nvml_usage) == 32 && offsetof(struct nvml_usage, sm) == 16,
	       "nvmlProcessUtilizationSample_t");

/* The loaded library. A function that this driver does not have is NULL. */
struct nvml {
	void *lib;
	int (*shutdown)(void);
	int (*count)(unsigned *ret);
	int (*handle)(unsigned index, nvml_device *ret);
	int (*name)(nvml_device d, char *ret, unsigned size);
	int (*energy)(nvml_device d, unsigned long long *ret_mj);
	int (*power)(nvml_device d, unsigned *ret_mw);
	int (*limit)(nvml_device d, unsigned *ret_mw);
	int (*fields)(nvml_device d, int n, struct nvml_field *f);
	int (*processes_v3)(nvml_device d, unsigned *n, void *p);
	int (*processes_v2)(nvml_device d, unsigned *n, void *p);
	int (*processes_v1)(nvml_device d, unsigned *n, void *p);
	int (*usage)(nvml_device d, struct nvml_usage *u, unsigned *n, unsigned long long after_us);
};

/*
 * Loads and initialises the library. -ENODEV when there is no library or no driver, -ETIMEDOUT when it has not come
 * back in NVML_LOAD_MS, another -errno when it is there and broken; the reason goes to `why`.
 *
 * A driver in trouble can hold nvmlInit() for ever: it runs in a thread of its own, which takes no signals and touches
 * nothing of ours. When it is late the thread is left behind with what it holds; should it come back after all, it
 * cleans up. The calls made later are not guarded so.
 */
#define NVML_LOAD_MS 2000
int nvml_load(struct nvml *ret, char *why, size_t size);
void nvml_unload(struct nvml *n);

/* What a code of NVML means. */
const char *nvml_words(int code);
int nvml_errno(int code);

#endif
