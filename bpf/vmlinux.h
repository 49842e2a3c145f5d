/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that our programs read, and of them only the fields that they read. CO-RE finds the real offsets
 * by name when the programs are loaded, so order and holes here mean nothing. A new field is one line.
 */
#ifndef IPW_VMLINUX_H
#define IPW_VMLINUX_H
#define __VMLINUX_H__ /* bpf_tracing.h: the registers have the kernel's names */

typedef unsigned char      __u8;
typedef signed char        __s8;
typedef unsigned short     __u16;
typedef short              __s16;
typedef unsigned int       __u32;
typedef int                __s32;
typedef unsigned long long __u64;
typedef long long          __s64;
typedef __u8               u8;
typedef __u16              u16;
typedef __u32              u32;
typedef __s32              s32;
typedef __u64              u64;
typedef __s64              s64;
typedef __u16              __be16;
typedef __u32              __be32;
typedef __u32              __wsum;
typedef __u16              __sum16;
typedef int                pid_t;
typedef _Bool              bool;
enum { false, true };

/* uapi values, the same on every kernel */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH             = 1,
	BPF_MAP_TYPE_ARRAY            = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY     = 6,
	BPF_MAP_TYPE_LRU_HASH         = 9,
	BPF_MAP_TYPE_SK_STORAGE       = 24,
	BPF_MAP_TYPE_RINGBUF          = 27,
	BPF_MAP_TYPE_TASK_STORAGE     = 29,
};
enum {
	BPF_ANY             = 0,
	BPF_NOEXIST         = 1,
	BPF_F_NO_PREALLOC   = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP    = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA   = 0,
	BPF_RB_RING_SIZE    = 1,
};

struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_perf_event_value {
	__u64 counter, enabled, running;
};

/* The registers of a system call, or of a user's function: bpf_tracing.h takes the arguments out by these names. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r10, r9, r8, ax, dx, si, di, orig_ax, sp;
} __attribute__((preserve_access_index));
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
} __attribute__((preserve_access_index));
struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			u64 regs[31];
		};
	};
	u64 orig_x0;
	s32 syscallno;
} __attribute__((preserve_access_index));
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	s64 counter;
} atomic64_t;

struct iovec {
	void         *iov_base;
	unsigned long iov_len;
};

enum iter_type { ITER_UBUF, ITER_IOVEC };

struct iov_iter {
	u8            iter_type;
	unsigned long iov_offset;
	union {
		struct iovec __ubuf_iovec;
		struct {
			union {
				const struct iovec *__iov;
				void               *ubuf;
			};
			unsigned long count;
		};
	};
	unsigned long nr_segs;
};

struct msghdr {
	struct iov_iter msg_iter;
};

struct in6_addr {
	union {
		__u8   u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32          skc_daddr;
	__be32          skc_rcv_saddr;
	__be16          skc_dport;
	__u16           skc_num;
	unsigned short  skc_family;
	unsigned char   skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t      skc_cookie;
};

struct sock {
	struct sock_common __sk_common;
	u16                sk_type;
	u16                sk_protocol;
	struct socket     *sk_socket;
};

struct unix_sock {
	struct sock *peer;
};

struct tcp_sock {
	u32 copied_seq;
	u32 write_seq;
};

struct sk_buff {
	struct sock *sk;
	char         cb[48];
};

struct socket {
	struct sock *sk;
};

struct inode {
	unsigned short i_mode;
};

typedef struct {
	atomic64_t refcnt;
} file_ref_t;

struct file {
	void         *private_data;
	struct inode *f_inode;
	file_ref_t    f_ref;
};

struct fdtable {
	unsigned int  max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct signal_struct {
	atomic_t live;
};

struct task_struct {
	int                   pid;
	int                   tgid;
	char                  comm[16];
	struct signal_struct *signal;
	struct files_struct  *files;
};

struct linux_binprm;

#pragma clang attribute pop

#endif
