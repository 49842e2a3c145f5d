/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command line: one table for all commands, from which parsing and usage are made. */
#ifndef IPW_OPTS_H
#define IPW_OPTS_H

#include "userspace/attrib.h"
#include "userspace/find.h"
#include "userspace/probes.h"
#include "userspace/util/args.h"

enum {
	CMD_TRACE  = 1 << 0,
	CMD_RECORD = 1 << 1,
	CMD_REPORT = 1 << 2,
	CMD_LIST   = 1 << 3,
	CMD_CHECK  = 1 << 4,
	CMD_SCRIPT = 1 << 5,
};

#define RECORDING_DEFAULT "ipw.data"

struct opts {
	uint32_t pid[EV_SLOTS];
	int      npid;
	enum find_by find_by;
	const char *find;    /* what to find by it */
	int      only;       /* what is named, and no more of the server */
	int      follow;     /* and what comes after it */
	int      no_steps;   /* of the engine */
	int      no_edges;   /* meters are not read where phases begin and end */
	int      by_tokens;  /* --split tokens */
	const char *task;    /* as given; NULL: nothing is looked for. wire_tasks() has it */
	int      by_task;    /* --by task */
	char   **cmd; /* NULL-terminated; NULL: none */
	double   duration_s; /* 0: until told to stop */
	const char *out, *in;
	int      json, verbose;
	unsigned interval_ms; /* 0: what suits the meter */
	const char *meters;
	const char *idle;     /* as given; NULL: auto */
	enum net_tier net;
	struct meter_opts meter;
};

/*
 * Parses argv of one command (argv[0] is skipped). 0: go on; 1: all is said (--help, --version), exit 0;
 * EXIT_USAGE: the reason has been printed.
 */
int  opts_parse(struct opts *o, int command, int argc, char **argv);
void opts_usage(int command); /* to stderr */

/*
 * The idle floor of each meter by --idle: "auto", "none", or "DOMAIN=W,..." where DOMAIN is a meter's name ("gpu0") or
 * its kind ("package", "dram", "gpu", "platform"). What is not named is auto; of a model the floor is known. 0, or
 * -EINVAL with the bad part in ret_bad.
 */
int  opts_idle(const char *spec, const struct meter *m, int n, struct idle *ret, char *ret_bad, size_t size);

#endif
