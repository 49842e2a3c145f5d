// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets by system calls: TCP where no better tier is to be had, unix sockets always. The socket behind an fd is found
 * by walking the file table at each call, so dup, inheritance and sockets that were open before need no bookkeeping.
 *
 * A call is noted when it enters and reported when it returns, with what it then says it moved. Only a thread of the
 * target pays for that; every other pays for two tracepoints per system call.
 */
#include "compat.bpf.h"
#include "copy.bpf.h"
#include "edge.bpf.h"
#include <bpf/bpf_endian.h>

#define MMSG_MAX 8 /* messages of one sendmmsg or recvmmsg that are looked at */
#define S_IFMT   0170000
#define S_IFSOCK 0140000

enum kind { NONE = 0, BUFFER, VECTOR, HEADER, HEADERS, UNSEEN, ACCEPT };

/* A system call under way in this thread. */
struct call {
	__u64 enter_ns;
	__u64 arg;  /* buffer, iovec or msghdr, in user memory */
	__u32 n;    /* number of iovec, of mmsghdr */
	__u32 fd;
	__u8  kind; /* enum kind; 0: none under way */
	__u8  out;
	__u8  peek;
	__u8  seen; /* it was looked at when it entered */
	__u8  pad[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

/* Sockets whose bytes we saw, by address. A unix socket has no sequence numbers, so the places are counted here. */
struct place {
	__u32 in, out;
	__u8  turn; /* edge.bpf.h */
	__u8  pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct place);
} places SEC(".maps");

SCRATCH_MAP(sys_scratch);

/* struct user_msghdr and struct mmsghdr, the same on all 64-bit machines */
struct user_msghdr {
	__u64 name;
	__u32 namelen, pad;
	__u64 iov, iovlen, control, controllen, flags;
};

struct mmsghdr {
	struct user_msghdr hdr;
	__u32 len, pad;
};

/* --- from fd to socket -------------------------------------------------------------------------------------------- */

static __always_inline struct file *file_of(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **fds = BPF_CORE_READ(fdt, fd), *f = NULL;

	if (fd < BPF_CORE_READ(fdt, max_fds))
		bpf_probe_read_kernel(&f, sizeof(f), &fds[fd]);
	return f;
}

/* The stream socket behind an fd that this tier looks at, or NULL. */
static __always_inline struct sock *sock_of(struct file *f)
{
	struct socket *socket;
	struct sock *sk;
	__u16 family;

	if (!f || (BPF_CORE_READ(f, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(f, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return NULL;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family == AF_UNIX)
		return sk;
	if (!cfg.sys_tcp || (family != AF_INET && family != AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return NULL;
	return sk;
}

static __always_inline void sock_fill(struct ev_sock *s, struct sock *sk)
{
	s->cookie = (__u64)sk;
	s->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	s->lport = s->rport = s->pad = 0;
	__builtin_memset(s->laddr, 0, sizeof(s->laddr));
	__builtin_memset(s->raddr, 0, sizeof(s->raddr));
	if (s->family == AF_UNIX) { /* no addresses: the two sockets themselves, by which the reader knows its ends */
		*(__u64 *)s->laddr = (__u64)sk;
		*(__u64 *)s->raddr = unix_peer(sk);
		return;
	}
	s->lport = BPF_CORE_READ(sk, __sk_common.skc_num);
	s->rport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (s->family == AF_INET) {
		*(__u32 *)s->laddr = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)s->raddr = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&s->laddr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&s->raddr, sk, __sk_common.skc_v6_daddr);
	}
}

/*
 * Where in their stream the bytes lie that a call has just moved. The first ones of a socket are marked, or one that
 * was not accepted here (made by connect, handed over by another process) would pass for the one whose memory it got.
 */
static __always_inline __u32 place_of(struct ev_sock *s, struct sock *sk, bool out, __u32 moved, __u8 *flags,
				      bool *ret_turned)
{
	struct tcp_sock *tp = (void *)sk;
	struct place zero = {}, *p = bpf_map_lookup_elem(&places, &s->cookie);
	__u32 *pos, at;

	if (!p && BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE) {
		*flags |= EV_FIRST;
		bpf_map_update_elem(&places, &s->cookie, &zero, BPF_ANY);
		p = bpf_map_lookup_elem(&places, &s->cookie);
	}
	*ret_turned = cfg.ncpu && p && turn(&p->turn, out);
	if (s->family != AF_UNIX)
		return (out ? BPF_CORE_READ(tp, write_seq) : BPF_CORE_READ(tp, copied_seq)) - moved;
	if (!p) {
		count(EV_LOST_STATE);
		return 0;
	}
	pos = out ? &p->out : &p->in;
	at = *pos;
	*pos += moved;
	return at;
}

static __always_inline void state_event(__u64 cookie, enum ev_state_what what, __u32 seq, __u32 in_seq,
					__u8 flags)
{
	struct ev_state e = {};

	hdr_fill(&e.h, EV_STATE, 0, sizeof(e));
	e.h.flags = flags;
	e.cookie = cookie;
	e.what = what;
	e.seq = seq;
	e.in_seq = in_seq;
	ev_output(&e, sizeof(e), EV_LOST_TASK);
}

/* --- a call returns ----------------------------------------------------------------------------------------------- */

/* `ret` bytes were moved from or to m (or the call failed). */
static __always_inline void moved(struct sock *sk, const struct call *c, const struct msg *m, __s32 ret, __u32 slot)
{
	__u32 zero = 0;
	struct scratch *b = bpf_map_lookup_elem(&sys_scratch, &zero);
	bool turned = false;

	if (!b)
		return;
	sock_fill(&b->d.s, sk);
	hdr_fill(&b->d.h, c->out ? EV_SEND : EV_RECV, slot, sizeof(b->d));
	b->d.h.flags = EV_WHOLE;
	b->d.enter_ns = c->enter_ns;
	b->d.ret = ret;
	b->d.head = b->d.tail = 0;
	b->d.seq = 0;
	if (ret > 0) {
		b->d.seq = place_of(&b->d.s, sk, c->out, ret, &b->d.h.flags, &turned);
		copy_msg(b, m, ret);
	} else if (!c->out) {
		b->d.h.type = EV_RECV_END; /* the end of the stream, or an error */
	}
	scratch_output(b);
	if (cfg.ncpu && (turned || (c->out && ret > 0 && ends_answer(b))))
		edge(slot);
}

static __always_inline int msg_read(struct msg *m, __u64 at)
{
	struct user_msghdr h;

	if (bpf_probe_read_user(&h, sizeof(h), (void *)at))
		return -1;
	m->base = h.iov;
	m->nr = h.iovlen ? h.iovlen : MSG_NOT_USER;
	m->user = 1;
	return 0;
}

struct mmsg_walk {
	struct sock *sk;
	struct call  c;
	__u32 sent, slot;
};

static long mmsg_step(__u32 i, void *ctx)
{
	struct mmsg_walk *w = ctx;
	__u64 at = w->c.arg + i * sizeof(struct mmsghdr);
	struct msg m = {};
	__u32 len = 0;

	if (i >= w->sent)
		return 1;
	if (msg_read(&m, at) || bpf_probe_read_user(&len, sizeof(len), (void *)(at + sizeof(struct user_msghdr))))
		return 1;
	if (len)
		moved(w->sk, &w->c, &m, len, w->slot);
	return 0;
}

static __always_inline void call_returned(struct call *c, __s64 ret, __u32 slot)
{
	struct mmsg_walk w = { .c = *c, .sent = ret, .slot = slot };
	struct msg m = { .base = c->arg };
	struct sock *sk;
	__u64 cookie;

	/* a read of nothing returns 0, which is no end of the stream */
	if (c->kind == NONE || ret == -EAGAIN || (c->kind == BUFFER && !c->n))
		return;
	sk = w.sk = sock_of(file_of(c->kind == ACCEPT ? ret : c->fd));
	cookie = (__u64)sk;
	if (!sk)
		return;
	switch (c->kind) {
	case ACCEPT:
		bpf_map_delete_elem(&places, &cookie);
		state_event(cookie, EV_OPENED, 0, 0, EV_NO_SEQ);
		return;
	case HEADERS:
		if (ret > 0) {
			bpf_loop(MMSG_MAX, mmsg_step, &w, 0);
			return;
		}
		break;
	case HEADER:
		if (ret > 0 && msg_read(&m, c->arg))
			m.nr = MSG_NOT_USER;
		break;
	case VECTOR:
		m.nr = c->n;
		m.user = 1;
		break;
	case UNSEEN:
		m.nr = MSG_NOT_USER;
		break;
	}
	if (c->peek && ret > 0)
		return;
	moved(sk, c, &m, ret, slot);
}

/* --- the two tracepoints ------------------------------------------------------------------------------------------ */

/* A unix socket is over when its last fd goes; of TCP the state machine says so (below). */
static __always_inline void closing(__u32 fd)
{
	struct file *f = file_of(fd);
	struct sock *sk = sock_of(f);
	__u64 cookie = (__u64)sk;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX || !file_is_last_ref(f))
		return;
	if (!bpf_map_delete_elem(&places, &cookie)) {
		state_event(cookie, EV_SHUT_OUT, 0, 0, EV_NO_SEQ);
		state_event(cookie, EV_CLOSED, 0, 0, EV_NO_SEQ);
	}
}

static __always_inline void shutting(__u32 fd, __u32 how)
{
	struct sock *sk = sock_of(file_of(fd));
	__u64 cookie = (__u64)sk;

	if (sk && how && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX && bpf_map_lookup_elem(&places, &cookie))
		state_event(cookie, EV_SHUT_OUT, 0, 0, EV_NO_SEQ);
}

/* What a call is, by its number; kind NONE: none of ours. */
static __always_inline void call_fill(struct call *c, struct pt_regs *regs, long id)
{
	c->fd = PT_REGS_PARM1_CORE_SYSCALL(regs);
	c->arg = PT_REGS_PARM2_CORE_SYSCALL(regs);
	c->n = PT_REGS_PARM3_CORE_SYSCALL(regs);
	c->out = c->peek = 0;
	switch (id) {
	case NR_write:
	case NR_sendto:
		c->out = 1;
		c->kind = BUFFER;
		return;
	case NR_recvfrom:
		c->peek = !!(PT_REGS_PARM4_CORE_SYSCALL(regs) & MSG_PEEK);
		c->kind = BUFFER;
		return;
	case NR_read:
		c->kind = BUFFER;
		return;
	case NR_writev:
		c->out = 1;
		c->kind = VECTOR;
		return;
	case NR_readv:
		c->kind = VECTOR;
		return;
	case NR_sendmsg:
		c->out = 1;
		c->kind = HEADER;
		return;
	case NR_recvmsg:
		c->peek = !!(c->n & MSG_PEEK);
		c->kind = HEADER;
		return;
	case NR_sendmmsg:
		c->out = 1;
		c->kind = HEADERS;
		return;
	case NR_recvmmsg:
		c->peek = !!(PT_REGS_PARM4_CORE_SYSCALL(regs) & MSG_PEEK);
		c->kind = HEADERS;
		return;
	case NR_sendfile:
		c->out = 1;
		c->kind = UNSEEN;
		return;
	case NR_splice:
		c->fd = PT_REGS_PARM3_CORE_SYSCALL(regs);
		c->out = 1;
		c->kind = UNSEEN;
		return;
	case NR_accept:
	case NR_accept4:
		c->kind = ACCEPT;
		return;
	}
	c->kind = NONE;
}

/* Asked first of all: what polls makes a hundred thousand calls a second, none of which is any of these. */
static __always_inline bool is_ours(long id)
{
	switch (id) {
	case NR_read:
	case NR_write:
	case NR_readv:
	case NR_writev:
	case NR_recvfrom:
	case NR_sendto:
	case NR_recvmsg:
	case NR_sendmsg:
	case NR_recvmmsg:
	case NR_sendmmsg:
	case NR_sendfile:
	case NR_splice:
	case NR_accept:
	case NR_accept4:
	case NR_close:
	case NR_shutdown:
		return true;
	}
	return false;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long id)
{
	struct call *c;

	if (!is_ours(id) || !target_current())
		return 0;
	if (id == NR_close) {
		closing(PT_REGS_PARM1_CORE_SYSCALL(regs));
		return 0;
	}
	if (id == NR_shutdown) {
		shutting(PT_REGS_PARM1_CORE_SYSCALL(regs), PT_REGS_PARM2_CORE_SYSCALL(regs));
		return 0;
	}
	c = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!c) {
		count(EV_LOST_STATE);
		return 0;
	}
	call_fill(c, regs, id);
	c->enter_ns = bpf_ktime_get_ns();
	c->seen = 1;
	return 0;
}

/* A call that entered before we looked, a receive that waits for its request above all, is known by its registers. */
SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	struct ev_target *t = is_ours(syscall_number(regs)) ? target_current() : NULL;
	struct call late = {}, *c;

	if (!t)
		return 0;
	c = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);
	if (!c || !c->seen) {
		call_fill(&late, regs, syscall_number(regs));
		late.enter_ns = bpf_ktime_get_ns();
		call_returned(&late, ret, t->slot);
		return 0;
	}
	c->seen = 0;
	call_returned(c, ret, t->slot);
	return 0;
}

/* TCP in this tier: mostly in softirq, so `current` means nothing. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(sys_state, struct sock *sk, int oldstate, int newstate)
{
	__u64 cookie = (__u64)sk;

	if (!bpf_map_lookup_elem(&places, &cookie))
		return 0;
	if (newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK) {
		state_event(cookie, EV_SHUT_OUT, BPF_CORE_READ((struct tcp_sock *)sk, write_seq),
			    BPF_CORE_READ((struct tcp_sock *)sk, copied_seq),
			    newstate == TCP_LAST_ACK ? EV_PEER_FIRST : 0);
	} else if (newstate == TCP_CLOSE) {
		bpf_map_delete_elem(&places, &cookie);
		state_event(cookie, EV_CLOSED, 0, 0, EV_NO_SEQ);
	}
	return 0;
}

char LICENSE[] SEC("license") __weak = "GPL";
