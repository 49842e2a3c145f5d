/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between kernels and machines, with the version and the reason; nowhere else.
 *
 *   bpf_loop               5.17 and later; copy.bpf.h walks iovec with it
 *   tcp_sendmsg_locked     6.16 and later; without it the tier is sys (net_sys.bpf.c)
 *   bpf_dynptr_from_skb    in tp_btf programs 6.11 and later
 */
#ifndef IPW_COMPAT_BPF_H
#define IPW_COMPAT_BPF_H

#include "core.bpf.h"

/* 6.13 (90ee6ed776c0) replaced file.f_count, which counts references from 1, by f_ref, which counts from 0. */
struct file___before_6_13 {
	atomic_long_t f_count;
} __attribute__((preserve_access_index));

static __always_inline bool file_is_last_ref(struct file *f)
{
	struct file___before_6_13 *old = (void *)f;

	if (bpf_core_field_exists(old->f_count))
		return BPF_CORE_READ(old, f_count.counter) == 1;
	return BPF_CORE_READ(f, f_ref.refcnt.counter) == 0;
}

/* The other end of a unix socket; 0 where those are a module, whose types are not in the kernel's own BTF. */
static __always_inline __u64 unix_peer(struct sock *sk)
{
	struct unix_sock *u = (void *)sk;

	return bpf_core_field_exists(u->peer) ? (__u64)BPF_CORE_READ(u, peer) : 0;
}

/* Numbers of the 64-bit system calls, and the one that registers belong to. */
#if defined(__TARGET_ARCH_x86)
#define syscall_number(regs) BPF_CORE_READ(regs, orig_ax)
enum {
	NR_read = 0, NR_write = 1, NR_close = 3, NR_readv = 19, NR_writev = 20, NR_sendfile = 40, NR_accept = 43,
	NR_sendto = 44, NR_recvfrom = 45, NR_sendmsg = 46, NR_recvmsg = 47, NR_shutdown = 48, NR_splice = 275,
	NR_accept4 = 288, NR_recvmmsg = 299, NR_sendmmsg = 307,
};
#elif defined(__TARGET_ARCH_arm64)
#define syscall_number(regs) BPF_CORE_READ(regs, syscallno)
enum {
	NR_close = 57, NR_read = 63, NR_write = 64, NR_readv = 65, NR_writev = 66, NR_sendfile = 71, NR_splice = 76,
	NR_accept = 202, NR_sendto = 206, NR_recvfrom = 207, NR_shutdown = 210, NR_sendmsg = 211, NR_recvmsg = 212,
	NR_accept4 = 242, NR_recvmmsg = 243, NR_sendmmsg = 269,
};
#endif

#endif
