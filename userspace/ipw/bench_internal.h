/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the bench share. */
#ifndef IPW_BENCH_INTERNAL_H
#define IPW_BENCH_INTERNAL_H

#include "userspace/ipw/bench.h"

/* A request that the server put off. */
struct attempt {
	char request_id[48], client[64]; /* request_id "": the tracer has said what it took */
};

/* One query on its way: sent, put off, or answered and waiting for the tracer. */
struct flight {
	struct flight *next;      /* of those that wait, oldest first; of those put off, soonest first */
	const struct item *it;    /* NULL: to warm up */
	int          repetition;
	char         request_id[48];
	uint64_t     posted_ns;
	double       busy_ns;     /* bench.busy_ns when it was sent; then the mean number of queries beside it */
	double       share_ns;    /* bench.share_ns when it was sent; then what it grew by */
	int          verdict;
	struct reply reply;
	struct attempt *tried;    /* ntried of them, before the one that is in request_id */
	int          ntried;
	double       retry_j;     /* of those that the tracer has told of; NAN: it does not know of one */
	uint64_t     first_ns;    /* when the first was sent */
	uint64_t     due_ns;      /* when it is to be sent again */
	cJSON       *traced;      /* of request_id, while others are waited for */
};

/* Sums over the rows of this segment. */
struct tally {
	size_t   rows, right, unreadable, failed, unknown, untraced, differ, warmups, late;
	uint64_t prompt, completion; /* tokens that the server counted, or that came */
	double   energy_j;           /* of all rows that have joules */
	double   warmup_j;           /* of those that are no row: to warm up, given up */
	size_t   ends[REPLY_CANCELLED + 1]; /* of rows, by how they ended */
	char     first_failed[160]; /* "'id': why" */
	size_t   retries;
	double   retry_j;            /* of rows, what went before the last try */
	int      estimated;        /* of those some rest on a model, and not on a meter */
	uint64_t joule_tokens;       /* completion tokens of rows that have joules */
};

struct bench {
	const struct bench_opts *o;
	struct dataset    d;
	struct plan       plan;
	struct bench_run  run;
	struct bench_out  out;
	struct client    *client;
	struct model_file file;
	struct trace      trace;
	int               traces;    /* the tracer was attached */
	char              ours[24];  /* what our request ids begin with */
	int               epfd, sigfd, timerfd;
	size_t            at;        /* next place in the plan */
	size_t            left;      /* places not sent yet */
	int               warm;      /* still to be sent */
	uint64_t          seq;       /* requests sent */
	uint64_t          next_ns;   /* of a rate: the next arrival */
	uint64_t          random;
	struct flight    *wait, **wait_end;
	struct flight    *later;     /* put off */
	size_t            nlater;
	uint64_t          jitter;    /* random numbers of its own: those of arrivals are the seed's */
	double            busy_ns;   /* integral of the number of our queries that run */
	double            share_ns;  /* integral of 1 / that number */
	uint64_t          busy_at;
	uint64_t          start_ns, end_ns;
	struct tally      sum;
	int               stop;      /* 1: send no more, 2: end what runs */
	int               err;
	char              why[160];  /* why nothing more is sent */
	int               shows;     /* progress */
	uint64_t          shown_ns;
};

/* One line with its end; free() it. NULL: no memory. */
char *bench_row_json(const struct bench_row *row, const struct bench_out *b, size_t *ret_n);

/* The client says that an answer is over. */
void bench_done(void *ctx, void *user, struct reply *r);
void bench_flight_free(struct flight *f);
/* 1: the server has put the query off, and it is to be sent again, now or by the next run: it is among `later`. */
int  bench_put_off(struct bench *b, struct flight *f, const struct reply *r);
/* The next that is due, off the list; NULL: none is. */
struct flight *bench_due(struct bench *b, uint64_t now);
/* Those put off will not be sent again: they wait for the tracer, and are no rows. */
void bench_give_up(struct bench *b);
/* Takes what the tracer has said of the tries before. 1: of all of them. */
int  bench_retries_traced(struct bench *b, struct flight *f);

/* Sends, receives and writes until all is done or is not to be. */
void bench_loop(struct bench *b);
/* The rows of those that wait, by what the tracer has said; all: also of those of which it has said nothing. */
void bench_settle(struct bench *b, int all);

void bench_progress(struct bench *b, uint64_t now);
void bench_progress_clear(struct bench *b);
/* The line at the end of the file, and the text at the end of the run. */
void bench_finish(struct bench *b);

#endif
