/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What crosses from the kernel to user space: the one header that both include.
 *
 * Every record in the ring starts with struct ev_hdr; `size` is the whole record, so a reader checks it before it
 * casts. Times are CLOCK_MONOTONIC nanoseconds (bpf_ktime_get_ns). Nothing here outlives the process: recordings have
 * a format of their own (userspace/sink/recording.h).
 */
#ifndef IPW_EVENT_H
#define IPW_EVENT_H

#ifndef IPW_VMLINUX_H
#include <linux/types.h>
#endif

/* Of a message longer than both, the first EV_HEAD_MAX and the last EV_TAIL_MAX bytes are copied. */
#define EV_HEAD_MAX 4096
#define EV_TAIL_MAX 4096
#define EV_COPY_MAX (EV_HEAD_MAX + EV_TAIL_MAX)
/* Pieces of a scattered write that are looked at; bytes in later pieces are counted and not copied. */
#define EV_IOV_MAX 64
/* One slot for each PID named with -p; a child has its parent's. Slot 0 means "not traced". */
#define EV_SLOTS 16

enum ev_type {
	EV_SEND     = 1, /* ev_data: bytes that the kernel took from the server */
	EV_RECV     = 2, /* ev_data: bytes handed to the server; they count once EV_RECV_END of that thread says so */
	EV_RECV_END = 3, /* ev_data without payload: the receive call returned */
	EV_STATE    = 4, /* ev_state: a socket was accepted, shut down or closed */
	EV_FORK     = 5, /* ev_task */
	EV_EXEC     = 6, /* ev_task */
	EV_EXIT     = 7, /* ev_task: the last thread is gone */
	EV_STEP     = 8, /* ev_step: the engine computed one batch */
	EV_EDGE     = 9, /* ev_edge: what meters and CPUs stood at where a phase may begin or end */
};

enum ev_flag {
	EV_PEEK  = 1 << 0, /* EV_RECV_END: MSG_PEEK, the bytes stay in the queue */
	EV_WHOLE = 1 << 1, /* EV_RECV: complete in itself, no EV_RECV_END follows */
	EV_FIRST = 1 << 4, /* EV_SEND, EV_RECV: nothing was seen of this socket before (tier sys) */
	EV_NO_SEQ = 1 << 3, /* EV_STATE: the ends of what was sent and received are not known */
	EV_PEER_FIRST = 1 << 2, /* EV_STATE: the peer had closed its half before */
};

/* EV_STATE: what happened to the socket */
enum ev_state_what {
	EV_SHUT_OUT = 1, /* this end sends no more (close or shutdown) */
	EV_CLOSED   = 2, /* nothing more in either direction */
	EV_OPENED   = 3, /* accepted: what was known of this cookie is of an older socket (tier sys) */
};

struct ev_hdr {
	__u64 ts_ns; /* when the call returned, or the thing happened */
	__u8  type;  /* enum ev_type */
	__u8  flags; /* enum ev_flag */
	__u16 slot;  /* of the process; 0 where none is meant (EV_STATE, which may be the peer's doing) */
	__u32 size;  /* of the whole record, header included */
	__u32 tgid;
	__u32 tid;
};
_Static_assert(sizeof(struct ev_hdr) == 24, "ev_hdr");

/*
 * Who talks: family is AF_INET, AF_INET6 or AF_UNIX; ports in host order; an IPv4 address is in the first 4 bytes. Of a
 * unix socket the first 8 bytes are a number for each end, the same from both sides; 0: not known.
 */
struct ev_sock {
	__u64 cookie; /* of the socket: unique while the kernel runs; tier sys: its address, unique while it is open */
	__u16 family;
	__u16 lport;
	__u16 rport;
	__u16 pad;
	__u8  laddr[16];
	__u8  raddr[16];
};
_Static_assert(sizeof(struct ev_sock) == 48, "ev_sock");

struct ev_data {
	struct ev_hdr  h;
	struct ev_sock s;
	__u64 enter_ns; /* entry of the call; EV_RECV: 0 */
	__u32 seq;      /* place of the first byte in its direction of the stream, modulo 2^32 */
	__s32 ret;      /* bytes that moved, or -errno; EV_RECV: bytes of this piece */
	__u32 head;     /* bytes copied from the front; they follow this struct */
	__u32 tail;     /* bytes copied from the end; they follow those of the front; what lies between was left out */
};
_Static_assert(sizeof(struct ev_data) == 96, "ev_data");

struct ev_state {
	struct ev_hdr h;
	__u64 cookie;
	__u32 what; /* enum ev_state_what */
	__u32 seq;  /* EV_SHUT_OUT: end of what was sent, as ev_data.seq counts */
	__u32 in_seq; /* end of what was received, the FIN counted if it was; unless EV_NO_SEQ */
	__u32 pad;
};
_Static_assert(sizeof(struct ev_state) == 48, "ev_state");

struct ev_task {
	struct ev_hdr h;      /* tgid: the process that forked, execs or exits */
	__u32 child;  /* EV_FORK: tgid of the child */
	__u32 pad;
	__u64 cpu_ns; /* EV_EXIT: on-CPU time seen of the process */
	__u8  comm[16];
};
_Static_assert(sizeof(struct ev_task) == 56, "ev_task");

struct ev_step {
	struct ev_hdr h; /* ts_ns: its end */
	__u64 begin_ns;
	__s32 tokens;    /* in the batch; -1: not known */
	__u32 batch;    /* steps of one call of the server have the same number, from 1; 0: not known */
};
_Static_assert(sizeof(struct ev_step) == 40, "ev_step");

/* Packages of CPUs, and CPUs, that edges know; meters of one package that they read. */
#define EV_GROUPS      16
#define EV_CPUS        4096
#define EV_EDGE_METERS 4

/* On-CPU time of one package since attach: all but idle, and of that each slot's. */
struct ev_group {
	__u64 busy_ns;
	__u64 slot_ns[EV_SLOTS];
};

/*
 * A socket has turned from receiving to sending or back, or the end of an answer went out, as the event before says of
 * the same thread. The meters are those of the
 * package that the thread runs on, by their places in map "edge_events"; groups are numbered as in `cpu_group`.
 */
struct ev_edge {
	struct ev_hdr h;
	__u32 group;  /* the package */
	__u32 read;   /* bit k: count[k] is */
	__u64 count[EV_EDGE_METERS]; /* as the kernel's perf event says it */
	__u32 ngroup; /* so many of cpu[] follow */
	__u32 pad;
	struct ev_group cpu[EV_GROUPS];
};
_Static_assert(sizeof(struct ev_edge) == 72 + EV_GROUPS * 136, "ev_edge");

/* In `cpu_group`, beside the number of its package: it does not run, what stands in its record is over. */
#define EV_CPU_OFFLINE 0x80

/* Calls of one direction in a row that are edges: what comes after them is more of the same, as each token is. */
#define EV_EDGE_CALLS 4
/* Edges are no more frequent than this in the long run, and so many may come at once. */
#define EV_EDGE_EACH_NS 4000000ull
#define EV_EDGE_BURST   32

/* Map "targets": tgid -> what is known of a traced process. */
struct ev_target {
	__u32 slot; /* 1 .. EV_SLOTS-1 */
	__u32 pad;
	__u64 cpu_ns;
};

/*
 * Map "cpus": what each CPU did, updated at every context switch there. The writer sets `begin`, then the fields, then
 * `end`; the reader copies upwards, so it meets `end` first and `begin` last, and has a whole record when they agree.
 * Time since last_ns belongs to `busy` and `slot`: the reader adds it.
 */
struct ev_cpu {
	__u64 end;
	__u64 last_ns;            /* the last switch; 0: none seen yet */
	__u64 busy_ns;            /* all tasks but idle */
	__u64 slot_ns[EV_SLOTS];  /* of that, the traced ones */
	__u32 busy;               /* 1 while something but idle runs */
	__u32 slot;               /* of what runs now */
	__u64 begin;
};

/* Index in `counts`, which user space sees as it is: what was lost and why. */
enum ev_count {
	EV_LOST_DATA  = 0, /* no room in the ring for bytes of a socket */
	EV_LOST_TASK  = 1, /* no room in the ring for a fork, exec, exit or close */
	EV_LOST_STATE = 2, /* no memory to note that a socket or a send call is ours */
	EV_LOST_STEP  = 3, /* no room in the ring for a step of the engine, or an edge */
	EV_COUNT_MAX  = 4,
};

/* Knobs, set by the loader before the kernel checks the programs. */
struct ev_cfg {
	__u32 wake_bytes; /* wake the reader early once so much waits in the ring; it comes by itself at every sample */
	__u32 sys_tcp;    /* net_sys: look at TCP sockets too, there being no better tier */
	__u32 ncpu;       /* CPUs that an edge looks at; 0: no edges */
	__u32 ngroup;     /* packages */
	__u32 nslot;      /* slots in use are 1 .. nslot */
};

#endif
