/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Intelligence per watt and per joule: arXiv 2511.07885v4, section 2, ratios of means over queries.
 *
 *   IPW = APW = E[acc] / E[P]       PPW = 1 / (E[ppl] E[P])
 *   IPJ = APJ = E[acc] / E[P tau]   PPJ = 1 / (E[ppl] E[P tau])
 *
 * All means are over the same rows: those that have each of verdict, power, energy and perplexity that any row of the
 * configuration has. What no row has is NAN, and so is what needs it.
 */
#ifndef IPW_IPW_SCORE_H
#define IPW_IPW_SCORE_H

#include "userspace/ipw/boot.h"
#include "userspace/ipw/results.h"

/* What may lack in a row, as bits. */
enum { HAS_VERDICT = 1, HAS_POWER = 2, HAS_ENERGY = 4, HAS_PPL = 8 };

enum metric { M_ACC, M_POWER, M_ENERGY, M_IPW, M_IPJ, M_PPW, M_PPJ, METRICS };

/*
 * What goes by these names elsewhere, in the paper's own harness: of the whole run, where the paper has the mean of the
 * queries; normalized: without the 5 % fastest and the 5 % slowest queries, one of each at least, of four queries and
 * more.
 */
struct variants {
	double power_w_total;                  /* sum of E / sum of tau */
	double ipw_total, ipj_total;           /* acc / that; acc / sum of E */
	double ipw_normalized, ipj_normalized; /* acc / E[P]; acc / sum of E */
};

struct score {
	uint32_t        rows, n;             /* all; those that all means are over */
	uint32_t        lacking[4];          /* rows without verdict, power, energy, perplexity, where others have it */
	double          value[METRICS];
	double          duration_s, ppl, concurrency;
	double          ttft_s, prompt, completion; /* NAN where any of the rows lacks it */
	struct variants v;
	struct interval ci[METRICS];
};

struct score_opts {
	int      variants;
	unsigned draws;
	uint64_t seed;
};

/* HAS_ bits: what any row has. */
unsigned score_has(const struct config *c);
/* What a row has. */
unsigned score_row_has(const struct config *c, uint32_t row);
/* From means of acc, P, E, ppl. */
void     score_metrics(double acc, double power, double energy, double ppl, double *ret);

/* Of the rows whose query is in a group: group[query] == which; group NULL: of all. 0 or -ENOMEM. */
int score_of(const struct config *c, const uint32_t *group, uint32_t which, const struct score_opts *o,
	     struct score *ret);

#endif
