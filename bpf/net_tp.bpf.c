// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP by the socket layer's own tracepoints (6.16 and later): a syscall that is no socket send or receive costs other
 * processes nothing, and io_uring, sendfile and writev all come through here.
 *
 * A send is noted when tcp_sendmsg starts on it and reported when it returns, with as many of the caller's bytes as
 * really moved. A receive is reported piece by piece as it is copied to the caller, then once more when the call
 * returns, which is when it is known whether it was a peek.
 */
#include "copy.bpf.h"
#include "edge.bpf.h"
#include <bpf/bpf_endian.h>

extern int bpf_dynptr_from_skb(struct sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym __weak;

/* A send call under way in this thread, which is one of a target. */
struct send {
	__u64 sk;    /* 0: none */
	__u64 enter_ns;
	__u64 left;  /* what the caller still wanted to send when last seen */
	struct msg m;
	__u32 seq;
	__u32 slot;  /* of the target */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct send);
} sends SEC(".maps");

/* Present on sockets whose bytes we saw: only their end is worth an event. */
struct known {
	__u32 gen;   /* of `muted` when it was asked last */
	__u8  muted;
	__u8  turn;  /* edge.bpf.h */
	__u8  pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct known);
} socks SEC(".maps");

/* By cookie: sockets whose bytes nobody reads (no HTTP). The reader adds to it, and then counts mute_gen up. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} muted SEC(".maps");

__u32 mute_gen;

SCRATCH_MAP(send_scratch);
SCRATCH_MAP(recv_scratch);

static __always_inline void addr_fill(struct ev_sock *s, struct sock *sk)
{
	s->family = sk->__sk_common.skc_family;
	s->lport  = sk->__sk_common.skc_num;
	s->rport  = bpf_ntohs(sk->__sk_common.skc_dport);
	s->pad    = 0;
	if (s->family == AF_INET) {
		__builtin_memset(s->laddr, 0, sizeof(s->laddr));
		__builtin_memset(s->raddr, 0, sizeof(s->raddr));
		*(__u32 *)s->laddr = sk->__sk_common.skc_rcv_saddr;
		*(__u32 *)s->raddr = sk->__sk_common.skc_daddr;
	} else {
		bpf_probe_read_kernel(s->laddr, sizeof(s->laddr), &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(s->raddr, sizeof(s->raddr), &sk->__sk_common.skc_v6_daddr);
	}
}

static __always_inline bool sock_is_tcp(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return (family == AF_INET || family == AF_INET6) && sk->sk_protocol == IPPROTO_TCP;
}

static __always_inline void msg_of_iter(struct msg *m, const struct iov_iter *it)
{
	m->skip = it->iov_offset;
	m->user = 0;
	if (it->iter_type == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
		m->base = (__u64)it->ubuf + it->iov_offset;
		m->nr = 0;
	} else if (it->iter_type == bpf_core_enum_value(enum iter_type, ITER_IOVEC)) {
		m->base = (__u64)it->__iov;
		m->nr = it->nr_segs;
	} else {
		m->base = 0;
		m->nr = MSG_NOT_USER;
	}
}

/* Of the thread that runs; NULL: it is not a target's, or there is no memory. Once made it says the slot by itself. */
static __always_inline struct send *send_current(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct ev_target *t;
	struct send *s;

	if (!*hint_of(tgid))
		return NULL;
	s = bpf_task_storage_get(&sends, task, NULL, 0);
	if (s)
		return s;
	t = target_of(tgid);
	if (!t)
		return NULL;
	s = bpf_task_storage_get(&sends, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (s)
		s->slot = t->slot;
	else
		count(EV_LOST_STATE);
	return s;
}

/* Fires for every turn of tcp_sendmsg's loop; only the first has the whole message. */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tp_send_start, struct sock *sk, struct msghdr *msg, struct sk_buff *skb, int size_goal)
{
	struct send *s = send_current();
	struct tcp_sock *tp;
	__u64 left;

	if (!s)
		return 0;
	left = msg->msg_iter.count;
	if (s->sk == (__u64)sk && left < s->left) {
		s->left = left;
		return 0;
	}
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	s->sk = (__u64)sk;
	s->enter_ns = bpf_ktime_get_ns();
	s->left = left;
	s->seq = tp->write_seq;
	msg_of_iter(&s->m, &msg->msg_iter);
	return 0;
}

/* Names the socket of an event and remembers it as one of ours, in *ret. False: it is muted. */
static __always_inline bool sock_fill(struct ev_sock *s, struct sock *sk, struct known **ret)
{
	struct known *k = bpf_sk_storage_get(&socks, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	*ret = k;
	s->cookie = bpf_get_socket_cookie(sk);
	if (!k) {
		count(EV_LOST_STATE);
	} else if (k->gen != mute_gen) {
		k->gen = mute_gen;
		k->muted = bpf_map_lookup_elem(&muted, &s->cookie) != NULL;
	}
	addr_fill(s, sk);
	return !k || !k->muted;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(tp_send_end, struct sock *sk, int ret, int flags)
{
	struct send *s = send_current();
	struct known *k = NULL;
	struct scratch *b;
	__u32 zero = 0;

	if (!s || !sock_is_tcp(sk) || ret == -EAGAIN)
		return 0;
	b = bpf_map_lookup_elem(&send_scratch, &zero);
	if (!b || !sock_fill(&b->d.s, sk, &k))
		return 0;
	b->d.head = b->d.tail = 0;
	b->d.ret = ret;
	hdr_fill(&b->d.h, EV_SEND, s->slot, sizeof(b->d));
	b->d.enter_ns = b->d.h.ts_ns;
	b->d.seq = 0;
	if (s->sk == (__u64)sk) {
		s->sk = 0;
		b->d.enter_ns = s->enter_ns;
		b->d.seq = s->seq;
		if (ret > 0)
			copy_msg(b, &s->m, ret);
	}
	scratch_output(b);
	if (cfg.ncpu && k && ret > 0 && (turn(&k->turn, true) || ends_answer(b)))
		edge(s->slot);
	return 0;
}

/* The bytes [off, off+n) of the packet to data[at]. */
static __always_inline int copy_skb(struct scratch *b, __u64 at, struct bpf_dynptr *p, __u32 off, __u64 n)
{
	bounded(at, EV_COPY_MAX);
	bounded(n, EV_COPY_MAX);
	return bpf_dynptr_read(&b->data[at], n, p, off, 0);
}

/* skb->sk is no pointer that the kernel lets its helpers have, so the cookie is read, not asked for. */
static __always_inline bool is_muted(struct sock *sk)
{
	__u64 cookie;

	if (!mute_gen)
		return false;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	return bpf_map_lookup_elem(&muted, &cookie) != NULL;
}

static __always_inline void copy_packet(struct scratch *b, struct sk_buff *skb, __u32 off, __u32 len)
{
	__u32 head = len <= EV_COPY_MAX ? len : EV_HEAD_MAX;
	struct bpf_dynptr p;

	if (bpf_dynptr_from_skb(skb, 0, &p) || copy_skb(b, 0, &p, off, head))
		return;
	b->d.head = head;
	if (head < len && !copy_skb(b, EV_HEAD_MAX, &p, off + len - EV_TAIL_MAX, EV_TAIL_MAX))
		b->d.tail = EV_TAIL_MAX;
}

SEC("tp_btf/skb_copy_datagram_iovec")
int BPF_PROG(tp_recv, struct sk_buff *skb, int len)
{
	struct ev_target *t = target_current();
	struct scratch *b;
	struct sock *sk;
	__u32 zero = 0, skb_seq;

	if (!t)
		return 0;
	sk = skb->sk;
	if (!sk || !sock_is_tcp(sk) || is_muted(sk))
		return 0;
	b = bpf_map_lookup_elem(&recv_scratch, &zero);
	if (!b || len <= 0)
		return 0;
	hdr_fill(&b->d.h, EV_RECV, t->slot, sizeof(b->d));
	b->d.enter_ns = 0;
	b->d.ret = len;
	b->d.head = b->d.tail = 0;
	b->d.seq = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
	bpf_probe_read_kernel(&skb_seq, sizeof(skb_seq), skb->cb); /* TCP_SKB_CB(skb)->seq */
	copy_packet(b, skb, b->d.seq - skb_seq, len);
	b->d.s.cookie = 0; /* the kernel lets no helper touch skb->sk: EV_RECV_END names the socket */
	addr_fill(&b->d.s, sk);
	scratch_output(b);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(tp_recv_end, struct sock *sk, int ret, int flags)
{
	struct ev_target *t = target_current();
	struct known *k = NULL;
	struct ev_data d = {};

	if (!t || !sock_is_tcp(sk) || ret == -EAGAIN || !sock_fill(&d.s, sk, &k))
		return 0;
	hdr_fill(&d.h, EV_RECV_END, t->slot, sizeof(d));
	d.h.flags = flags & MSG_PEEK ? EV_PEEK : 0;
	d.ret = ret;
	ev_output(&d, sizeof(d), EV_LOST_DATA);
	if (cfg.ncpu && k && ret > 0 && !(flags & MSG_PEEK) && turn(&k->turn, false))
		edge(t->slot);
	return 0;
}

/* Mostly in softirq, so `current` means nothing. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tp_state, struct sock *sk, int oldstate, int newstate)
{
	struct ev_state e = {};
	struct tcp_sock *tp;

	if (!bpf_sk_storage_get(&socks, sk, NULL, 0))
		return 0;
	if (newstate == TCP_CLOSE)
		e.what = EV_CLOSED;
	else if (newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK)
		e.what = EV_SHUT_OUT;
	else
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp) {
		e.seq = tp->write_seq;
		e.in_seq = tp->copied_seq;
	}
	hdr_fill(&e.h, EV_STATE, 0, sizeof(e));
	e.h.flags = (newstate == TCP_LAST_ACK ? EV_PEER_FIRST : 0) | (tp ? 0 : EV_NO_SEQ);
	e.cookie = bpf_get_socket_cookie(sk);
	ev_output(&e, sizeof(e), EV_LOST_TASK);
	return 0;
}

char LICENSE[] SEC("license") __weak = "GPL";
