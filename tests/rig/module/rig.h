/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A machine whose joules are known. truth.c integrates a power that is a function of what runs on each CPU; meter.c
 * spoils that as counters do; powercap.c, perf.c and hwmon.c publish it as the kernel publishes real ones; control.c is
 * /proc/ipw_rig.
 *
 * Power is in mW and time in ns, so that their product is pJ: integers, nothing is rounded. One lock covers it all.
 */
#ifndef IPW_RIG_H
#define IPW_RIG_H

#include <linux/hrtimer.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#define RIG_LOADS    16   /* of which the first two are there from the start */
#define RIG_CPUS     64
#define RIG_LATCHES  4096 /* refreshes that a meter may lag */
#define RIG_SNAPS    16384

/* A package's own zone and then its DRAM's: 2 * package + kind. */
enum rig_zone { ZONE_PACKAGE_0, ZONE_DRAM_0, ZONE_PACKAGE_1, ZONE_DRAM_1, ZONE_PLATFORM, ZONES };
enum { LOAD_OTHER, LOAD_IDLE }; /* tasks that no load is named after; nothing */

#define CPU_ZONES ZONE_PLATFORM /* the zones that a CPU can spend in */

struct load_sum {
	u64 ns;             /* on CPU */
	u64 pj[CPU_ZONES];
};

/* What /proc/ipw_rig/history is an array of, oldest first. */
struct snap {
	u64             t_ns;      /* CLOCK_MONOTONIC */
	u64             pj[ZONES]; /* base and loads together */
	struct load_sum load[RIG_LOADS];
};

struct load {
	char comm[TASK_COMM_LEN];
	u32  mw[2]; /* on each CPU that runs it: to the package, to its DRAM */
};

extern raw_spinlock_t rig_lock;
extern unsigned int   rig_packages;
extern bool           rig_dram, rig_psys;

/* --- truth.c; with rig_lock held, unless it says otherwise --- */

extern struct snap truth;     /* now, after truth_settle() */
extern struct load loads[RIG_LOADS];
extern int         nloads;
extern u32         base_mw[ZONES];

void truth_settle(void);
int  truth_load(const char *comm, u32 package_mw, u32 dram_mw); /* from this moment on; -ENOSPC */
int  truth_charge(const char *comm, enum rig_zone zone, u64 pj);    /* at this moment, on top; -ENOENT, -EINVAL */
int  package_of(int cpu);

int  truth_start(void);       /* without the lock */
void truth_stop(void);
size_t history_read(struct snap *to, size_t max); /* newest `max`, oldest first; takes the lock itself */
u64  history_mean_uw(enum rig_zone zone);             /* over the last second; with the lock */

void rig_timer_start(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *));

/* --- meter.c --- */

struct meter {
	const char *name;
	enum rig_zone   zone;
	/* written by control.c */
	s64 gain_ppm;   /* error of the gain, on what is counted from now on */
	s64 every;      /* refreshes at each of so many ticks of the refresh timer */
	s64 lag;        /* refreshes that what is shown is late */
	s64 range_uj;   /* the counter starts again there */
	s64 stall;      /* refreshes that are still to be left out: it shows the same again */
	s64 fail;       /* reading it says -EIO */
	s64 gone;       /* it is not there at all (powercap), or stands still (perf) */
	/* the rest is meter.c's */
	u64 seen_pj;    /* of the truth, so far */
	u64 count_pj;
	u64 latch[RIG_LATCHES], nlatch, ticks;
};

extern struct meter meters[ZONES];

bool meter_exists(enum rig_zone zone);
int  meter_read_pj(struct meter *m, u64 *ret); /* takes the lock; -EIO */
u64  meter_uj(const struct meter *m, u64 pj);  /* as a counter of its range has it */
void meter_jump(struct meter *m, s64 uj);      /* with the lock */
void meter_reset(struct meter *m);
int  meter_start(void);
void meter_stop(void);

/* --- the interfaces --- */

int  powercap_start(void);
void powercap_stop(void);
int  powercap_sync(void); /* zones come and go by meter.gone; not with the lock */
int  rig_perf_start(void);
void rig_perf_stop(void);
int  rig_hwmon_start(void);
void rig_hwmon_stop(void);
int  control_start(void);
void control_stop(void);

#endif
