// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/live.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ipw.skel.h"
#include "userspace/oncpu.h"
#include "userspace/uprobe.h"
#include "userspace/util/clock.h"

#define UNIX_PLACES 8192 /* unix sockets in use at a time; what is the longest out of use makes room */
#define WAKE_PART 4 /* the reader is woken early when this part of the ring is full */
#define READ_TRIES 4

struct live {
	struct ipw         *skel;
	struct ring_buffer *ring;
	enum net_tier       tier;
	struct probe_status status[PROBE_MAX];
	struct bpf_link    *link[PROBE_MAX];
	struct oncpu        oncpu;
	uint32_t            edge_slots;
	uint64_t            edge_used;    /* places of edge_events */
	unsigned            edge_changes; /* of oncpu.changes, that the kernel's side knows of */
	char                edges_why[160];
	void              (*fn)(void *ctx, const struct ev_hdr *e);
	void               *ctx;
};

/* --- what libbpf says is kept, and told only when loading fails --------------------------------------------------- */

static char said[512];

static int keep_said(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *nl;

	if (level != LIBBPF_WARN || said[0])
		return 0;
	vsnprintf(said, sizeof(said), fmt, ap);
	nl = strchr(said, '\n');
	if (nl)
		*nl = 0;
	return 0;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static int wanted(const struct probe *p, enum net_tier tier)
{
	return p->use == USE_ALWAYS || (p->use != USE_STEPS && (p->use == USE_TP) == (tier == NET_TP));
}

/* What is loaded if the kernel takes it, and attached when it turns out to be of use. */
enum extra {
	EXTRA_UNIX  = 1 << 0, /* beside tier tp: the target listens on a unix socket */
	EXTRA_STEPS = 1 << 1, /* a process has an engine that we know */
};

static enum extra extra_of(const struct probe *p, enum net_tier tier)
{
	return p->use == USE_STEPS ? EXTRA_STEPS : p->use == USE_SYS && tier == NET_TP ? EXTRA_UNIX : 0;
}

/* Marks the programs whose tracepoint this kernel does not have. */
static int find_absent(struct live *l, enum net_tier tier, char *why, size_t size)
{
	struct btf *btf = btf__load_vmlinux_btf();
	char name[80];
	int i, err = 0;

	if (libbpf_get_error(btf)) {
		snprintf(why, size, "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF; /sys/kernel/btf/vmlinux)");
		return -ENOTSUP;
	}
	for (i = 0; probes[i].program; i++) {
		snprintf(name, sizeof(name), "btf_trace_%s", probes[i].tracepoint);
		l->status[i] = (struct probe_status){ .state = PROBE_OFF };
		if (probes[i].use == USE_STEPS || btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF) >= 0)
			continue;
		l->status[i].state = PROBE_ABSENT;
		snprintf(l->status[i].why, sizeof(l->status[i].why), "this kernel has no tracepoint %s",
			 probes[i].tracepoint);
		if (wanted(&probes[i], tier) && !err) {
			snprintf(why, size, "this kernel has no tracepoint %s", probes[i].tracepoint);
			err = -ENOTSUP;
		}
	}
	btf__free(btf);
	return err;
}

static void explain(int err, char *why, size_t size)
{
	if (err == -EPERM || err == -EACCES)
		snprintf(why, size, "the kernel refuses: it takes root, or CAP_BPF and CAP_PERFMON%s%s",
			 said[0] ? "; " : "", said);
	else
		snprintf(why, size, "%s%s%s", strerror(-err), said[0] ? "; " : "", said);
}

static void choose_programs(struct live *l, enum net_tier tier, int extras)
{
	struct bpf_program *prog;
	int i;

	for (i = 0; probes[i].program; i++) {
		prog = bpf_object__find_program_by_name(l->skel->obj, probes[i].program);
		if (!prog)
			continue;
		bpf_program__set_autoload(prog, wanted(&probes[i], tier) || (extras & extra_of(&probes[i], tier)));
		if (probes[i].use == USE_STEPS && uprobe_multi())
			bpf_program__set_expected_attach_type(prog, (enum bpf_attach_type)UPROBE_MULTI_ATTACH_TYPE);
	}
}

static void configure_edges(struct live *l)
{
	uint8_t group[EV_CPUS];

	if (l->oncpu.n > EV_CPUS) {
		snprintf(l->edges_why, sizeof(l->edges_why), "there are more than %d CPUs", EV_CPUS);
		return;
	}
	l->skel->rodata->cfg.ncpu = (uint32_t)l->oncpu.n;
	l->skel->rodata->cfg.ngroup = oncpu_groups(&l->oncpu, group);
	l->skel->rodata->cfg.nslot = l->edge_slots;
	memcpy(l->skel->bss->cpu_group, group, (size_t)l->oncpu.n);
}

static int load(struct live *l, enum net_tier tier, uint32_t ring_bytes, int extras, char *why, size_t size)
{
	int err;

	err = find_absent(l, tier, why, size);
	if (err)
		return err;
	said[0] = 0;
	l->skel = ipw__open();
	if (!l->skel) {
		err = -errno;
		explain(err, why, size);
		return err;
	}
	l->skel->rodata->cfg.wake_bytes = ring_bytes / WAKE_PART;
	l->skel->rodata->cfg.sys_tcp = tier == NET_SYS;
	if (l->edge_slots && !l->edges_why[0])
		configure_edges(l);
	bpf_map__set_max_entries(l->skel->maps.ring, ring_bytes);
	if (tier != NET_SYS) /* there for unix sockets alone, and 80 bytes each whether used or not */
		bpf_map__set_max_entries(l->skel->maps.places, UNIX_PLACES);
	choose_programs(l, tier, extras);
	err = ipw__load(l->skel);
	if (err) {
		explain(err, why, size);
		ipw__destroy(l->skel);
		l->skel = NULL;
	}
	return err;
}

static int attach_one(struct live *l, int i)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(l->skel->obj, probes[i].program);
	int err;

	if (!prog || bpf_program__fd(prog) < 0)
		return -ENOENT;
	l->link[i] = bpf_program__attach(prog);
	err = (int)libbpf_get_error(l->link[i]);
	l->status[i].state = err ? PROBE_REFUSED : PROBE_ON;
	l->status[i].why[0] = 0;
	if (err) {
		l->link[i] = NULL;
		explain(err, l->status[i].why, sizeof(l->status[i].why));
	}
	return err;
}

static const char *waits_for(enum extra e)
{
	return e == EXTRA_STEPS ? "until a process of the target has that engine" :
	       e == EXTRA_UNIX ? "until the target listens on a unix socket" : "another tier is on";
}

static int attach(struct live *l, enum net_tier tier, char *why, size_t size)
{
	int i, err;

	for (i = 0; probes[i].program; i++) {
		if (!wanted(&probes[i], tier)) {
			if (!l->status[i].why[0])
				snprintf(l->status[i].why, sizeof(l->status[i].why), "%s",
					 waits_for(extra_of(&probes[i], tier)));
			continue;
		}
		err = attach_one(l, i);
		if (err) {
			snprintf(why, size, "cannot attach to %s: %s", probes[i].tracepoint, strerror(-err));
			return err;
		}
	}
	return 0;
}

int live_watch_unix(struct live *l)
{
	int i, err = 0;

	for (i = 0; probes[i].program && !err; i++)
		if (extra_of(&probes[i], l->tier) == EXTRA_UNIX && !l->link[i])
			err = attach_one(l, i);
	return err;
}

static int buffers(struct live *l)
{
	int n = libbpf_num_possible_cpus();

	return n < 0 ? n : oncpu_init(&l->oncpu, n);
}

static int on_record(void *ctx, void *data, size_t size)
{
	static const uint32_t least[] = {
		[EV_SEND] = sizeof(struct ev_data), [EV_RECV] = sizeof(struct ev_data),
		[EV_RECV_END] = sizeof(struct ev_data), [EV_STATE] = sizeof(struct ev_state),
		[EV_FORK] = sizeof(struct ev_task), [EV_EXEC] = sizeof(struct ev_task),
		[EV_EXIT] = sizeof(struct ev_task), [EV_STEP] = sizeof(struct ev_step),
		[EV_EDGE] = offsetof(struct ev_edge, cpu),
	};
	const struct ev_hdr *e = data;
	struct live *l = ctx;

	if (size < sizeof(*e) || e->type >= sizeof(least) / sizeof(*least) || size < least[e->type] || e->size > size)
		return 0;
	l->fn(l->ctx, e);
	return 0;
}

/* With all extras, with the one or the other, with none: what the kernel does not take is left out. */
static int load_best(struct live *l, enum net_tier tier, uint32_t ring_bytes, char *why, size_t size)
{
	static const int tries[] = { EXTRA_UNIX | EXTRA_STEPS, EXTRA_UNIX, EXTRA_STEPS, 0 };
	int i, k, err = 0;

	for (k = 0; k < 4; k++) {
		err = load(l, tier, ring_bytes, tries[k], why, size);
		if (err && err != -EPERM && l->edge_slots && !l->edges_why[0]) {
			snprintf(l->edges_why, sizeof(l->edges_why), "%.150s", why);
			err = load(l, tier, ring_bytes, tries[k], why, size);
			if (err)
				l->edges_why[0] = 0; /* it was not them */
		}
		if (!err || err == -EPERM)
			break;
		for (i = 0; probes[i].program; i++)
			if (tries[k] & extra_of(&probes[i], tier))
				snprintf(l->status[i].why, sizeof(l->status[i].why), "%.100s", why);
	}
	for (i = 0; probes[i].program && !err; i++)
		if (tries[k] & extra_of(&probes[i], tier))
			l->status[i].why[0] = 0;
	return err;
}

static int start(struct live *l, enum net_tier tier, uint32_t ring_bytes, char *why, size_t size)
{
	int err = load_best(l, tier, ring_bytes, why, size);

	if (!err) {
		l->ring = ring_buffer__new(bpf_map__fd(l->skel->maps.ring), on_record, l, NULL);
		err = l->ring ? attach(l, tier, why, size) : -errno;
	}
	l->tier = tier;
	return err;
}

static void stop(struct live *l)
{
	int i;

	for (i = 0; i < PROBE_MAX; i++) {
		bpf_link__destroy(l->link[i]);
		l->link[i] = NULL;
	}
	ring_buffer__free(l->ring);
	ipw__destroy(l->skel);
	l->ring = NULL;
	l->skel = NULL;
}

int live_new(enum net_tier tier, uint32_t ring_bytes, uint32_t edge_slots, struct live **ret, char *why, size_t size)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct live *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->oncpu.online.fd = -1;
	l->edge_slots = edge_slots;
	libbpf_set_print(keep_said);
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited); /* kernels before 5.11 count maps against it */
	err = buffers(l);
	if (!err)
		err = start(l, tier == NET_AUTO ? NET_TP : tier, ring_bytes, why, size);
	if (err && tier == NET_AUTO) {
		stop(l);
		why[0] = l->edges_why[0] = 0;
		err = start(l, NET_SYS, ring_bytes, why, size);
	}
	if (err) {
		live_free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void live_free(struct live *l)
{
	if (!l)
		return;
	stop(l);
	oncpu_release(&l->oncpu);
	free(l);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

enum net_tier live_tier(const struct live *l)
{
	return l->tier;
}

const struct probe_status *live_probes(const struct live *l)
{
	return l->status;
}

int live_add(struct live *l, uint32_t tgid, uint32_t slot)
{
	struct ev_target t = { .slot = slot };

	l->skel->bss->hints[tgid & (sizeof(l->skel->bss->hints) - 1)] = 1;
	/* One that its parent's fork has already put there stays as it is. */
	if (bpf_map_update_elem(bpf_map__fd(l->skel->maps.targets), &tgid, &t, BPF_NOEXIST) && errno != EEXIST)
		return -errno;
	return 0;
}

int live_cpu(const struct live *l, uint32_t tgid, uint64_t *ret_ns)
{
	struct ev_target t;

	if (bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.targets), &tgid, &t))
		return -errno;
	*ret_ns = t.cpu_ns;
	return 0;
}

int live_fd(const struct live *l)
{
	return ring_buffer__epoll_fd(l->ring);
}

int live_drain(struct live *l, void (*fn)(void *ctx, const struct ev_hdr *e), void *ctx)
{
	l->fn = fn;
	l->ctx = ctx;
	return ring_buffer__consume(l->ring);
}

/* Reads all CPUs' records, again while one is being written. */
int live_activity(struct live *l, struct activity *ret)
{
	int fd = bpf_map__fd(l->skel->maps.cpus), tries = 0;
	uint32_t zero = 0;

	do {
		if (bpf_map_lookup_elem(fd, &zero, l->oncpu.cpu))
			return -errno;
	} while (oncpu_is_torn(&l->oncpu) && ++tries < READ_TRIES);
	oncpu_sum(&l->oncpu, clock_mono_ns(), ret);
	if (l->oncpu.changes != l->edge_changes && l->oncpu.n <= EV_CPUS)
		(void)oncpu_groups(&l->oncpu, l->skel->bss->cpu_group);
	l->edge_changes = l->oncpu.changes;
	return 0;
}

uint64_t live_lost(struct live *l)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < EV_COUNT_MAX; i++)
		sum += __atomic_load_n(&l->skel->bss->counts[i], __ATOMIC_RELAXED);
	return sum;
}

void live_mute(struct live *l, uint64_t cookie)
{
	uint8_t one = 1;

	if (!bpf_map_update_elem(bpf_map__fd(l->skel->maps.muted), &cookie, &one, BPF_ANY))
		__atomic_add_fetch(&l->skel->bss->mute_gen, 1, __ATOMIC_RELEASE);
}

/* --- engine steps ------------------------------------------------------------------------------------------------- */

int live_prog(const struct live *l, const char *program)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(l->skel->obj, program);
	int fd = prog ? bpf_program__fd(prog) : -1;

	return fd < 0 ? -1 : fd;
}

uint64_t live_step_hits(const struct live *l)
{
	return __atomic_load_n(&l->skel->bss->step_hits, __ATOMIC_RELAXED);
}

void live_step_state(struct live *l, const char *program, int err)
{
	int i;

	for (i = 0; probes[i].program && strcmp(probes[i].program, program); i++)
		;
	if (!probes[i].program || (err && l->status[i].state == PROBE_ON))
		return;
	l->status[i].state = err ? PROBE_REFUSED : PROBE_ON;
	l->status[i].why[0] = 0;
	if (err)
		explain(err, l->status[i].why, sizeof(l->status[i].why));
}

const char *live_step_why(const struct live *l)
{
	int i;

	for (i = 0; probes[i].program && probes[i].use != USE_STEPS; i++)
		;
	return l->status[i].why;
}

/* --- edges -------------------------------------------------------------------------------------------------------- */

int live_edge_meter(struct live *l, int fd, int32_t unit)
{
	int map = bpf_map__fd(l->skel->maps.edge_events), cpu, k;
	uint32_t group, place, value = (uint32_t)fd;

	for (cpu = 0; cpu < l->oncpu.n && l->oncpu.unit[cpu] != unit; cpu++)
		;
	if (cpu == l->oncpu.n || !l->skel->rodata->cfg.ncpu)
		return -ENOENT;
	group = l->skel->bss->cpu_group[cpu] & ~EV_CPU_OFFLINE;
	for (k = 0; k < EV_EDGE_METERS; k++) {
		place = group * EV_EDGE_METERS + (uint32_t)k;
		if (l->edge_used >> place & 1)
			continue;
		if (bpf_map_update_elem(map, &place, &value, BPF_ANY))
			return -errno;
		l->edge_used |= 1ull << place;
		return (int)place;
	}
	return -ENOSPC;
}

const char *live_edges_why(const struct live *l)
{
	return l->edges_why;
}

uint64_t live_edges_torn(const struct live *l)
{
	return __atomic_load_n(&l->skel->bss->edges_torn, __ATOMIC_RELAXED);
}
