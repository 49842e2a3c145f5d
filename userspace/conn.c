// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A receive call whose end has not come yet: its pieces, copied. */
struct piece {
	uint32_t seq, len, head, tail;
	char    *data;
};

struct recv_call {
	struct ev_sock sock; /* cookie not known yet */
	int            n;
	struct piece   piece[CONN_PENDING_MAX];
};

void conns_init(struct conns *cs, const struct conn_ops *ops, void *ctx)
{
	*cs = (struct conns){ .ops = ops, .ctx = ctx };
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void list_del(struct conns *cs, struct conn *c)
{
	*(c->newer ? &c->newer->older : &cs->newest) = c->older;
	*(c->older ? &c->older->newer : &cs->oldest) = c->newer;
}

static void list_add(struct conns *cs, struct conn *c)
{
	c->newer = NULL;
	c->older = cs->newest;
	*(cs->newest ? &cs->newest->newer : &cs->oldest) = c;
	cs->newest = c;
}

static void conn_free(struct conns *cs, struct conn *c)
{
	unsigned i;

	if (!c->closed) {
		cs->ops->gone(cs->ctx, c);
		list_del(cs, c);
	}
	for (i = 0; c->closed && i < CONN_CLOSED_MAX; i++)
		if (cs->closed[i] == c)
			cs->closed[i] = NULL;
	hash_del(&cs->by_cookie, c->sock.cookie);
	free(c);
}

/* Known as closed for a while, so that what still comes for it is not taken for a new connection. */
static void conn_bury(struct conns *cs, struct conn *c)
{
	struct conn **grave = &cs->closed[cs->nclosed++ % CONN_CLOSED_MAX];

	if (*grave)
		conn_free(cs, *grave);
	cs->ops->gone(cs->ctx, c);
	list_del(cs, c);
	c->closed = 1;
	*grave = c;
}

/* Who was used since the last time gets a second chance: that costs an event less than a list in order of use. */
static void make_room(struct conns *cs, uint64_t ts_ns)
{
	struct conn *c;

	while ((c = cs->oldest)->used) {
		c->used = 0;
		list_del(cs, c);
		list_add(cs, c);
	}
	cs->evicted++;
	cs->ops->over(cs->ctx, c, CONN_EVICTED, ts_ns);
	conn_free(cs, c);
}

static struct conn *conn_new(struct conns *cs, const struct ev_sock *s, uint64_t ts_ns)
{
	struct conn *c;

	if (cs->by_cookie.used >= CONN_MAX && cs->oldest)
		make_room(cs, ts_ns);
	c = calloc(1, sizeof(*c));
	if (!c || hash_put(&cs->by_cookie, s->cookie, c)) {
		cs->no_memory++;
		free(c);
		return NULL;
	}
	c->sock = *s;
	c->first_ns = c->last_ns = ts_ns;
	list_add(cs, c);
	return c;
}

/* The connection of an event, made if need be. */
static struct conn *conn_get(struct conns *cs, const struct ev_data *e)
{
	struct conn *c = hash_get(&cs->by_cookie, e->s.cookie);

	if (c && c->closed && (e->h.flags & EV_FIRST)) {
		conn_free(cs, c);
		c = NULL;
	}
	if (c)
		c->used = 1;
	else
		c = conn_new(cs, &e->s, e->h.ts_ns);
	if (!c || c->closed)
		return NULL;
	c->tgid = e->h.tgid;
	c->tid = e->h.tid;
	c->slot = e->h.slot;
	c->last_ns = e->h.ts_ns;
	return c;
}

static void recv_call_clear(struct recv_call *r)
{
	while (r->n)
		free(r->piece[--r->n].data);
}

void conns_release(struct conns *cs)
{
	struct recv_call *r;
	size_t i = 0;

	while (cs->newest)
		conn_free(cs, cs->newest);
	for (i = 0; i < CONN_CLOSED_MAX; i++)
		if (cs->closed[i])
			conn_free(cs, cs->closed[i]);
	i = 0;
	while ((r = hash_next(&cs->pending, &i))) {
		recv_call_clear(r);
		free(r);
	}
	hash_release(&cs->by_cookie);
	hash_release(&cs->pending);
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

/* Takes the first `cut` bytes off a message. */
static void bytes_trim(struct bytes *b, uint32_t cut)
{
	uint32_t mid = b->total - b->nhead - b->ntail, n;

	b->total -= cut;
	n = cut < b->nhead ? cut : b->nhead;
	b->head += n;
	b->nhead -= n;
	cut -= n;
	n = cut < mid ? cut : mid;
	cut -= n;
	b->tail += cut;
	b->ntail -= cut;
}

/* Places a message in its stream: what was missed before it is counted, what was seen already is dropped. */
static void conn_bytes(struct conns *cs, struct conn *c, struct bytes *b, uint32_t seq)
{
	int32_t ahead = c->started[b->dir] ? (int32_t)(seq - c->next[b->dir]) : 0;

	if (ahead < 0) {
		if ((uint32_t)-ahead >= b->total)
			return;
		bytes_trim(b, (uint32_t)-ahead);
		seq -= (uint32_t)ahead;
		ahead = 0;
	}
	b->lost = (uint64_t)ahead;
	c->started[b->dir] = 1;
	c->next[b->dir] = seq + b->total;
	c->bytes[b->dir] += b->total;
	c->missed[b->dir] += (uint32_t)ahead;
	cs->ops->bytes(cs->ctx, c, b);
}

static void conn_over(struct conns *cs, struct conn *c, enum conn_over what, uint64_t ts)
{
	uint8_t *done = what == CONN_SHUT ? &c->shut : &c->eof;

	if (what != CONN_CLOSED && *done)
		return;
	if (what != CONN_CLOSED)
		*done = 1;
	cs->ops->over(cs->ctx, c, what, ts);
}

/* The call says that the peer is gone; others (EINTR, EFAULT) say nothing of it. */
static int is_reset(int ret)
{
	return ret == -ECONNRESET || ret == -EPIPE || ret == -ETIMEDOUT || ret == -ENOTCONN || ret == -ECONNABORTED;
}

static void on_send(struct conns *cs, const struct ev_data *e)
{
	const char *data = (const char *)(e + 1);
	struct bytes b = {
		.dir = CONN_OUT, .enter_ns = e->enter_ns, .ret_ns = e->h.ts_ns,
		.head = data, .nhead = e->head, .tail = data + e->head, .ntail = e->tail, .total = (uint32_t)e->ret,
	};
	struct conn *c = conn_get(cs, e);

	if (!c)
		return;
	c->sent_ns = e->h.ts_ns;
	if (e->ret > 0)
		conn_bytes(cs, c, &b, e->seq);
	else if (is_reset(e->ret))
		conn_over(cs, c, CONN_RESET, e->h.ts_ns);
}

static void recv_piece(struct conns *cs, struct conn *c, const struct ev_data *end, const struct piece *p)
{
	struct bytes b = {
		.dir = CONN_IN, .enter_ns = end->h.ts_ns, .ret_ns = end->h.ts_ns,
		.head = p->data, .nhead = p->head, .tail = p->data + p->head, .ntail = p->tail, .total = p->len,
	};

	conn_bytes(cs, c, &b, p->seq);
}

static void on_recv(struct conns *cs, const struct ev_data *e)
{
	struct recv_call *r = hash_get(&cs->pending, e->h.tid);
	struct piece *p;

	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r || hash_put(&cs->pending, e->h.tid, r)) {
			free(r);
			cs->no_memory++;
			return;
		}
	}
	if (r->n == CONN_PENDING_MAX) {
		/* The rest of a call of very many packets is counted, and not kept. */
		p = &r->piece[r->n - 1];
		p->tail = 0;
		p->len += (uint32_t)e->ret;
		return;
	}
	p = &r->piece[r->n];
	*p = (struct piece){ .seq = e->seq, .len = (uint32_t)e->ret, .head = e->head, .tail = e->tail };
	p->data = malloc(e->head + e->tail + 1);
	if (!p->data) {
		cs->no_memory++;
		return;
	}
	memcpy(p->data, e + 1, e->head + e->tail);
	r->sock = e->s;
	r->n++;
}

/*
 * The pieces of this call are the last ones, of this socket, that add up to what it returned: what is before them is of
 * a call whose end was lost. Returns the first of them; r->n if they do not add up.
 */
static int recv_first(const struct recv_call *r, const struct ev_data *e)
{
	uint64_t sum = 0;
	int i = r->n;

	if (r->sock.family != e->s.family || r->sock.lport != e->s.lport || r->sock.rport != e->s.rport)
		return r->n;
	while (i && sum < (uint64_t)e->ret)
		sum += r->piece[--i].len;
	return sum == (uint64_t)e->ret ? i : r->n;
}

static void on_recv_end(struct conns *cs, const struct ev_data *e)
{
	struct recv_call *r = hash_get(&cs->pending, e->h.tid);
	struct conn *c;
	int i;

	if (r && r->n && e->ret > 0 && !(e->h.flags & EV_PEEK)) {
		i = recv_first(r, e);
		c = i < r->n ? conn_get(cs, e) : NULL;
		cs->dropped += i == r->n;
		for (; c && i < r->n; i++)
			recv_piece(cs, c, e, &r->piece[i]);
	} else if (!e->ret || is_reset(e->ret)) {
		c = hash_get(&cs->by_cookie, e->s.cookie);
		if (c && !c->closed)
			conn_over(cs, c, e->ret ? CONN_RESET : CONN_EOF, e->h.ts_ns);
	}
	if (!r)
		return;
	recv_call_clear(r);
	hash_del(&cs->pending, e->h.tid);
	free(r);
}

void conns_data(struct conns *cs, const struct ev_data *e)
{
	struct piece whole;
	struct conn *c;

	if (e->h.type == EV_SEND) {
		on_send(cs, e);
	} else if (e->h.type == EV_RECV_END) {
		on_recv_end(cs, e);
	} else if (e->h.flags & EV_WHOLE) {
		c = conn_get(cs, e);
		whole = (struct piece){ e->seq, (uint32_t)e->ret, e->head, e->tail, (char *)(e + 1) };
		if (c)
			recv_piece(cs, c, e, &whole);
	} else {
		on_recv(cs, e);
	}
}

/* Closed and not shut before: the peer did it. */
static void conn_closed(struct conns *cs, struct conn *c, uint64_t ts_ns)
{
	if (!c->shut)
		conn_over(cs, c, CONN_RESET, ts_ns);
	conn_over(cs, c, CONN_CLOSED, ts_ns);
	conn_bury(cs, c);
}

/* A stream has come so far, by what its end says; nobody is told of what went by unseen. */
static void passed(struct conn *c, enum conn_dir dir, uint32_t end)
{
	if (!c->started[dir] || (int32_t)(end - c->next[dir]) <= 0)
		return;
	c->missed[dir] += end - c->next[dir];
	c->next[dir] = end;
}

void conns_state(struct conns *cs, const struct ev_state *e)
{
	struct conn *c = hash_get(&cs->by_cookie, e->cookie);
	struct bytes b = { .dir = CONN_OUT, .enter_ns = e->h.ts_ns, .ret_ns = e->h.ts_ns, .head = "", .tail = "" };

	if (c && e->what == EV_OPENED) {
		if (!c->closed)
			conn_closed(cs, c, e->h.ts_ns);
		conn_free(cs, c);
		return;
	}
	if (!c || c->closed)
		return;
	c->last_ns = e->h.ts_ns;
	c->ended = 1;
	if (e->what == EV_SHUT_OUT && e->h.flags & EV_PEER_FIRST)
		conn_over(cs, c, CONN_EOF, e->h.ts_ns);
	if (!(e->h.flags & EV_NO_SEQ))
		passed(c, CONN_IN, e->in_seq - c->eof); /* the FIN has a place too */
	if (e->what == EV_SHUT_OUT) {
		/* Bytes whose event was lost show here, if nothing came after them. */
		if (!(e->h.flags & EV_NO_SEQ) && !c->shut && c->started[CONN_OUT] &&
		    (int32_t)(e->seq - c->next[CONN_OUT]) > 0)
			conn_bytes(cs, c, &b, e->seq);
		conn_over(cs, c, CONN_SHUT, e->h.ts_ns);
	} else if (e->what == EV_CLOSED) {
		if (!(e->h.flags & EV_NO_SEQ) && !c->shut)
			passed(c, CONN_OUT, e->seq);
		conn_closed(cs, c, e->h.ts_ns);
	}
}

void conns_exit(struct conns *cs, uint32_t tgid, uint64_t ts_ns)
{
	struct conn *c, *older;

	for (c = cs->newest; c; c = older) {
		older = c->older;
		if (c->sock.family == AF_UNIX && c->tgid == tgid) {
			conn_over(cs, c, CONN_SHUT, ts_ns);
			conn_closed(cs, c, ts_ns);
		}
	}
}

void conn_addr(const struct ev_sock *s, int remote, char *buf, size_t size)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *a = remote ? s->raddr : s->laddr;
	int family = s->family;
	unsigned port = remote ? s->rport : s->lport;
	char ip[INET6_ADDRSTRLEN] = "?";

	if (s->family == AF_UNIX) {
		snprintf(buf, size, "unix");
		return;
	}
	if (family == AF_INET6 && !memcmp(a, mapped, sizeof(mapped))) {
		family = AF_INET;
		a += sizeof(mapped);
	}
	inet_ntop(family, a, ip, sizeof(ip));
	snprintf(buf, size, family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
}

uint64_t conn_mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *c = p;

	while (n--)
		h = (h ^ *c++) * 0x100000001b3ull; /* FNV-1a */
	return h;
}

/* An end of a connection in 16 + 2 bytes; of an IPv4 address as IPv6 maps it, so that a dual socket's peer is found. */
static uint64_t mix_end(uint64_t h, const struct ev_sock *s, const uint8_t addr[16], uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (s->family == AF_INET) {
		h = conn_mix(h, mapped, sizeof(mapped));
		h = conn_mix(h, addr, 4);
	} else {
		h = conn_mix(h, addr, 16);
	}
	return conn_mix(h, &port, sizeof(port));
}

uint64_t conn_tuple(const struct ev_sock *s, int other)
{
	uint64_t h = s->family == AF_UNIX ? 1 : 0xcbf29ce484222325ull;

	h = mix_end(h, s, other ? s->raddr : s->laddr, other ? s->rport : s->lport);
	h = mix_end(h, s, other ? s->laddr : s->raddr, other ? s->lport : s->rport);
	return h ? h : 1;
}
