// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * P = base + the sum over CPUs of w(comm of what runs there), integrated exactly: everything is brought up to now at
 * each change of it (a context switch, a new name, a new weight) and at each look at it.
 */
#include "rig.h"

#include <linux/cpu.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/topology.h>
#include <linux/tracepoint.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

DEFINE_RAW_SPINLOCK(rig_lock);

struct snap truth;
struct load loads[RIG_LOADS] = { [LOAD_OTHER] = { .comm = "*" }, [LOAD_IDLE] = { .comm = "idle" } };
int nloads = 2;
u32 base_mw[ZONES];

static unsigned int history_ms = 10;
module_param(history_ms, uint, 0644);
MODULE_PARM_DESC(history_ms, "between two snapshots of the truth; 0: none are taken");

/* What runs where. The task may be looked at with the lock held: it cannot leave its CPU without us. */
static struct {
	struct task_struct *task;
	int                 load;
} running[RIG_CPUS];

static struct snap *history;
static u64 nhistory;
static struct hrtimer history_timer;

int package_of(int cpu)
{
	int package = topology_physical_package_id(cpu);

	return package > 0 && package < rig_packages ? package : 0;
}

static void spend(enum rig_zone zone, u64 pj)
{
	truth.pj[zone] += pj;
	if (zone != ZONE_PLATFORM)
		truth.pj[ZONE_PLATFORM] += pj;
}

static void settle_cpu(int cpu, u64 ns)
{
	int l = running[cpu].load, kind;
	u64 pj;

	truth.load[l].ns += ns;
	for (kind = 0; kind < 2; kind++) {
		pj = loads[l].mw[kind] * ns;
		truth.load[l].pj[2 * package_of(cpu) + kind] += pj;
		spend(2 * package_of(cpu) + kind, pj);
	}
}

void truth_settle(void)
{
	u64 now = ktime_get_mono_fast_ns(), ns = now - truth.t_ns;
	int cpu, zone;

	if (now <= truth.t_ns)
		return;
	for (zone = 0; zone < ZONES; zone++)
		spend(zone, base_mw[zone] * ns);
	for_each_online_cpu(cpu)
		if (cpu < RIG_CPUS)
			settle_cpu(cpu, ns);
	truth.t_ns = now;
}

static int load_find(const char *comm)
{
	int i;

	for (i = 0; i < nloads; i++)
		if (!strncmp(loads[i].comm, comm, TASK_COMM_LEN))
			return i;
	return -ENOENT;
}

static int load_of(struct task_struct *task, const char *comm)
{
	int i;

	if (is_idle_task(task))
		return LOAD_IDLE;
	i = load_find(comm);
	return i < 0 ? LOAD_OTHER : i;
}

int truth_load(const char *comm, u32 package_mw, u32 dram_mw)
{
	int i = load_find(comm), cpu;

	truth_settle();
	if (i < 0 && nloads == RIG_LOADS)
		return -ENOSPC;
	if (i < 0) {
		i = nloads++;
		strscpy(loads[i].comm, comm, TASK_COMM_LEN);
		for (cpu = 0; cpu < RIG_CPUS; cpu++)
			if (running[cpu].task)
				running[cpu].load = load_of(running[cpu].task, running[cpu].task->comm);
	}
	loads[i].mw[0] = package_mw;
	loads[i].mw[1] = dram_mw;
	return 0;
}

int truth_charge(const char *comm, enum rig_zone zone, u64 pj)
{
	int i = load_find(comm);

	if (i < 0)
		return i;
	if (zone >= CPU_ZONES)
		return -EINVAL;
	truth_settle();
	truth.load[i].pj[zone] += pj;
	spend(zone, pj);
	return 0;
}

/* --- the kernel's tracepoints ------------------------------------------------------------------------------------- */

static void run(int cpu, struct task_struct *task)
{
	unsigned long flags;

	if (cpu >= RIG_CPUS)
		return;
	raw_spin_lock_irqsave(&rig_lock, flags);
	truth_settle();
	running[cpu].task = task;
	running[cpu].load = load_of(task, task->comm);
	raw_spin_unlock_irqrestore(&rig_lock, flags);
}

static void on_switch(void *data, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	run(smp_processor_id(), next);
}

static void on_rename(void *data, struct task_struct *task, const char *comm)
{
	unsigned long flags;
	int cpu;

	raw_spin_lock_irqsave(&rig_lock, flags);
	truth_settle();
	for (cpu = 0; cpu < RIG_CPUS; cpu++)
		if (running[cpu].task == task)
			running[cpu].load = load_of(task, comm);
	raw_spin_unlock_irqrestore(&rig_lock, flags);
}

static struct {
	const char        *name;
	void              *probe;
	struct tracepoint *tp;
} points[] = { { "sched_switch", on_switch }, { "task_rename", on_rename } };

/* They are not exported by name. */
static void find_point(struct tracepoint *tp, void *unused)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(points); i++)
		if (!strcmp(tp->name, points[i].name))
			points[i].tp = tp;
}

static void note_current(void *unused)
{
	run(smp_processor_id(), current);
}

/* --- what the truth was ------------------------------------------------------------------------------------------- */

static enum hrtimer_restart history_tick(struct hrtimer *timer)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&rig_lock, flags);
	if (history_ms) {
		truth_settle();
		history[nhistory++ % RIG_SNAPS] = truth;
	}
	raw_spin_unlock_irqrestore(&rig_lock, flags);
	hrtimer_forward_now(timer, ms_to_ktime(history_ms ? history_ms : 1000));
	return HRTIMER_RESTART;
}

size_t history_read(struct snap *to, size_t max)
{
	unsigned long flags;
	u64 i, n, last;

	raw_spin_lock_irqsave(&rig_lock, flags);
	last = nhistory;
	raw_spin_unlock_irqrestore(&rig_lock, flags);
	n = min3(last, (u64)max, (u64)RIG_SNAPS - 256); /* so that the oldest are not written over meanwhile */
	for (i = 0; i < n; i++)
		to[i] = history[(last - n + i) % RIG_SNAPS];
	return n;
}

u64 history_mean_uw(enum rig_zone zone)
{
	u64 back = history_ms ? 1000 / history_ms : 0;
	const struct snap *then;

	if (!back || nhistory <= back || back >= RIG_SNAPS)
		return 0;
	truth_settle();
	then = &history[(nhistory - back) % RIG_SNAPS];
	return div64_u64((truth.pj[zone] - then->pj[zone]) * 1000, truth.t_ns - then->t_ns);
}

/* hrtimer_setup() came with 6.13, and hrtimer_init() went with 6.15. */
void rig_timer_start(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	timer->function = fn;
#endif
	hrtimer_start(timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
}

int truth_start(void)
{
	size_t i;
	int err;

	history = vzalloc(RIG_SNAPS * sizeof(*history));
	if (!history)
		return -ENOMEM;
	truth.t_ns = ktime_get_mono_fast_ns();
	for (i = 0; i < RIG_CPUS; i++)
		running[i].load = LOAD_IDLE;
	for_each_kernel_tracepoint(find_point, NULL);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		err = points[i].tp ? tracepoint_probe_register(points[i].tp, points[i].probe, NULL) : -ENOENT;
		if (err) {
			while (i--)
				tracepoint_probe_unregister(points[i].tp, points[i].probe, NULL);
			vfree(history);
			return err;
		}
	}
	on_each_cpu(note_current, NULL, 1);
	rig_timer_start(&history_timer, history_tick);
	return 0;
}

void truth_stop(void)
{
	size_t i;

	hrtimer_cancel(&history_timer);
	for (i = 0; i < ARRAY_SIZE(points); i++)
		tracepoint_probe_unregister(points[i].tp, points[i].probe, NULL);
	tracepoint_synchronize_unregister();
	vfree(history);
}
