// SPDX-License-Identifier: GPL-2.0-only
/* On-CPU time, summed where it is spent: all tasks, each -p, each traced process. No event leaves from here. */
#include "core.bpf.h"

static __always_inline void charge(struct ev_cpu *c, __u64 ns, __u32 tgid)
{
	struct ev_target *t;

	c->busy_ns += ns;
	if (!c->slot)
		return;
	c->slot_ns[c->slot & (EV_SLOTS - 1)] += ns;
	t = target_of(tgid);
	if (t)
		__sync_fetch_and_add(&t->cpu_ns, ns);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 zero = 0;
	struct ev_cpu *c = bpf_map_lookup_elem(&cpus, &zero);
	struct ev_target *t = NULL;
	__u64 now;

	if (!c)
		return 0;
	if (next->pid)
		t = target_of(next->tgid);
	/* From one process that is not traced to another nothing changes: their time is summed as one. */
	if (c->busy && !c->slot && next->pid && !t)
		return 0;
	now = bpf_ktime_get_ns();
	c->begin++;
	barrier();
	if (c->busy && c->last_ns)
		charge(c, now - c->last_ns, prev->tgid);
	c->last_ns = now;
	c->busy = next->pid != 0;
	c->slot = t ? t->slot : 0;
	barrier();
	c->end = c->begin;
	return 0;
}

char LICENSE[] SEC("license") __weak = "GPL";
