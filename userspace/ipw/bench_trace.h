/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracer beside a bench: this program once more, as a child, with --json, its rows read from a
 * pipe. A row is of one of our queries when it carries both its X-Request-Id and the address of its connection;
 * never by time.
 */
#ifndef IPW_BENCH_TRACE_H
#define IPW_BENCH_TRACE_H

#include <stddef.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

#include "userspace/util/hash.h"

#define TRACE_ARGS 48

struct trace_pipe {
	int    fd;
	char  *buf;
	size_t n, cap;
};

struct trace {
	pid_t  pid;        /* 0: there is none (any more) */
	struct trace_pipe out, err;
	const char *ours;  /* what our X-Request-Ids begin with */
	struct hash rows;  /* of ours that nobody has taken yet: trace_row */
	int    attached;
	char   last[256];  /* its last message */
	cJSON *summary;    /* NULL until it has ended */
	size_t foreign;    /* queries of other clients */
	double foreign_j;
	double ours_j;     /* of all of ours that it saw, taken or not */
	void (*said)(void *ctx, const char *line); /* a message of the tracer, once it is attached */
	void  *ctx;
};

/* Starts it with these arguments behind "--json". 0 or -errno. */
int  trace_start(struct trace *t, const char *const *args, int n);
/* Waits until it is attached. 0, or -ECHILD with the reason in t->last. */
int  trace_attach(struct trace *t);
/* Reads what there is; 0: it has ended. */
int  trace_read(struct trace *t);
/* The row of a query, now the caller's (cJSON_Delete()); NULL: it is not there, or not yet. */
cJSON *trace_take(struct trace *t, const char *request_id, const char *client);
/* Has it settle its books; trace_read() until it has ended. */
void trace_stop(struct trace *t);
void trace_release(struct trace *t);

#endif
