/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where results go. A sink is one file and one row in registry.c; a NULL op means that it is not interested. Sinks
 * write data to `out` and nothing else; they never see what crossed the wire.
 */
#ifndef IPW_SINK_H
#define IPW_SINK_H

#include <stdio.h>

#include "userspace/totals.h"

#define JSON_SCHEMA 1 /* of all JSON lines */

struct sink {
	const struct sink_ops *ops;
	void       *state;  /* state_size bytes, zeroed, owned by the core */
	FILE       *out;    /* for text and json */
	const char *path;   /* for a recording */
	const struct run   *run;
	const struct meter *meters;
	const struct idle  *idle; /* by meter, as the run began */
	int         nmeter;
	int         err;     /* -errno of the first write that failed: the run stops then */
	int         final;   /* wants final results (a report); else those of live lines */
	int         verbose;
	int         colour;
	int         width;   /* of a line of text */
};

struct sink_ops {
	const char *name, *doc;
	size_t      state_size;
	int  (*open)(struct sink *s);
	/* The inputs of everything right of the wire, in the order in which the pipeline takes them. */
	void (*wire)(struct sink *s, const struct wire_ev *e);
	void (*activity)(struct sink *s, const struct activity *a);
	void (*edge)(struct sink *s, const struct activity *a);
	void (*sample)(struct sink *s, const struct sample *m);
	void (*gpu)(struct sink *s, const struct gpu_share *g);
	void (*unread)(struct sink *s, const struct wire_unread *u);
	void (*step)(struct sink *s, const struct step *p);
	/* What came of them. */
	void (*result)(struct sink *s, const struct result *r);
	void (*summary)(struct sink *s, const struct summary *m);
	/* The last call: flushes. 0, or the first error of all that was written, as -errno. */
	int  (*close)(struct sink *s);
};

/* Ends with NULL. */
extern const struct sink_ops *const sinks[];

const struct sink_ops *sink_find(const char *name);
/* The close of a sink that only prints. 0 or -EIO. */
int sink_flush(struct sink *s);

#endif
