/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Copies of a caller's message: all of it if it is no longer than EV_COPY_MAX, else its head and its tail. The same
 * for every network tier.
 */
#ifndef IPW_COPY_BPF_H
#define IPW_COPY_BPF_H

#include "core.bpf.h"

/* Where a message lies: `nr` iovec at `base`, or, for nr 0, the bytes at the user address `base`. */
struct msg {
	__u64 base;
	__u64 skip; /* bytes of the first iovec that are not of this message */
	__u32 nr;
	__u32 user; /* the iovec themselves are in user memory */
};
#define MSG_NOT_USER (~0u) /* nr: pages or kernel memory; counted, not copied */

struct walk {
	struct scratch *b;
	struct msg m;
	__u32 total;     /* bytes of the message that moved */
	__u32 head_end;  /* copy [0, head_end) and [tail_from, total) */
	__u32 tail_from;
	__u32 pos;       /* where the next piece starts in the message */
	__u32 head, tail;
};

/* Bytes [from, from+n) of the message, at user address p, to data[at]. */
static __always_inline int copy_part(struct scratch *b, __u64 at, __u64 p, __u64 n)
{
	bounded(at, EV_COPY_MAX);
	bounded(n, EV_COPY_MAX);
	return bpf_probe_read_user(&b->data[at], n, (void *)p);
}

/* One piece of the message: l bytes at user address p. Returns 1 when there is nothing more to copy. */
static __always_inline int copy_piece(struct walk *w, __u64 p, __u64 l)
{
	__u32 end, a;

	if (l > w->total - w->pos)
		l = w->total - w->pos;
	end = w->pos + (__u32)l;
	if (w->pos < w->head_end) {
		a = end < w->head_end ? end : w->head_end;
		if (copy_part(w->b, w->pos, p, a - w->pos))
			return 1;
		w->head = a;
	}
	if (end > w->tail_from) {
		a = w->pos > w->tail_from ? w->pos : w->tail_from;
		if (copy_part(w->b, w->head_end + (a - w->tail_from), p + (a - w->pos), end - a))
			return 1;
		w->tail += end - a;
	}
	w->pos = end;
	return end >= w->total;
}

static long copy_step(__u32 i, void *ctx)
{
	struct walk *w = ctx;
	struct iovec v = {};
	void *p;

	if (i >= w->m.nr)
		return 1;
	p = (void *)(w->m.base + i * sizeof(v));
	if (w->m.user ? bpf_probe_read_user(&v, sizeof(v), p) : bpf_probe_read_kernel(&v, sizeof(v), p))
		return 1;
	if (i == 0) {
		v.iov_base += w->m.skip;
		v.iov_len -= w->m.skip;
	}
	return copy_piece(w, (__u64)v.iov_base, v.iov_len);
}

/* Fills b->data and the two lengths for a message of which `total` bytes moved. */
static __always_inline void copy_msg(struct scratch *b, const struct msg *m, __u32 total)
{
	struct walk w = { .b = b, .m = *m, .total = total, .head_end = total, .tail_from = total };

	if (!m->nr && total <= EV_COPY_MAX) {
		b->d.head = copy_part(b, 0, m->base, total) ? 0 : total;
		b->d.tail = 0;
		return;
	}
	if (total > EV_COPY_MAX) {
		w.head_end = EV_HEAD_MAX;
		w.tail_from = total - EV_TAIL_MAX;
	}
	if (!m->nr)
		copy_piece(&w, m->base, total);
	else if (m->nr != MSG_NOT_USER)
		bpf_loop(EV_IOV_MAX, copy_step, &w, 0);
	/* A tail is one only if it reaches the end, and it starts where the copied head ends. */
	if (w.tail != total - w.tail_from || w.head != w.head_end)
		w.tail = 0;
	b->d.head = w.head;
	b->d.tail = w.tail;
}

#endif
