/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A file as the leaderboard of the paper's harness takes it (HazyResearch/intelligence-per-watt, submissions/README.md,
 * 2025-11): one object, of one model on one hardware, with the means of each category:
 *
 *   accuracy              0 to 100
 *   avg_energy, _power    J, W: means over queries
 *   avg_latency, _ttft    ms
 *   avg_input_tokens, avg_output_tokens
 *   avg_compute           null: it is in "TFLOPS", and it is not said whether of a query or of a second
 *   avg_memory_bandwidth, _peak   null: nothing here measures them
 *
 * Null is what is not known: also what a row of the category lacks. Results without a category are in "None", as the
 * paper calls it.
 */
#ifndef IPW_IPW_LEADERBOARD_H
#define IPW_IPW_LEADERBOARD_H

#include "userspace/ipw/options.h"
#include "userspace/ipw/score.h"

#define LEADERBOARD_COLUMNS (WANT(COL_TTFT) | WANT(COL_PROMPT) | WANT(COL_COMPLETION))

/* 0: "NAME=TEXT" names a field that people fill in; -EINVAL: it does not, or the field cannot have that text. */
int leaderboard_field(const char *fill);

/* all: of the whole configuration. ret_text: free() it. 0 or -ENOMEM. */
int leaderboard(const struct ipw *w, const struct config *c, const struct score *all, char **ret_text);

#endif
