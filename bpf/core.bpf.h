/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that all programs share, and the few things that each of them does. */
#ifndef IPW_CORE_BPF_H
#define IPW_CORE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "event.h"

#define AF_UNIX     1
#define AF_INET     2
#define AF_INET6    10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define EAGAIN      11
#define MSG_PEEK    2
enum { TCP_FIN_WAIT1 = 4, TCP_CLOSE = 7, TCP_LAST_ACK = 9 };

const volatile struct ev_cfg cfg __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct ev_target);
} targets SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ev_cpu);
} cpus SEC(".maps") __weak;

__u64 counts[EV_COUNT_MAX] __weak; /* what was lost and why */

static __always_inline void count(enum ev_count what)
{
	__sync_fetch_and_add(&counts[what], 1);
}

/*
 * By tgid, modulo the size: 0 says that it is not in `targets`. That costs a load, where the map costs a hash: what
 * other processes pay for us is mostly this question. A byte each, as those who set them do not know of each other.
 */
__u8 hints[1 << 16] __weak;

static __always_inline __u8 *hint_of(__u32 tgid)
{
	return &hints[tgid & (sizeof(hints) - 1)];
}

static __always_inline struct ev_target *target_of(__u32 tgid)
{
	return *hint_of(tgid) ? bpf_map_lookup_elem(&targets, &tgid) : NULL;
}

static __always_inline struct ev_target *target_current(void)
{
	return target_of(bpf_get_current_pid_tgid() >> 32);
}

static __always_inline void hdr_fill(struct ev_hdr *h, enum ev_type type, __u32 slot, __u32 size)
{
	__u64 id = bpf_get_current_pid_tgid();

	h->ts_ns = bpf_ktime_get_ns();
	h->type  = type;
	h->flags = 0;
	h->slot  = slot;
	h->size  = size;
	h->tgid  = id >> 32;
	h->tid   = id;
}

/* The reader drains the ring at every sample, so a wake-up, the dearest part of an event, is for a flood only. */
static __always_inline void ev_output(void *rec, __u64 size, enum ev_count lost)
{
	__u64 wake = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= cfg.wake_bytes ? BPF_RB_FORCE_WAKEUP
										   : BPF_RB_NO_WAKEUP;

	if (bpf_ringbuf_output(&ring, rec, size, wake))
		count(lost);
}

/* Keeps a bound on a 64-bit variable, which the compiler would otherwise forget by re-using the unbounded register. */
#define bounded(var, max)                           \
	({                                          \
		asm volatile("" : "+r"(var));       \
		if ((var) > (max))                  \
			(var) = (max);              \
		asm volatile("" : "+r"(var));       \
	})

/* A buffer to build one ev_data in: too large for the stack. One per program, so that none finds another's there. */
struct scratch {
	struct ev_data d;
	__u8 data[2 * EV_COPY_MAX]; /* the second half is never used: room for the worst case that the verifier sees */
};

#define SCRATCH_MAP(name)                                        \
	struct {                                                 \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);         \
		__uint(max_entries, 1);                          \
		__type(key, __u32);                              \
		__type(value, struct scratch);                   \
	} name SEC(".maps")

static __always_inline void scratch_output(struct scratch *b)
{
	__u64 n = sizeof(b->d) + (__u64)b->d.head + b->d.tail;

	bounded(n, sizeof(b->d) + EV_COPY_MAX);
	b->d.h.size = n;
	ev_output(b, n, EV_LOST_DATA);
}

#endif
