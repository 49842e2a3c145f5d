/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hops: a query that one process of the target asks of another. A router asks its child, nginx the server behind it,
 * Ollama its runner. The one who asks has a query of its own in hand, and it is for that one that it asks; both are one
 * query of a user, and the one further in is a hop of the other.
 *
 * Who asks is sure: both ends of the connection are ours, and each names the other. Which of its queries it asks for is
 * sure when it has only one in hand, or when both carry one id (X-Request-Id, traceparent); else the one with the same
 * body, else the one with the most words in common, else the one that the asking thread read, else in order. The answer
 * says which it was.
 */
#ifndef IPW_HOPS_H
#define IPW_HOPS_H

#include "userspace/conn.h"
#include "userspace/util/hash.h"
#include "userspace/wire/wire.h"

#define HOPS_BODY_MAX 1024 /* bytes of a request's body that are compared, and its length; kept as a sum of them only */

struct hops {
	/* `query` is a hop of `parent`. Comes once for a query, at the earliest when its request is complete. */
	void      (*found)(void *ctx, uint64_t query, uint64_t parent, enum wire_hop by, uint64_t ts_ns);
	void       *ctx;
	struct hash by_tuple; /* struct conn, by its two ends */
	struct hash by_id;    /* struct asked */
	uint64_t    requests;
};

void hops_release(struct hops *h);

/* A connection was met; it is there until hops_conn_gone(), and its queries are over before. */
void hops_conn(struct hops *h, const struct conn *c, uint64_t ts_ns);
void hops_conn_gone(struct hops *h, const struct conn *c);

/*
 * A query: its request begins (open->start_ns 0: it did before we looked), goes on (p NULL: n bytes of it were not
 * seen), is complete; the query is over.
 */
void hops_open(struct hops *h, uint64_t query, const struct conn *c, const struct wire_open *open, uint64_t ts_ns);
void hops_body(struct hops *h, uint64_t query, const char *p, size_t n);
void hops_request_end(struct hops *h, uint64_t query, uint64_t ts_ns);
void hops_over(struct hops *h, uint64_t query);

#endif
