// SPDX-License-Identifier: GPL-2.0-only
/* Which processes are the target: a child is one from its fork on, before it runs its first instruction. */
#include "core.bpf.h"

static __always_inline void task_event(enum ev_type type, __u32 tgid, const struct ev_target *t, __u32 child,
				       struct task_struct *comm_of)
{
	struct ev_task e = {};

	hdr_fill(&e.h, type, t->slot, sizeof(e));
	e.h.tgid = tgid;
	e.child = child;
	e.cpu_ns = t->cpu_ns;
	bpf_probe_read_kernel(e.comm, sizeof(e.comm), comm_of->comm);
	ev_output(&e, sizeof(e), EV_LOST_TASK);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(task_fork, struct task_struct *parent, struct task_struct *child)
{
	struct ev_target *t = target_of(parent->tgid), mine = {};
	__u32 tgid = child->tgid;

	if (!t || child->tgid == parent->tgid)
		return 0;
	mine.slot = t->slot;
	*hint_of(tgid) = 1;
	if (bpf_map_update_elem(&targets, &tgid, &mine, BPF_ANY))
		count(EV_LOST_STATE);
	task_event(EV_FORK, parent->tgid, t, tgid, child);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(task_exec, struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
{
	struct ev_target *t = target_of(p->tgid);

	if (t)
		task_event(EV_EXEC, p->tgid, t, 0, p);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(task_exit, struct task_struct *p)
{
	struct ev_target *t = target_of(p->tgid);
	__u32 tgid = p->tgid;

	if (!t || p->signal->live.counter > 0)
		return 0;
	task_event(EV_EXIT, tgid, t, 0, p);
	bpf_map_delete_elem(&targets, &tgid);
	return 0;
}

char LICENSE[] SEC("license") __weak = "GPL";
