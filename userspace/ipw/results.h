/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All results of some files, by configuration: a model on a hardware, with what its joules are of (scope). Of a row
 * only the columns are kept that were asked for, a float each, and of a configuration only those that one of its rows
 * has: a row takes 1 byte and 4 for each column, and 4 more where the configuration does not have every query. A query,
 * which is a data set and an id, takes its id's text and 20 bytes; and some 40 more until results_finish().
 */
#ifndef IPW_IPW_RESULTS_H
#define IPW_IPW_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/ipw/model_files.h"
#include "userspace/ipw/models.h"
#include "userspace/ipw/row.h"
#include "userspace/util/hash.h"

#define RESULTS_LINE     (1u << 20) /* bytes of a line; a longer one is malformed */
#define JOULES_KWH       3.6e6
#define RESULTS_PROBLEMS 8          /* kept of each kind, the rest is counted */

enum verdict { VERDICT_WRONG, VERDICT_RIGHT, VERDICT_NONE, VERDICT_SHARE /* of repeats: COL_ACC */ };

enum column {
	COL_ENERGY, COL_DURATION, COL_POWER, COL_PPL, COL_CONCURRENCY, COL_FLOPS, COL_COST, COL_PROMPT, COL_CACHED,
	COL_COMPLETION, COL_TTFT,
	COL_PAID, /* joules that are paid for: gross where it is known, else the share */
	COL_BUSY, /* seconds that are its own, of those that it shared with others of the run */
	COL_BYTES, /* that decoding it alone read */
	COL_ACC, /* is asked for by nobody: REPEATS_MEAN makes it */
	COLS
};

#define WANT(col) (1u << (col))

/*
 * Of several results of one configuration for one query. Mean: one row of their means, watts as the mean of each one's
 * own; what one of them lacks is NAN in it. Verdicts are no longer 0 or 1: for what only takes the mean of them.
 */
enum repeats { REPEATS_REFUSE, REPEATS_FIRST, REPEATS_LAST, REPEATS_MEAN };

struct names {
	struct hash by_hash;
	char      **name; /* fit for a terminal; 0 is "": not given */
	uint32_t   *len;
	uint32_t    n;
	char       *clean;   /* the one that is being looked for */
	size_t      clean_cap;
};

struct config {
	uint32_t            model, hardware, scope; /* names */
	const struct model *known;                  /* NULL: no row of the table of models */
	const struct model_file *file;              /* NULL: none was named */
	uint32_t            n, cap;
	uint32_t            cancelled; /* results that are in no row: somebody did not want the answer any more */
	uint32_t            estimated; /* rows whose joules rest on a model, not on a meter */
	uint32_t           *query;     /* ascending after results_finish(); NULL: row i is query i */
	uint8_t            *verdict;   /* enum verdict */
	float              *col[COLS]; /* NAN: unknown; NULL: in all rows */
	struct {
		double   sum;
		uint32_t n;
	} concurrency;                 /* of all rows that were read, whatever is kept */
	uint32_t            expect;    /* the query that the next row is probably for */
};

struct query_info {
	uint32_t dataset, category, difficulty; /* names */
};

struct problem {
	char     file[64];
	uint64_t line;
	char     why[64];
};

/* What was not as it should be: how often, and the first ones. */
struct problems {
	uint64_t       n;
	struct problem first[RESULTS_PROBLEMS];
};

struct results {
	/* set by the caller before the first row */
	unsigned             want;     /* columns: WANT() bits */
	int                  gross;    /* joules are gross_j, not energy_j */
	enum repeats         repeats;
	const struct models *models;   /* NULL: prices and FLOPs only as the rows say */
	const struct model_files *files;
	int                 attention; /* count it in the FLOPs of those files' models */
	int                 by_kwh;    /* what is no cloud model costs kwh_usd for its energy, not its tokens' price */
	double              kwh_usd;

	struct names       names;
	struct config    **config;
	int                nconfig;
	struct query_info *query;
	uint64_t          *key;        /* of a query; NULL after results_finish() */
	size_t            *id_at;      /* in ids */
	char              *ids;        /* terminated, fit for a terminal */
	size_t             ids_len, ids_cap;
	uint32_t           nquery, query_cap;
	struct hash        by_key, by_config;
	struct config     *last;       /* config of the row before */

	uint64_t        lines, bytes, rows, others; /* others: of another type */
	uint64_t        cancelled;
	uint64_t        other_joules; /* rows without joules of the kind that is asked for, that have the other */
	struct problems malformed, odd, disagree;   /* disagree: on a query's category or difficulty */
	uint64_t        repeated;                   /* rows for which there was another one */
	uint32_t        repeated_query;             /* of the first */
	int             repeated_config;

	struct row row;
	char       file[64];
	uint64_t   line;
	char      *carry;              /* the beginning of a line whose end is to come */
	size_t     ncarry;
	int        too_long;
	uint32_t   last_name[ROW_TEXTS];
};

/*
 * r is zeroed but for what the caller sets. Any cut of the same bytes gives the same. 0, -ENOMEM, or -EOVERFLOW: more
 * than 2^32 queries, names or rows of a configuration. What is malformed is counted and no error.
 */
int  results_feed(struct results *r, const char *p, size_t n);
/* path "-": standard input. Also -errno of opening or reading. A file begins a new line 1. */
int  results_file(struct results *r, const char *path);
/*
 * After the last row, once: rows in order of queries, repeats as asked. 0, -ENOMEM, or -EEXIST: there are repeats, and
 * they are refused.
 */
int  results_finish(struct results *r);
void results_release(struct results *r);

static inline const char *results_name(const struct results *r, uint32_t name)
{
	return r->names.n ? r->names.name[name] : "";
}

static inline const char *results_id(const struct results *r, uint32_t query)
{
	return r->ids + r->id_at[query];
}

static inline uint32_t config_query(const struct config *c, uint32_t row)
{
	return c->query ? c->query[row] : row;
}

static inline double config_num(const struct config *c, enum column col, uint32_t row)
{
	return c->col[col] ? (double)c->col[col][row] : __builtin_nan("");
}

/* Watts: as given, where joules and seconds are not both known. */
static inline double config_power(const struct config *c, uint32_t row)
{
	double w = config_num(c, COL_POWER, row);

	return __builtin_isnan(w) ? config_num(c, COL_ENERGY, row) / config_num(c, COL_DURATION, row) : w;
}

/* 1: right, 0: wrong; of repeats their mean; NAN: there is no verdict. */
static inline double config_acc(const struct config *c, uint32_t row)
{
	uint8_t v = c->verdict[row];

	return v == VERDICT_NONE ? __builtin_nan("") : v == VERDICT_SHARE ? (double)c->col[COL_ACC][row] : v;
}

/* The queries that all of some configurations have, in order. */
struct join {
	const struct config *const *config;
	int                         n;
	uint32_t                   *at;    /* [n]: the row of each, zeroed by the caller */
	uint32_t                    query; /* those of which at[] are */
	int                         begun;
};

/* 1: at[] and query are the next; 0: no more. */
int join_next(struct join *j);

#endif
