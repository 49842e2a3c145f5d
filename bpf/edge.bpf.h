/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a phase of a query may begin or end: what the meters of this package and the CPUs stand at, in one event, so
 * that energy need not be interpolated there. Never per token: an edge is one of the first EV_EDGE_CALLS calls after a
 * socket has turned round, or the last chunk of an answer, and there are no more than one for EV_EDGE_EACH_NS.
 *
 * bpf_perf_event_read_value() may be called in programs of all tracing types since 5.7. An event of another CPU it
 * reads only where perf_event_read_local() knows of events that any CPU of a package may read (so in 6.12, not in 6.1);
 * else on the event's own CPU alone. What it refuses is not in ev_edge.read.
 */
#ifndef IPW_EDGE_BPF_H
#define IPW_EDGE_BPF_H

#include "core.bpf.h"

/* EV_EDGE_METERS of each package. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, EV_GROUPS * EV_EDGE_METERS);
	__type(key, __u32);
	__type(value, __u32);
} edge_events SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ev_edge);
} edge_scratch SEC(".maps") __weak;

__u8  cpu_group[EV_CPUS] __weak; /* by CPU */
__u64 edge_paid_ns __weak; /* up to then time is used up by edges */
__u64 edges_torn __weak; /* a CPU switched while it was looked at: no edge */

/* Bit 7: the direction; below, calls in a row. True: this one may be an edge. */
static __always_inline bool turn(__u8 *state, bool out)
{
	__u8 dir = out ? 0x80 : 0, n = (*state & 0x80) == dir ? *state & 0x7f : 0;

	if (n >= EV_EDGE_CALLS)
		return false;
	*state = dir | (n + 1);
	return true;
}

/* The message ends as an answer does: with the empty chunk of HTTP, "0\r\n\r\n", or with "[DONE]\n\n". */
static __always_inline bool ends_answer(const struct scratch *b)
{
	__u64 n = (__u64)b->d.head + b->d.tail;
	const __u8 *p;

	if (n < 5)
		return false;
	n -= 5;
	bounded(n, EV_COPY_MAX);
	p = &b->data[n];
	return (p[0] == '0' && p[1] == '\r' && p[2] == '\n' && p[3] == '\r' && p[4] == '\n') ||
	       (p[0] == 'N' && p[1] == 'E' && p[2] == ']' && p[3] == '\n' && p[4] == '\n');
}

/* There may be one now. Two CPUs that ask at the same moment may both be told so. */
static __always_inline bool edge_allowed(__u64 now)
{
	__u64 from = now - EV_EDGE_BURST * EV_EDGE_EACH_NS;

	if (edge_paid_ns > now)
		return false;
	edge_paid_ns = (edge_paid_ns > from ? edge_paid_ns : from) + EV_EDGE_EACH_NS;
	return true;
}

struct edge_walk {
	struct ev_edge *e;
	__u64 now;
	__u32 torn;
};

/* One CPU's record, as user space reads it: see struct ev_cpu. */
static long edge_cpu(__u32 i, void *ctx)
{
	struct edge_walk *w = ctx;
	__u32 zero = 0, s, place = cpu_group[i & (EV_CPUS - 1)], slot;
	volatile struct ev_cpu *c = bpf_map_lookup_percpu_elem(&cpus, &zero, i);
	struct ev_group *g = &w->e->cpu[place & (EV_GROUPS - 1)];
	__u64 end, last, running = 0;

	if (!c)
		return 1;
	end = c->end;
	last = c->last_ns;
	g->busy_ns += c->busy_ns;
	for (s = 1; s < EV_SLOTS && s <= cfg.nslot; s++)
		g->slot_ns[s] += c->slot_ns[s];
	if (c->busy && last && w->now > last && !(place & EV_CPU_OFFLINE))
		running = w->now - last;
	slot = c->slot;
	g->busy_ns += running;
	if (slot)
		g->slot_ns[slot & (EV_SLOTS - 1)] += running;
	w->torn = c->begin != end;
	return w->torn;
}

/* The meters, in user space's order. */
static __always_inline void edge_meters(struct ev_edge *e)
{
	struct bpf_perf_event_value v;
	__u32 k;

	e->group = cpu_group[bpf_get_smp_processor_id() & (EV_CPUS - 1)] & (EV_GROUPS - 1);
	for (k = 0; k < EV_EDGE_METERS; k++) {
		if (bpf_perf_event_read_value(&edge_events, e->group * EV_EDGE_METERS + k, &v, sizeof(v)))
			continue;
		e->count[k] = v.counter;
		e->read |= 1u << k;
	}
}

/* A function of its own: many callers, and each with little stack left. */
static __noinline int edge(__u32 slot)
{
	__u32 zero = 0;
	struct edge_walk w = { .e = bpf_map_lookup_elem(&edge_scratch, &zero) };
	__u64 size = sizeof(*w.e) - sizeof(w.e->cpu) + (__u64)cfg.ngroup * sizeof(w.e->cpu[0]);

	w.now = bpf_ktime_get_ns();
	if (!w.e || !edge_allowed(w.now))
		return 0;
	__builtin_memset(w.e, 0, sizeof(*w.e) - sizeof(w.e->cpu));
	for (zero = 0; zero < EV_GROUPS && zero < cfg.ngroup; zero++)
		__builtin_memset(&w.e->cpu[zero], 0, sizeof(w.e->cpu[0]));
	hdr_fill(&w.e->h, EV_EDGE, slot, size);
	edge_meters(w.e);
	w.e->h.ts_ns = w.now;
	w.e->ngroup = cfg.ngroup;
	bpf_loop(cfg.ncpu, edge_cpu, &w, 0);
	if (w.torn) {
		__sync_fetch_and_add(&edges_torn, 1);
		return 0;
	}
	bounded(size, sizeof(*w.e));
	ev_output(w.e, size, EV_LOST_STEP);
	return 0;
}

#endif
