/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From wire events to queries: what is known of each, as it becomes known.
 *
 * Times are CLOCK_MONOTONIC. The man page defines them for users; in short:
 *   start  return of the read that gave the request's first byte
 *   R      return of the read that completed the request; if that was not seen, when the query was first seen
 *   F      entry of the send that carries the first part of the answer (streams only)
 *   L      entry of the send that carries the last part
 *   E      entry of the send that says that generation ended; else the moment it was noticed to be over
 *
 * A hop (userspace/hops.h) is followed as a query is, and then handed to the query that it is a hop of, which alone
 * goes on from here. What the hop knows and the query does not, it takes from it: the model, and, of a single hop, the
 * counts; and when its tokens were made, if the hop streams and the query does not.
 */
#ifndef IPW_QUERY_H
#define IPW_QUERY_H

#include "userspace/util/hash.h"
#include "userspace/wire/wire.h"

#define QUERY_RUNNING_MAX 65536 /* queries followed at a time; more are counted and not followed */
#define QUERY_HOPS_MAX    16    /* of one query that are kept; all are counted */
#define QUERY_HOPS_NS     3000000000ull /* a hop that ends later than this after its query is not waited for */

enum query_end {
	QUERY_RUNNING  = 0,
	QUERY_COMPLETE = 1,
	QUERY_CANCEL   = 2, /* the client went away */
	QUERY_ERROR    = 3, /* the server said so, or closed before the end */
	QUERY_LOST     = 4, /* we lost sight of it */
	QUERY_MIDWAY   = 5, /* it had begun before we looked, and is over */
};

/* The closed list of flags. */
enum query_flag {
	QF_ESTIMATED        = 1 << 0, /* "estimated": joules rest on a model, not on a meter */
	QF_ESTIMATED_TOKENS = 1 << 1, /* "estimated_tokens": counted from events or bytes, the server did not say */
	QF_QUEUE_IN_PREFILL = 1 << 2, /* "queue_in_prefill": engine steps are not seen */
	QF_TRUNCATED        = 1 << 3, /* "truncated": part of the stream was not copied */
	QF_LOST_EVENTS      = 1 << 4, /* "lost_events": the ring was full */
	QF_IDLE_UNKNOWN     = 1 << 5, /* "idle_unknown": joules include idle power */
	QF_METER_GAP        = 1 << 6, /* "meter_gap": the meter was silent for part of the time */
	QF_GPU_UNSPLIT      = 1 << 7, /* "gpu_unsplit": who used the GPU is unknown; all of it is the server's */
	QF_EARLY_SPLIT      = 1 << 8, /* "early_split": energy was split before all counts were known */
	QF_STEPS_UNKNOWN    = 1 << 9, /* "steps_unknown": others were beside it, nobody knows who was in which step */
};

struct histo;

/* What each token event touches comes first, in few cache lines: of many streams none is in the nearest cache. */
struct query {
	uint64_t r_ns, f_ns, l_ns, e_ns; /* 0: not known (yet) */
	uint64_t tokens;        /* counted */
	uint64_t events;
	struct histo *itl;      /* gaps between token events */
	struct attrib_query *share; /* of attrib.c */
	int32_t  stream;        /* enum wire_stream */
	uint32_t flags;         /* enum query_flag */
	uint64_t id;
	uint64_t parent;        /* of a hop: the query, or another hop; 0 none */
	uint64_t over_ns;       /* the query is over, and waits for its hops to be; 0: not so */
	uint64_t start_ns, end_ns; /* as above */
	uint64_t first_tokens;  /* of those counted, in F's event */
	struct wire_open open;
	char     model[128];
	char     task[STR_IDENT + 1]; /* that it is a part of, as its client says; "" if it does not */
	enum query_end end;
	int      status;        /* of HTTP; 0 unknown */
	uint32_t body_bytes;    /* of the request */
	struct wire_usage usage;
	uint8_t  failed;        /* an error was said */
	uint8_t  has_hops;      /* it is, or was, the parent of one */
	uint32_t by;            /* of a hop: enum wire_hop */
	uint32_t nhop, open_hops; /* hops that were met; that are not over */
	struct query *hop, *next_hop; /* those that are over, first to last; the next one of the same query */
	uint64_t inner_f_ns, inner_tokens; /* of an answer that is not streamed: F and count of the hop that streams */
};

struct query_ops {
	/* R is known. */
	void (*began)(void *ctx, struct query *q);
	/* F is known: the tokens of its event follow. */
	void (*first)(void *ctx, struct query *q);
	void (*tokens)(void *ctx, struct query *q, uint64_t ts_ns, uint32_t n);
	/* It is a hop: its work is that of `front`. Its tokens still come, for who may want to know when. */
	void (*hop)(void *ctx, struct query *q, struct query *front);
	/* The tokens of q, which is not streamed, were made when those of its hop were. Just before ended(). */
	void (*inner)(void *ctx, struct query *q, struct query *hop);
	/* A hop is freed after this. */
	void (*hop_gone)(void *ctx, struct query *hop);
	/* E and the usage are known; q->end says how. The query is the callee's from now on: query_free() it. */
	void (*ended)(void *ctx, struct query *q);
};

struct queries {
	const struct query_ops *ops;
	void       *ctx;
	struct hash by_id;
	uint64_t    orphans; /* events of queries that we do not know */
	uint64_t    dropped; /* queries not followed */
	size_t      waiting;    /* for their hops */
};

void queries_init(struct queries *qs, const struct query_ops *ops, void *ctx);
void queries_release(struct queries *qs);
void queries_event(struct queries *qs, const struct wire_ev *e);
/* Now and then: who waits for hops does so no longer than QUERY_HOPS_NS. */
void queries_tick(struct queries *qs, uint64_t now);
/* The trace is over: all that run end as QUERY_RUNNING, with E = ts_ns. */
void queries_end(struct queries *qs, uint64_t ts_ns);
void query_free(struct query *q);

/* What follows from the times and counts. NAN (or -1): not known. Milliseconds. */
double  query_ttft_ms(const struct query *q);
double  query_tpot_ms(const struct query *q);
double  query_duration_ms(const struct query *q);
double  query_itl_ms(const struct query *q, double quantile);
int64_t query_completion_tokens(const struct query *q);

/* When its first token was there: F, or that of the hop behind it; 0: not known. */
uint64_t query_first_ns(const struct query *q);

/* Tokens of the prompt; those that had to be computed. As well as they are known. */
double  query_prompt_size(const struct query *q);
double  query_prompt_work(const struct query *q);

const char *query_end_name(enum query_end e);
/* Name of flag bit 1 << i, NULL behind the last. */
const char *query_flag_name(int i);

#endif
