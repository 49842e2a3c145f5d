/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What score, compare, cover, route and fit have in common: their options, and reading the results they are of. */
#ifndef IPW_IPW_OPTIONS_H
#define IPW_IPW_OPTIONS_H

#include "userspace/ipw/boot.h"
#include "userspace/ipw/costs.h"
#include "userspace/ipw/results.h"
#include "userspace/util/args.h"
#include "userspace/util/json_out.h"

enum {
	IPW_SCORE   = 1 << 0,
	IPW_COMPARE = 1 << 1,
	IPW_COVER   = 1 << 2,
	IPW_ROUTE   = 1 << 3,
	IPW_FIT     = 1 << 4,
};

enum by { BY_NONE, BY_DATASET, BY_CATEGORY, BY_DIFFICULTY, BY_LEVEL };

#define IPW_PAIRS   64
#define IPW_ROUTERS 16
#define IPW_FILLS   16

struct ipw_opts {
	int          json, csv, leaderboard, verbose, gross, variants, pools, sweep, pay, allow_missing, allow_unlike;
	enum by      by;
	enum repeats repeats;
	unsigned     draws;
	uint64_t     seed;
	const char  *models, *gdp, *cloud;
	const char  *pair[IPW_PAIRS], *pool[IPW_PAIRS]; /* MODEL[@HARDWARE[:SCOPE]] */
	int          npair, npool;
	double       router[IPW_ROUTERS];
	int          nrouter;
	int          costs, attention;
	const char  *devices, *device;
	const char  *file[IPW_PAIRS];                   /* MODEL=PATH */
	int          nfile;
	double       kwh_usd, grid_g, embodied_g;       /* NAN: not given */
	const char  *fill[IPW_FILLS]; /* NAME=TEXT, of leaderboard_fields */
	int          nfill;
	char       **files; /* NULL-terminated */
};

/* A command with its results. */
struct ipw {
	struct ipw_opts       o;
	struct models         models;
	struct model_files    files;
	struct devices        devices;
	struct results        r;
	const struct config **config; /* those that --pair names, in its order; else all, as they came */
	int                   n;
	FILE                 *json; /* where JSON lines go; NULL: text is wanted */
	double                read_s;
};

/* Parses alone. As args_parse(). */
int  ipw_parse(struct ipw_opts *o, int command, int argc, char **argv);

/*
 * Parses, reads the files and says what was not as it should be. 0: go on; -1: all is said, *ret_status is the exit
 * status. want: columns.
 */
int  ipw_open(struct ipw *w, int command, unsigned want, int argc, char **argv, int *ret_status);
/* Releases all, and writes what was printed, of --csv from its JSON lines. 0, or 1: it could not be, which is said. */
int  ipw_close(struct ipw *w);

/* A number that is not below 0. 0 or -EINVAL. */
int  ipw_take_amount(const char *s, double *ret);
/* Options on costs that only go together; of score, each asks for costs. 0, or -EINVAL once it has been said. */
int  ipw_check_costs(struct ipw_opts *o, int command);
/* Reads the files that they name, into w->r too. 0, or -errno once the reason has been said. */
int  ipw_load_costs(struct ipw *w);
/* Of a configuration, as costs_of(). */
void ipw_costs(const struct ipw *w, const struct config *c, const uint32_t *group, uint32_t which, struct costs *ret);

/* "MODEL@HARDWARE", with the scope where it is known, and whether the joules are estimated. Returns buf. */
const char *ipw_title(const struct ipw *w, const struct config *c, char *buf, size_t size);
/* The one among those chosen that "MODEL[@HARDWARE[:SCOPE]]" names; NULL: none, or several, which is said. */
const struct config *ipw_find(const struct ipw *w, const char *name);
/* model, hardware, scope and estimated as JSON */
void ipw_json_config(struct json_out *j, const struct ipw *w, const struct config *c);
/* To seven digits, which is what is kept of a value that was read. */
void ipw_json_num(struct json_out *j, const char *key, double v);
/* [low, high], or null */
void ipw_json_interval(struct json_out *j, const char *key, struct interval ci);

/* Which group a query is in by --by: a name. */
uint32_t    ipw_group(const struct ipw *w, uint32_t query);
const char *ipw_by_name(enum by by);

/*
 * Rows that lack what others of their configuration have (score.h): says so. 0: there are none, or they may be left
 * out; -ENODATA: they may not.
 */
int  ipw_lacking(const struct ipw *w, const struct config *c);
double ipw_clock_s(void);

#endif
