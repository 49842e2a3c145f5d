/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Results in, results with verdicts out, every other member as it was. A verdict is a JSON line of its own, so that
 * what a judge said once is not asked again, and may come from elsewhere:
 *   {"type":"verdict","query_id","repetition","run","model","correct":0|1|null,"judge","said"}
 * query_id and correct are needed; where repetition, run or model are left out it holds for all of them. The last one
 * counts.
 */
#ifndef IPW_GRADE_FILE_H
#define IPW_GRADE_FILE_H

struct grade_opts {
	const char *in, *answers, *dataset, *out; /* out NULL: standard output */
	const char *judge_url, *judge_model, *key_env, *verdicts, *reference;
	int concurrency;
};

/* Returns the exit status: 0, or 1 once the reason has been said; also when something is left without a verdict. */
int grade_run(const struct grade_opts *o);

#endif
