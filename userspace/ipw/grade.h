/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether an answer is right: by rule where there is one, else by what a judge says. */
#ifndef IPW_GRADE_H
#define IPW_GRADE_H

#include <stddef.h>

#include "userspace/ipw/dataset.h"

enum grade_verdict {
	VERDICT_WRONG      = 0,
	VERDICT_RIGHT      = 1,
	VERDICT_UNREADABLE = 2, /* it has no answer that could be compared: wrong, and counted apart */
	VERDICT_FAILED     = 3, /* there is no answer: wrong, and counted apart */
	VERDICT_UNKNOWN    = 4, /* nobody has judged it, or there is nothing to compare with */
};

/* By rule. Of what a judge has to see VERDICT_UNKNOWN. */
enum grade_verdict grade_text(const struct item *it, const char *text);

/* 1, 0, or -1: not known. */
int grade_correct(enum grade_verdict v);

/* --- judges ------------------------------------------------------------------------------------------------------- */

/*
 * What a judge is asked of an answer: GRADE_REFERENCE, or GRADE_PAIRWISE against it->want[0] (or `reference`, if it is
 * not NULL). Of a pair the order depends on the item's id, half of them either way. free() it; NULL: no memory.
 */
char *grade_ask(const struct item *it, const char *text, const char *reference);
/* What it says: the last "[[...]]" counts. VERDICT_UNREADABLE: it said nothing of the kind. */
enum grade_verdict grade_judged(const struct item *it, const char *said);

#endif
