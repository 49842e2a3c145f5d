/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who was on the CPUs, from what bpf/sched.bpf.c keeps for each: sums by package, of all and of each slot. */
#ifndef IPW_ONCPU_H
#define IPW_ONCPU_H

#include "bpf/event.h"
#include "userspace/timeline.h"
#include "userspace/util/online.h"

struct oncpu {
	struct ev_cpu  *cpu;  /* of each possible CPU, as read; the caller fills it in */
	int32_t        *unit; /* physical_package_id of each */
	int             n;
	struct online   online;
	unsigned        changes; /* in which CPUs run */
	struct activity last; /* counts never go back, though what runs now is added by the clock */
};

/* 0 or -ENOMEM. */
int  oncpu_init(struct oncpu *o, int n);
void oncpu_release(struct oncpu *o);

/* One of them was read while it was written. */
int  oncpu_is_torn(const struct oncpu *o);
/*
 * For the BPF programs that make the sums themselves: each CPU's package, numbered as in the activity, and
 * EV_CPU_OFFLINE, in to[0 .. o->n). Returns how many packages there are.
 */
uint32_t oncpu_groups(const struct oncpu *o, uint8_t *to);
/* The sums, with what runs at t_ns and has not been charged yet. */
void oncpu_sum(struct oncpu *o, uint64_t t_ns, struct activity *ret);

#endif
