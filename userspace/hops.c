// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/hops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "userspace/util/words.h"

/* A query that runs. */
struct asked {
	uint64_t id, start_ns;
	uint64_t r_ns;             /* its request is complete; 0: not yet */
	uint64_t order;            /* of the requests' ends, from 1 */
	const struct conn *conn;   /* which outlives it */
	uint32_t tgid, tid, slot;  /* who read it */
	uint64_t request, trace;   /* sums of its ids; 0: none */
	uint64_t sum, length;      /* of the body: its first bytes, all of them */
	uint32_t summed;
	struct words words;        /* in it */
	uint8_t  blind;            /* some of the first bytes were not seen */
	uint8_t  is_hop;
	uint32_t nhop;
};

/* --- connections -------------------------------------------------------------------------------------------------- */

/* A unix socket whose peer is not known has no tuple. */
static int has_tuple(const struct conn *c)
{
	static const uint8_t none[16];

	return c->sock.family != AF_UNIX || memcmp(c->sock.raddr, none, sizeof(none)) != 0;
}

/* The other end, if that is ours too, and another process's. */
static const struct conn *other_end(const struct hops *h, const struct conn *c)
{
	const struct conn *o = has_tuple(c) ? hash_get(&h->by_tuple, conn_tuple(&c->sock, 1)) : NULL;

	return o && o != c && o->tgid != c->tgid && o->slot == c->slot ? o : NULL;
}

/* --- whose hop it is ---------------------------------------------------------------------------------------------- */

static int same_id(const struct asked *a, const struct asked *b)
{
	return (a->request && a->request == b->request) || (a->trace && a->trace == b->trace);
}

static int same_body(const struct asked *a, const struct asked *b)
{
	return !a->blind && !b->blind && a->length && a->length == b->length && a->sum == b->sum;
}

/* q is in the hands of the process at the other end. Of a hop that began before we looked the order is not known. */
static int may_be_for(const struct asked *hop, const struct asked *q, const struct conn *asker)
{
	if (q == hop || q->tgid != asker->tgid || q->slot != hop->slot)
		return 0;
	if (!hop->start_ns)
		return 1;
	return q->order && q->order < hop->order && q->start_ns <= hop->start_ns;
}

/* Of two that it may be for, the better: one without a hop, and the one that waits for longer. */
static struct asked *before(struct asked *a, struct asked *b)
{
	if (!a || (!!a->nhop != !!b->nhop ? a->nhop : a->order > b->order))
		return b;
	return a;
}

struct choice {
	struct asked *id, *body, *thread, *any;
	int n, nid, nthread;
};

/* The one with more words in common than any other; NULL if there is none. */
static struct asked *pick_text(const struct hops *h, const struct asked *hop, const struct conn *asker)
{
	struct asked *q, *best = NULL;
	int common, most = 0, next = 0;
	size_t i = 0;

	while ((q = hash_next(&h->by_id, &i))) {
		common = may_be_for(hop, q, asker) ? words_common(&q->words, &hop->words) : 0;
		if (common > most) {
			next = most;
			most = common;
			best = q;
		} else if (common > next) {
			next = common;
		}
	}
	return most > next ? best : NULL;
}

static struct asked *pick(const struct hops *h, const struct asked *hop, const struct conn *asker,
			  enum wire_hop *ret_by)
{
	struct choice c = { 0 };
	struct asked *q;
	size_t i = 0;

	while ((q = hash_next(&h->by_id, &i))) {
		if (!may_be_for(hop, q, asker))
			continue;
		c.n++;
		c.any = before(c.any, q);
		if (same_id(q, hop)) {
			c.nid++;
			c.id = q;
		}
		if (same_body(q, hop))
			c.body = before(c.body, q);
		if (q->tid == asker->tid && asker->sent_ns >= q->r_ns) {
			c.nthread++;
			c.thread = q;
		}
	}
	if (c.n == 1 && hop->start_ns)
		return *ret_by = HOP_ONLY, c.any;
	if (c.nid == 1) /* calls of one agent may share a trace */
		return *ret_by = HOP_ID, c.id;
	if (c.body)
		return *ret_by = HOP_BODY, c.body;
	q = c.n ? pick_text(h, hop, asker) : NULL;
	if (q)
		return *ret_by = HOP_TEXT, q;
	if (c.nthread == 1) /* one that reads for all says nothing */
		return *ret_by = HOP_THREAD, c.thread;
	return *ret_by = HOP_ORDER, c.any;
}

/* If the process that asks is ours. */
static void resolve(struct hops *h, struct asked *hop, uint64_t ts_ns)
{
	const struct conn *asker = other_end(h, hop->conn);
	struct asked *parent;
	enum wire_hop by;

	if (!asker || !hop->order || hop->is_hop)
		return;
	parent = pick(h, hop, asker, &by);
	if (!parent)
		return;
	parent->nhop++;
	hop->is_hop = 1;
	h->found(h->ctx, hop->id, parent->id, by, ts_ns);
}

/* --- entry points ------------------------------------------------------------------------------------------------- */

void hops_release(struct hops *h)
{
	struct asked *q;
	size_t i = 0;

	while ((q = hash_next(&h->by_id, &i)))
		free(q);
	hash_release(&h->by_id);
	hash_release(&h->by_tuple);
}

void hops_conn(struct hops *h, const struct conn *c, uint64_t ts_ns)
{
	const struct conn *o;
	struct asked *q;
	size_t i = 0;

	if (!has_tuple(c) || hash_put(&h->by_tuple, conn_tuple(&c->sock, 0), (void *)c))
		return;
	/* The end that was asked may have been seen before the one that asks. */
	o = other_end(h, c);
	while (o && (q = hash_next(&h->by_id, &i)))
		if (q->conn == o)
			resolve(h, q, ts_ns);
}

void hops_conn_gone(struct hops *h, const struct conn *c)
{
	if (has_tuple(c) && hash_get(&h->by_tuple, conn_tuple(&c->sock, 0)) == c)
		hash_del(&h->by_tuple, conn_tuple(&c->sock, 0));
}

void hops_open(struct hops *h, uint64_t query, const struct conn *c, const struct wire_open *open, uint64_t ts_ns)
{
	struct asked *q = calloc(1, sizeof(*q));
	const struct conn *o;
	size_t i = 0;

	if (!q || hash_put(&h->by_id, query, q)) {
		free(q);
		return;
	}
	*q = (struct asked){ .id = query, .start_ns = open->start_ns, .conn = c, .tgid = c->tgid, .slot = c->slot };
	q->request = conn_mix(0, open->request_id, strlen(open->request_id));
	q->trace = conn_mix(0, open->trace_id, strlen(open->trace_id));
	if (open->start_ns)
		return;
	/* Of an answer that we came into: of a hop and its query either may say something first. */
	q->order = ++h->requests;
	while ((q = hash_next(&h->by_id, &i))) {
		o = q->start_ns ? NULL : other_end(h, q->conn);
		if (o && (q->id == query || o->tgid == c->tgid))
			resolve(h, q, ts_ns);
	}
}

void hops_body(struct hops *h, uint64_t query, const char *p, size_t n)
{
	struct asked *q = hash_get(&h->by_id, query);
	size_t m;

	if (!q || q->order)
		return;
	q->length += n;
	if (p)
		words_feed(&q->words, p, n);
	else
		words_end(&q->words);
	m = HOPS_BODY_MAX - q->summed;
	m = n < m ? n : m;
	q->blind |= !p && m;
	if (p)
		q->sum = conn_mix(q->sum, p, m);
	q->summed += (uint32_t)m;
}

void hops_request_end(struct hops *h, uint64_t query, uint64_t ts_ns)
{
	struct asked *q = hash_get(&h->by_id, query);

	if (!q || q->order)
		return;
	words_end(&q->words);
	q->r_ns = ts_ns;
	q->order = ++h->requests;
	q->tid = q->conn->tid;
	resolve(h, q, ts_ns);
}

void hops_over(struct hops *h, uint64_t query)
{
	free(hash_del(&h->by_id, query));
}
