/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A data set driven at a server, and what each query of it cost: one JSON line each (struct bench_row), appended to a
 * file when it is known. The file begins with a line that says what was run; a run that was killed goes on from it.
 *
 * A row waits for what the tracer says of it, which is exact or nothing; killed meanwhile, its query is sent again.
 */
#ifndef IPW_BENCH_H
#define IPW_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/ipw/bench_trace.h"
#include "userspace/ipw/client.h"
#include "userspace/ipw/dataset.h"
#include "userspace/ipw/model_file.h"

#define BENCH_PARAMS 16
#define BENCH_MOST   4096 /* queries at a time */

struct bench_opts {
	const char *dataset, *url, *model, *hardware;
	void      (*describe)(char *to, size_t size); /* this machine, where `hardware` is not given */
	/*
	 * The model's file that a local server has open: of these PIDs, or, pid NULL, of who listens at the port. 0, or
	 * -errno with the reason.
	 */
	int       (*find_model)(const char *pid, unsigned port, char *path, size_t size, char *why, size_t wsize);
	const char *model_file;   /* NULL: found */
	int         attention;    /* is in the FLOPs */
	const char *out, *answers;
	const char *key_env;      /* the environment's variable that has the API key */
	const char *pid, *record; /* of the tracer; NULL: found by the URL's port; none is kept */
	const char *param[BENCH_PARAMS]; /* "KEY=JSON", members of the request's body */
	int      nparam;
	int      concurrency;     /* with a rate: at most so many, 0: BENCH_MOST */
	double   rate;            /* arrivals a second, Poisson; 0: the next when one ends */
	size_t   queries;         /* of the data set, by the seed; 0: all */
	int      repetitions, warmup;
	int      retries;         /* of a query that is answered by 429 or 503 */
	uint64_t seed;
	int      max_tokens;
	double   temperature, timeout_s;
	int      logprobs, no_trace, require_energy;
	const char *tracer[TRACE_ARGS]; /* more arguments for it */
	int      ntracer;
};

/* Returns the exit status: 0, or 1 once the reason has been said. */
int bench_run(const struct bench_opts *o);

/* --- which query when --------------------------------------------------------------------------------------------- */

struct plan {
	uint32_t *item;  /* n of them for each repetition, each time in another order */
	size_t    n, total;
};

/* The first `queries` (0: all) of an order of n items that depends on the seed alone. 0 or -ENOMEM. */
int  plan_init(struct plan *p, size_t n, size_t queries, int repetitions, uint64_t seed);
void plan_release(struct plan *p);

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t plan_random(uint64_t *state);
/* Time to the next arrival at this rate. */
double   plan_gap_s(uint64_t *state, double rate);

/* --- the file ----------------------------------------------------------------------------------------------------- */

struct bench_out {
	int    fd, answers;
	char   run[17];       /* of the file: the same after each kill */
	char   segment[17];   /* of this part of it */
	uint8_t *done;        /* by place in the plan */
	size_t ndone, torn, bad;
};

/* What makes a run: all of it has to be the same when one goes on. */
struct bench_run {
	const struct bench_opts *o;
	const struct dataset    *d;
	const struct plan       *plan;
	char model[128], hardware[640];
	char *request;        /* JSON: what is in each request's body beside the messages */
	const struct model_file *file; /* NULL: not known */
};

struct bench_row {
	const struct bench_run *run;
	const struct item *it;
	int          repetition;
	const char  *request_id;
	const struct reply *reply;
	int          verdict;     /* enum grade_verdict */
	double       concurrency; /* of our own queries, mean over its life */
	double       busy_s;      /* its part of the seconds in which n of ours were in flight: 1/n of each */
	const cJSON *traced;      /* NULL: not seen by the tracer */
	int          untraced;    /* though there was one */
	int          tries;       /* requests sent for it, 1 and more */
	double       retry_j;     /* of those before the last; NAN: not all known */
	double       retry_s;     /* from the first to the last being sent */
};

/*
 * Opens the file to write to, and reads which queries it has. -EEXIST: it is of another run, -EBADMSG: of none;
 * -EBUSY: another bench writes to it; else -errno. why: which difference.
 */
int  bench_out_open(struct bench_out *b, const struct bench_run *r, char *why, size_t size);
/* 0 or -errno */
int  bench_out_row(struct bench_out *b, const struct bench_row *row);
int  bench_out_line(struct bench_out *b, const char *json, size_t n);
void bench_out_close(struct bench_out *b);

#endif
