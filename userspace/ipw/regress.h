/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ordinary least squares of one configuration's columns, on the rows that have all that is used. */
#ifndef IPW_IPW_REGRESS_H
#define IPW_IPW_REGRESS_H

#include "userspace/ipw/results.h"

#define REGRESS_MAX 3 /* variables beside the constant */

struct regression {
	uint32_t n;                       /* rows that were used */
	int      vars;
	double   coef[REGRESS_MAX + 1];   /* the constant first; NAN: cannot be told */
	double   se[REGRESS_MAX + 1];     /* NAN: no more rows than coefficients */
	double   r2;                      /* 1 - SS_res / SS_tot; 1 if y does not vary */
	double   y_mean;
};

enum variable { VAR_PROMPT, VAR_COMPLETION, VAR_CACHED, VAR_TOTAL, VAR_LOG_TOTAL, VAR_ENERGY, VAR_POWER, VAR_DURATION,
		VAR_TTFT };

/*
 * y = c0 + c1 x[0] + ... ; total tokens are those that are known of prompt and completion. 0; -ENODATA: fewer rows than
 * coefficients; -EDOM: the x cannot be told apart. n and y_mean are set whatever is returned.
 */
int regress(const struct config *c, enum variable y, const enum variable *x, int vars, struct regression *ret);

/* Any two of a variable's values differ. */
int varies(const struct config *c, enum variable v);

/* The five of the paper's harness. */
struct harness_fit {
	const char   *name;
	enum variable x, y;
};

#define HARNESS_FITS 5
extern const struct harness_fit harness_fits[HARNESS_FITS];

#endif
