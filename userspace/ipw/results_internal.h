/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Between the files that make up results.h. */
#ifndef IPW_IPW_RESULTS_INTERNAL_H
#define IPW_IPW_RESULTS_INTERNAL_H

#include "userspace/ipw/results.h"

/* r->row into its configuration's columns. As results_feed(). */
int  results_add(struct results *r);
/* One more problem, in the line that is being read. */
void results_problem(struct results *r, struct problems *p, const char *why);

#endif
