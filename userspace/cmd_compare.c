// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace compare: models on hardwares, on the same queries. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/ipw/compare.h"
#include "userspace/ipw/options.h"

#define COLUMNS (WANT(COL_ENERGY) | WANT(COL_DURATION) | WANT(COL_POWER) | WANT(COL_CONCURRENCY))

static const char *const metrics[COMPARED] = { "acc", "power_w_mean", "energy_j_mean", "ipw", "ipj" };
static const char *const factors[FACTORS] = { "accuracy_factor", "power_factor", "energy_factor", "ipw_ratio",
					      "ipj_ratio" };

static void json_side(struct json_out *j, const char *key, const struct ipw *w, const struct config *c,
		      const struct comparison *r, int side)
{
	int k;

	json_open(j, key, '{');
	ipw_json_config(j, w, c);
	json_int(j, "unpaired", r->alone[side]);
	ipw_json_num(j, "concurrency_mean", r->concurrency[side]);
	ipw_json_num(j, "duration_s_mean", r->duration_s[side]);
	for (k = 0; k < COMPARED; k++)
		ipw_json_num(j, metrics[k], r->value[side][k]);
	json_close(j, '}');
}

static void print_json(const struct ipw *w, const struct config *a, const struct config *b, const struct comparison *r)
{
	struct json_out j = { w->json, 0 };
	int k;

	json_open(&j, NULL, '{');
	json_str(&j, "type", "compare");
	json_str(&j, "joules", w->o.gross ? "gross" : "share");
	json_int(&j, "n", r->n);
	json_int(&j, "lacking", r->lacking);
	json_side(&j, "a", w, a, r, 0);
	json_side(&j, "b", w, b, r, 1);
	json_open(&j, "difference", '{');
	for (k = 0; k < COMPARED; k++)
		ipw_json_num(&j, metrics[k], r->diff[k]);
	json_close(&j, '}');
	for (k = 0; k < FACTORS; k++)
		ipw_json_num(&j, factors[k], r->factor[k]);
	json_open(&j, "ci95", '{');
	json_open(&j, "difference", '{');
	for (k = 0; k < COMPARED; k++)
		ipw_json_interval(&j, metrics[k], r->ci_diff[k]);
	json_close(&j, '}');
	for (k = 0; k < FACTORS; k++)
		ipw_json_interval(&j, factors[k], r->ci_factor[k]);
	json_close(&j, '}');
	json_close(&j, '}');
	json_line(&j);
}

static void line(const char *name, double a, double b, double diff, struct interval ci)
{
	if (isnan(a) && isnan(b))
		return;
	printf("  %-10s %12.4g %12.4g %+12.4g", name, a, b, diff);
	if (!isnan(ci.low))
		printf("  [%.3g, %.3g]", ci.low, ci.high);
	printf("\n");
}

static void factor(const char *name, double v, struct interval ci)
{
	printf("%s %.4g", name, v);
	if (!isnan(ci.low))
		printf(" [%.3g, %.3g]", ci.low, ci.high);
}

static void decomposition(const struct comparison *r, const char *what, enum comparison_factor whole,
			  const char *part, enum comparison_factor f)
{
	if (isnan(r->factor[whole]))
		return;
	factor(what, r->factor[whole], r->ci_factor[whole]);
	factor(" = accuracy x", r->factor[F_ACC], r->ci_factor[F_ACC]);
	factor(part, r->factor[f], r->ci_factor[f]);
	printf("\n");
}

static void print_text(const struct ipw *w, const struct config *a, const struct config *b, const struct comparison *r)
{
	static const char *const names[COMPARED] = { "accuracy", "W", "J", "IPW, 1/W", "IPJ, 1/J" };
	char ta[256], tb[256];
	int k;

	printf("A %s\nB %s\n  %u queries in both", ipw_title(w, a, ta, sizeof(ta)), ipw_title(w, b, tb, sizeof(tb)),
	       r->n);
	if (r->alone[0])
		printf(", %u in A only ('%s')", r->alone[0], results_id(&w->r, r->example[0]));
	if (r->alone[1])
		printf(", %u in B only ('%s')", r->alone[1], results_id(&w->r, r->example[1]));
	if (r->lacking)
		printf(", %u lack something", r->lacking);
	printf("; joules are %s\n\n  %-10s %12s %12s %12s  %s\n", w->o.gross ? "gross" : "shares", "", "A", "B",
	       "B - A", "95 %");
	for (k = 0; k < COMPARED; k++)
		line(names[k], r->value[0][k], r->value[1][k], r->diff[k], r->ci_diff[k]);
	line("s", r->duration_s[0], r->duration_s[1], r->duration_s[1] - r->duration_s[0],
	     (struct interval){ NAN, NAN });
	line("at a time", r->concurrency[0], r->concurrency[1], r->concurrency[1] - r->concurrency[0],
	     (struct interval){ NAN, NAN });
	printf("\n");
	decomposition(r, "  IPW of B to A", F_IPW, ", power x", F_POWER);
	decomposition(r, "  IPJ of B to A", F_IPJ, ", energy x", F_ENERGY);
}

/* 0: they may be compared. */
static int unlike(const struct ipw *w, const struct config *a, const struct config *b, const struct comparison *r)
{
	char ta[256], tb[256];
	int scope = a->scope != b->scope, conc = unlike_concurrency(r->concurrency[0], r->concurrency[1]);

	if ((!scope && !conc) || w->o.allow_unlike)
		return 0;
	say("%s and %s differ in %s: %s", ipw_title(w, a, ta, sizeof(ta)), ipw_title(w, b, tb, sizeof(tb)),
	    scope ? "scope" : "concurrency", scope ? "their joules are not of the same (--allow-unlike)" :
	    "joules a query fall with it (--allow-unlike)");
	return -EINVAL;
}

static int compare_one(const struct ipw *w, const struct config *a, const struct config *b)
{
	char ta[256], tb[256];
	struct comparison r;
	int err = compare(a, b, w->o.draws, w->o.seed, &r);

	if (err) {
		say("cannot compare: %s", strerror(-err));
		return err;
	}
	if (!r.n) {
		say("%s and %s have no query in common", ipw_title(w, a, ta, sizeof(ta)),
		    ipw_title(w, b, tb, sizeof(tb)));
		return -ENODATA;
	}
	if (unlike(w, a, b, &r))
		return -EINVAL;
	(w->json ? print_json : print_text)(w, a, b, &r);
	return 0;
}

int cmd_compare(int argc, char **argv)
{
	int status, i, err = 0;
	struct ipw w;

	if (ipw_open(&w, IPW_COMPARE, COLUMNS, argc, argv, &status))
		return status;
	if (w.n < 2) {
		say("there is one model on one hardware: nothing to compare it with");
		err = -ENODATA;
	}
	for (i = 0; i < w.n; i++)
		err |= ipw_lacking(&w, w.config[i]);
	for (i = 1; i < w.n && !err; i++) {
		if (i > 1 && !w.json)
			printf("\n");
		err = compare_one(&w, w.config[0], w.config[i]);
	}
	return ipw_close(&w) || err ? 1 : 0;
}
