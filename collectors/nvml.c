// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * NVIDIA GPUs through NVML: the board's energy counter where it has one (Volta and later), else its power. Both are of
 * the whole board, GPU and memory, also when it is split by MIG.
 */
#include "collectors/collector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collectors/nvml_api.h"
#include "collectors/why.h"

#define PROCESSES_MAX 512           /* on one GPU: MPS allows 60 */
/*
 * nvml.h, of nvmlDeviceGetPowerUsage: "accurate to within +/- 5% of current power draw", on Fermi and Kepler. Of later
 * boards and of the energy counter it says nothing, and nobody has shown them to be better.
 */
#define ACCURACY 0.05
#define USAGE_KEEP_NS 1000000000ull /* the driver samples the use of SMs a few times a second */

struct usage {
	uint32_t pid;
	int      permille;
};

struct gpu {
	nvml_device  dev;
	int          way;     /* index in ways[] */
	uint64_t     seen_us; /* newest sample of use so far, by the driver's clock */
	uint64_t     used_ns; /* when it came; 0: none yet */
	struct usage used[GPU_USER_MAX];
	int          nused;
};

struct nvml_state {
	struct nvml nvml;
	struct gpu  gpu[CHANNEL_MAX]; /* of c->ch */
};

/* DCGM's "blank" values, which drivers hand on, begin here; NVML's own "not available", all ones, is above. */
static int is_blank(uint64_t v)
{
	return v >= 0x7ffffffffffffff0ull;
}

static int is_blank32(uint32_t v)
{
	return v >= 0x7ffffff0u;
}

static int read_energy(const struct nvml *n, nvml_device d, uint64_t *ret_mj)
{
	unsigned long long mj = 0;
	int ret = n->energy ? n->energy(d, &mj) : NVML_NO_FUNCTION;

	if (ret == NVML_OK && is_blank(mj))
		ret = NVML_NO_DATA;
	*ret_mj = mj;
	return ret;
}

/* A board that draws nothing does not answer either: 0 W is no reading. */
static int read_average(const struct nvml *n, nvml_device d, uint64_t *ret_mw)
{
	unsigned mw = 0;
	int ret = n->power ? n->power(d, &mw) : NVML_NO_FUNCTION;

	if (ret == NVML_OK && (!mw || is_blank32(mw)))
		ret = NVML_NO_DATA;
	*ret_mw = mw;
	return ret;
}

static int read_field(const struct nvml *n, nvml_device d, uint32_t id, uint64_t *ret_mw)
{
	struct nvml_field f = { .id = id };
	int ret = n->fields ? n->fields(d, 1, &f) : NVML_NO_FUNCTION;

	if (ret == NVML_OK)
		ret = f.ret;
	if (ret != NVML_OK)
		return ret;
	if (f.type == NVML_UINT)
		*ret_mw = f.value.u32;
	else if (f.type == NVML_ULONG || f.type == NVML_ULLONG)
		*ret_mw = f.value.u64;
	else
		return NVML_NOT_SUPPORTED;
	return !*ret_mw || *ret_mw > UINT32_MAX || is_blank32((uint32_t)*ret_mw) ? NVML_NO_DATA : NVML_OK;
}

static int read_instant(const struct nvml *n, nvml_device d, uint64_t *ret_mw)
{
	return read_field(n, d, NVML_FIELD_POWER_INSTANT, ret_mw);
}

/*
 * nvml.h: nvmlDeviceGetPowerUsage is a mean of 1 s on the boards that have field 185 too, and of the moment on older
 * ones; but an older driver does not have the field on any.
 */
static int averaged_us(const struct nvml *n, nvml_device d)
{
	uint64_t mw;

	return read_field(n, d, NVML_FIELD_POWER_AVERAGE, &mw) == NVML_OK ? 1000000 : AVERAGED_UNKNOWN;
}

/* In order of preference. */
static const struct {
	enum reading reading;
	int (*read)(const struct nvml *n, nvml_device d, uint64_t *ret);
	const char *note;
} ways[] = {
	{ READING_ENERGY, read_energy, NULL },
	{ READING_POWER, read_instant, "no energy counter, power is integrated" },
	{ READING_POWER, read_average, "no energy counter, power is integrated; on most boards it is the mean of 1 s" },
};

#define WAYS ((int)(sizeof(ways) / sizeof(ways[0])))

/* The first way that gives a value; ret_code is the last refusal. An energy that stands at 0 is not being counted. */
static int find_way(const struct nvml *n, nvml_device d, int *ret_code)
{
	uint64_t v;
	int i;

	for (i = 0; i < WAYS; i++) {
		*ret_code = ways[i].read(n, d, &v);
		if (*ret_code == NVML_OK && v)
			return i;
	}
	return -1;
}

static void gpu_open(struct collector *c, unsigned index)
{
	struct nvml_state *s = c->state;
	struct channel *ch = &c->ch[c->nch];
	struct gpu *g = &s->gpu[c->nch];
	int code = s->nvml.handle(index, &g->dev);
	unsigned limit_mw = 0;

	if (code != NVML_OK) {
		why_add(c->why, sizeof(c->why), "gpu%u: %s", index, nvml_words(code));
		return;
	}
	g->way = find_way(&s->nvml, g->dev, &code);
	if (g->way < 0) {
		why_add(c->why, sizeof(c->why), "gpu%u: neither energy nor power: %s", index, nvml_words(code));
		return;
	}
	if (ways[g->way].note)
		why_add(c->why, sizeof(c->why), "gpu%u: %s", index, ways[g->way].note);
	snprintf(ch->name, sizeof(ch->name), "gpu%u", index);
	if (s->nvml.name && s->nvml.name(g->dev, ch->device, sizeof(ch->device)) != NVML_OK)
		ch->device[0] = 0;
	ch->device[sizeof(ch->device) - 1] = 0;
	printable(ch->device);
	if (s->nvml.limit && s->nvml.limit(g->dev, &limit_mw) == NVML_OK && !is_blank32(limit_mw))
		ch->limit_w = limit_mw * 1e-3;
	ch->domain = DOMAIN_GPU;
	ch->reading = ways[g->way].reading;
	ch->scale = 1000;
	ch->resolution = 1000;
	ch->accuracy = ACCURACY;
	ch->averaged_us = ways[g->way].read == read_average ? averaged_us(&s->nvml, g->dev) : 0;
	ch->unit = (int)index;
	ch->idle_w = -1;
	c->nch++;
}

static int nvml_open(struct collector *c)
{
	struct nvml_state *s = c->state;
	unsigned count = 0, i;
	int err = nvml_load(&s->nvml, c->why, sizeof(c->why)), code;

	if (err)
		return err;
	code = s->nvml.count(&count);
	if (code != NVML_OK) {
		why_add(c->why, sizeof(c->why), "nvmlDeviceGetCount: %s", nvml_words(code));
		return nvml_errno(code);
	}
	for (i = 0; i < count && c->nch < CHANNEL_MAX; i++)
		gpu_open(c, i);
	if (i < count)
		why_add(c->why, sizeof(c->why), "%u GPUs left out: there is room for %d", count - i, CHANNEL_MAX);
	if (!count)
		why_add(c->why, sizeof(c->why), "the driver has no GPU");
	return c->nch ? 0 : -ENODEV;
}

static int nvml_read(struct collector *c, struct raw *val)
{
	struct nvml_state *s = c->state;
	int i;

	for (i = 0; i < c->nch; i++)
		val[i].valid = ways[s->gpu[i].way].read(&s->nvml, s->gpu[i].dev, &val[i].value) == NVML_OK;
	return 0;
}

/*
 * How long one record is that nvmlDeviceGetComputeRunningProcesses_v3 wrote into a buffer of 0xaa: drivers differ, and
 * only by what they overwrite can one tell.
 */
static size_t record_size(const unsigned char *buf, size_t size, unsigned n)
{
	while (size && buf[size - 1] == 0xaa)
		size--;
	return size > n * sizeof(struct nvml_process) ? NVML_PROCESS_MAX : sizeof(struct nvml_process);
}

static int list_processes(const struct nvml *n, nvml_device d, unsigned char *buf, size_t size, unsigned *ret_n,
			  size_t *ret_record)
{
	int code;

	memset(buf, 0xaa, size);
	*ret_n = (unsigned)(size / NVML_PROCESS_MAX);
	if (n->processes_v3) {
		code = n->processes_v3(d, ret_n, buf);
		*ret_record = code == NVML_OK ? record_size(buf, size, *ret_n) : 0;
		return code;
	}
	*ret_record = n->processes_v2 ? sizeof(struct nvml_process) : sizeof(struct nvml_process_v1);
	if (n->processes_v2)
		return n->processes_v2(d, ret_n, buf);
	return n->processes_v1 ? n->processes_v1(d, ret_n, buf) : NVML_NO_FUNCTION;
}

/* The processes on a GPU, each once (MIG lists one per slice); returns how many, or -errno. */
static int get_pids(const struct nvml *n, nvml_device d, uint32_t *pid)
{
	unsigned char buf[PROCESSES_MAX * NVML_PROCESS_MAX];
	unsigned count, i;
	size_t record;
	int len = 0, j, code = list_processes(n, d, buf, sizeof(buf), &count, &record);

	if (code != NVML_OK)
		return nvml_errno(code);
	for (i = 0; i < count && i < PROCESSES_MAX; i++) {
		memcpy(&pid[len], buf + i * record, sizeof(pid[0])); /* the first member in all versions */
		for (j = 0; pid[j] != pid[len]; j++)
			;
		len += j == len;
	}
	return len;
}

static struct usage *find_usage(struct gpu *g, uint32_t pid)
{
	int i;

	for (i = 0; i < g->nused; i++)
		if (g->used[i].pid == pid)
			return &g->used[i];
	return NULL;
}

/* Keeps of each process its newest sample. */
static void store_usage(struct gpu *g, const struct nvml_usage *u, unsigned n)
{
	uint64_t newest[GPU_USER_MAX];
	struct usage *mine;
	unsigned i;

	g->nused = 0;
	for (i = 0; i < n; i++) {
		mine = find_usage(g, u[i].pid);
		if (!mine && g->nused < GPU_USER_MAX) {
			mine = &g->used[g->nused++];
			newest[mine - g->used] = 0;
		}
		if (!mine || u[i].timestamp_us < newest[mine - g->used])
			continue;
		newest[mine - g->used] = u[i].timestamp_us;
		mine->pid = u[i].pid;
		mine->permille = u[i].sm > 100 ? -1 : (int)u[i].sm * 10;
		if (u[i].timestamp_us > g->seen_us)
			g->seen_us = u[i].timestamp_us;
	}
}

/*
 * Brings g->used up to date; 0 when the use of SMs cannot be known. The driver is asked for what is newer than the
 * newest sample seen, and says "not found" when there is none, or when no process used the GPU.
 */
static int refresh_usage(const struct nvml *n, struct gpu *g, uint64_t now_ns)
{
	struct nvml_usage u[PROCESSES_MAX];
	unsigned count = PROCESSES_MAX;
	int code = n->usage ? n->usage(g->dev, u, &count, g->seen_us) : NVML_NO_FUNCTION;

	if (code == NVML_OK && count <= PROCESSES_MAX) {
		store_usage(g, u, count);
		g->used_ns = now_ns;
	} else if (code != NVML_NOT_FOUND || !g->used_ns) {
		g->nused = 0;
		return 0;
	} else if (now_ns - g->used_ns > USAGE_KEEP_NS) {
		g->nused = 0;
	}
	return 1;
}

static int nvml_users(struct collector *c, int ch, struct gpu_user *u, int max)
{
	struct nvml_state *s = c->state;
	struct gpu *g = &s->gpu[ch];
	uint32_t pid[PROCESSES_MAX];
	const struct usage *used;
	int n = get_pids(&s->nvml, g->dev, pid), i, known;

	if (n <= 0)
		return n;
	known = refresh_usage(&s->nvml, g, c->now_ns());
	for (i = 0; i < n && i < max; i++) {
		used = find_usage(g, pid[i]);
		u[i].pid = pid[i];
		u[i].util_permille = used ? used->permille : known && g->nused < GPU_USER_MAX ? 0 : -1;
	}
	return n;
}

static void nvml_close(struct collector *c)
{
	struct nvml_state *s = c->state;

	nvml_unload(&s->nvml);
}

const struct collector_ops nvml_collector = {
	.name       = "nvml",
	.doc        = "NVIDIA GPUs: the board's energy counter, else its power",
	.state_size = sizeof(struct nvml_state),
	.open       = nvml_open,
	.read       = nvml_read,
	.users      = nvml_users,
	.close      = nvml_close,
};
