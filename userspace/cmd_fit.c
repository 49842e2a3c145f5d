// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace fit: joules by tokens. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/ipw/options.h"
#include "userspace/ipw/regress.h"

#define COLUMNS (WANT(COL_ENERGY) | WANT(COL_DURATION) | WANT(COL_POWER) | WANT(COL_PROMPT) | WANT(COL_CACHED) | \
		 WANT(COL_COMPLETION) | WANT(COL_TTFT))

/* J = a + b input + c output (+ d cached, where that varies). */
static const enum variable tokens[] = { VAR_PROMPT, VAR_COMPLETION, VAR_CACHED };
static const char *const names[] = { "constant", "input", "output", "cached" };

static void json_head(struct json_out *j, const struct ipw *w, const struct config *c, const char *name,
		      const struct regression *r)
{
	json_open(j, NULL, '{');
	json_str(j, "type", "fit");
	json_str(j, "name", name);
	ipw_json_config(j, w, c);
	json_str(j, "joules", w->o.gross ? "gross" : "share");
	json_int(j, "n", r->n);
	ipw_json_num(j, "r2", r->r2);
}

static void json_joules(const struct ipw *w, const struct config *c, const struct regression *r)
{
	struct json_out j = { w->json, 0 };
	int k;

	json_head(&j, w, c, "joules", r);
	json_open(&j, "coefficients", '{');
	for (k = 0; k <= r->vars; k++)
		ipw_json_num(&j, names[k], r->coef[k]);
	json_close(&j, '}');
	json_open(&j, "standard_errors", '{');
	for (k = 0; k <= r->vars; k++)
		ipw_json_num(&j, names[k], r->se[k]);
	json_close(&j, '}');
	json_close(&j, '}');
	json_line(&j);
}

static void json_harness(const struct ipw *w, const struct config *c, const char *name, const struct regression *r)
{
	struct json_out j = { w->json, 0 };

	json_head(&j, w, c, name, r);
	ipw_json_num(&j, "slope", r->coef[1]);
	ipw_json_num(&j, "intercept", r->coef[0]);
	ipw_json_num(&j, "avg_y", r->y_mean);
	json_close(&j, '}');
	json_line(&j);
}

static void fit_joules(const struct ipw *w, const struct config *c)
{
	static const char *const units[] = { "J", "J a token of the prompt", "J a token of the answer",
					     "J a token of the prompt that was cached" };
	int vars = varies(c, VAR_CACHED) ? 3 : 2, k, err;
	struct regression r;
	char name[256];

	err = regress(c, VAR_ENERGY, tokens, vars, &r);
	if (err)
		say("%s: %u results with joules and tokens: %s", ipw_title(w, c, name, sizeof(name)), r.n,
		    err == -EDOM ? "prompts and answers rise and fall together, and cannot be told apart" :
		    "too few");
	if (w->json) {
		json_joules(w, c, &r);
		return;
	}
	printf("%s: %u results, R2 %.4f, joules are %s, +- standard error\n",
	       ipw_title(w, c, name, sizeof(name)), r.n, r.r2, w->o.gross ? "gross" : "shares");
	for (k = 0; k <= vars; k++)
		printf("  %12.6g +- %-12.3g %s\n", r.coef[k], r.se[k], units[k]);
}

static void fit_harness(const struct ipw *w, const struct config *c)
{
	const struct harness_fit *f;
	struct regression r;
	double mean = NAN;

	for (f = harness_fits; f < harness_fits + HARNESS_FITS; f++) {
		(void)regress(c, f->y, &f->x, 1, &r);
		if (f->x == VAR_LOG_TOTAL)
			r.y_mean = mean; /* there, of no tokens too */
		mean = r.y_mean;
		if (w->json)
			json_harness(w, c, f->name, &r);
		else if (isnan(r.r2))
			printf("  %-26s n %-8u -\n", f->name, r.n);
		else
			printf("  %-26s n %-8u slope %-12.6g intercept %-12.6g R2 %-8.4f mean %.6g\n", f->name, r.n,
			       r.coef[1], r.coef[0], r.r2, r.y_mean);
	}
}

int cmd_fit(int argc, char **argv)
{
	struct ipw w;
	int status, i;

	if (ipw_open(&w, IPW_FIT, COLUMNS, argc, argv, &status))
		return status;
	for (i = 0; i < w.n; i++) {
		if (i && !w.json)
			printf("\n");
		fit_joules(&w, w.config[i]);
		fit_harness(&w, w.config[i]);
	}
	return ipw_close(&w);
}
