/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What grading by file and by judge share. */
#ifndef IPW_GRADE_INTERNAL_H
#define IPW_GRADE_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "userspace/ipw/grade.h"
#include "userspace/ipw/grade_file.h"

/* A result that a judge has to see. */
struct question {
	size_t row;              /* which result, from 0 */
	const struct item *it;
	char  *run, *model;
	int    repetition;
	const char *text, *reference; /* of the table of answers */
};

struct grading {
	const struct grade_opts *o;
	struct dataset   d;
	struct hash      answers, references; /* texts, by sum */
	struct hash      verdicts;            /* enum grade_verdict + 1, by sum */
	uint8_t         *verdict;             /* by row */
	uint8_t         *judged;              /* it is the judge's, or imported */
	size_t           nrow, cap, bad, strange, no_text;
	struct question *ask;
	size_t           nask, ask_cap;
	size_t           said, unjudged;
	char             why[160];            /* the judge's last failure */
};

/* Asks the judge all questions; verdicts go to g->verdict, and, as they come, to the file of verdicts. 0 or -errno. */
int grade_judge(struct grading *g);

#endif
