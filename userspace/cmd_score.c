// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace score: intelligence per watt and per joule of each model on each hardware. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/ipw/leaderboard.h"
#include "userspace/ipw/options.h"
#include "userspace/ipw/score.h"
#include "userspace/util/fmt.h"

#define COLUMNS (WANT(COL_ENERGY) | WANT(COL_DURATION) | WANT(COL_POWER) | WANT(COL_PPL) | WANT(COL_CONCURRENCY))

static const char *const metric_names[METRICS] = { "acc", "power_w_mean", "energy_j_mean", "ipw", "ipj", "ppw", "ppj" };

#define NAME_MOST 50

/* What the numbers are of, and may be set beside: the paper's are gross, of the accelerator, a query at a time. */
static int as_paper(const struct ipw *w, const struct config *c, const struct score *s)
{
	return w->o.gross && s->concurrency < MODEL_ALONE && !strcmp(results_name(&w->r, c->scope), "accelerator");
}

static void json_variants(struct json_out *j, const struct variants *v)
{
	json_open(j, "variants", '{');
	ipw_json_num(j, "power_w_total", v->power_w_total);
	ipw_json_num(j, "ipw_total", v->ipw_total);
	ipw_json_num(j, "ipj_total", v->ipj_total);
	ipw_json_num(j, "ipw_normalized", v->ipw_normalized);
	ipw_json_num(j, "ipj_normalized", v->ipj_normalized);
	json_close(j, '}');
}

static void json_cost(struct json_out *j, const char *key, const struct cost *c)
{
	json_open(j, key, '{');
	json_int(j, "n", c->n);
	ipw_json_num(j, "mean", c->mean);
	ipw_json_num(j, "per_right", c->per_right);
	json_close(j, '}');
}

static void json_costs(struct json_out *j, const struct config *c, const struct costs *k)
{
	json_open(j, "costs", '{');
	json_cost(j, "flops", &k->flops);
	ipw_json_num(j, "flops_per_j", k->flops_per_j);
	ipw_json_num(j, "mfu", k->mfu);
	json_int(j, "mfu_n", k->nmfu);
	ipw_json_num(j, "mbu", k->mbu);
	json_int(j, "mbu_n", k->nmbu);
	json_cost(j, "usd", &k->usd);
	json_cost(j, "gco2e", &k->gco2e);
	model_file_json(j, "model_file", c->file);
	json_close(j, '}');
}

static void print_json(const struct ipw *w, const struct config *c, const char *group, const struct score *s,
		       const struct costs *costs)
{
	static const char *const repeats[] = { NULL, "first", "last", "mean" };
	struct json_out j = { w->json, 0 };
	int k;

	json_open(&j, NULL, '{');
	json_str(&j, "type", "score");
	ipw_json_config(&j, w, c);
	json_str(&j, "by", ipw_by_name(group ? w->o.by : BY_NONE));
	if (w->o.by != BY_DATASET)
		json_str(&j, "dataset", NULL);
	if (w->o.by != BY_NONE)
		json_str(&j, ipw_by_name(w->o.by), group);
	json_str(&j, "joules", w->o.gross ? "gross" : "share");
	json_raw(&j, "as_paper", as_paper(w, c, s) ? "true" : "false");
	json_str(&j, "repeats", repeats[w->o.repeats]);
	json_int_or_null(&j, "cancelled", group ? -1 : (int64_t)c->cancelled);
	json_int(&j, "rows", s->rows);
	json_int(&j, "n", s->n);
	ipw_json_num(&j, "concurrency_mean", s->concurrency);
	ipw_json_num(&j, "duration_s_mean", s->duration_s);
	ipw_json_num(&j, "ppl_mean", s->ppl);
	for (k = 0; k < METRICS; k++)
		ipw_json_num(&j, metric_names[k], s->value[k]);
	ipw_json_num(&j, "apw", s->value[M_IPW]);
	ipw_json_num(&j, "apj", s->value[M_IPJ]);
	if (w->o.variants)
		json_variants(&j, &s->v);
	if (w->o.costs)
		json_costs(&j, c, costs);
	json_open(&j, "ci95", '{');
	for (k = 0; k < METRICS; k++)
		ipw_json_interval(&j, metric_names[k], s->ci[k]);
	json_close(&j, '}');
	json_close(&j, '}');
	json_line(&j);
}

/* "1.85e-03 [1.6e-03, 2.1e-03]", or "-" */
static char *figure(char *buf, size_t size, const struct score *s, enum metric m)
{
	if (isnan(s->value[m]))
		snprintf(buf, size, "-");
	else if (isnan(s->ci[m].low))
		snprintf(buf, size, "%.4g", s->value[m]);
	else
		snprintf(buf, size, "%.3g [%.3g, %.3g]", s->value[m], s->ci[m].low, s->ci[m].high);
	return buf;
}

static const char *amount(char *buf, size_t size, double v)
{
	snprintf(buf, size, isnan(v) ? "-" : "%.4g", v);
	return buf;
}

static void print_costs(const struct config *c, const struct costs *k)
{
	char a[8][24], text[384];

	if (c->file)
		printf("    %s\n", model_file_text(c->file, text, sizeof(text)));
	printf("    a query: %s FLOPs, %s USD, %s gCO2e; a right answer: %s FLOPs, %s USD, %s gCO2e\n",
	       amount(a[0], 24, k->flops.mean), amount(a[1], 24, k->usd.mean), amount(a[2], 24, k->gco2e.mean),
	       amount(a[3], 24, k->flops.per_right), amount(a[4], 24, k->usd.per_right),
	       amount(a[5], 24, k->gco2e.per_right));
	printf("    %s FLOPs a joule, MFU %s %%, MBU %s %%\n", amount(a[0], 24, k->flops_per_j),
	       amount(a[1], 24, 100 * k->mfu), amount(a[2], 24, 100 * k->mbu));
}

/* Columns that names take. A longer one has a line of its own. */
static int names_width(const struct ipw *w)
{
	char title[256];
	int i, n, width = 30;

	for (i = 0; i < w->n; i++) {
		n = (int)strlen(ipw_title(w, w->config[i], title, sizeof(title)));
		width = n > width && n <= NAME_MOST ? n : width;
	}
	return width;
}

static void print_text(const struct ipw *w, const struct config *c, const char *group, const struct score *s,
		       const struct costs *k)
{
	char a[5][16], m[4][64], title[256];
	int width = names_width(w);

	ipw_title(w, c, title, sizeof(title));
	if ((int)strlen(title) > width)
		printf("%s\n%*s ", title, width, "");
	else
		printf("%-*s ", width, title);
	if (w->o.by)
		printf("%-12.12s ", !group ? "" : *group ? group : "not given");
	printf("%7u %4s %5s %5s %5s %5s  %-27s %s", s->n, fmt3(a[0], 16, s->concurrency),
	       fmt3(a[1], 16, 100 * s->value[M_ACC]), fmt3(a[2], 16, s->value[M_POWER]),
	       fmt3(a[3], 16, s->value[M_ENERGY]), fmt3(a[4], 16, s->duration_s), figure(m[0], 64, s, M_IPW),
	       figure(m[1], 64, s, M_IPJ));
	if (!isnan(s->ppl))
		printf("  PPW %s  PPJ %s", figure(m[2], 64, s, M_PPW), figure(m[3], 64, s, M_PPJ));
	printf("\n");
	if (w->o.variants)
		printf("    of the run: %.4g W, IPW %.4g, IPJ %.4g; normalized: IPW %.4g, IPJ %.4g\n",
		       s->v.power_w_total, s->v.ipw_total, s->v.ipj_total, s->v.ipw_normalized, s->v.ipj_normalized);
	if (w->o.costs)
		print_costs(c, k);
}

static void head(const struct ipw *w)
{
	printf("%-*s ", names_width(w), "MODEL@HARDWARE (SCOPE)");
	if (w->o.by)
		printf("%-12s ", ipw_by_name(w->o.by));
	printf("%7s %4s %5s %5s %5s %5s  %-27s %s\n", "N", "CONC", "ACC%", "W", "J", "S", "IPW, 1/W [95 %]",
	       "IPJ, 1/J [95 %]");
}

static void foot(const struct ipw *w)
{
	printf("\n  means over queries%s; joules are each query's %s; the paper's: gross, accelerator, "
	       "concurrency 1\n",
	       w->o.repeats == REPEATS_MEAN ? ", each the mean of its repeats" : "",
	       w->o.gross ? "share and its part of the idle power (gross)" : "share");
}

static int score_one(const struct ipw *w, const struct config *c, const uint32_t *group, uint32_t which)
{
	struct score_opts o = { w->o.variants, w->o.draws, w->o.seed };
	const char *name = group ? results_name(&w->r, which) : NULL;
	struct costs k;
	struct score s;
	int err = score_of(c, group, which, &o, &s);

	if (err || !s.rows)
		return err;
	if (w->o.costs)
		ipw_costs(w, c, group, which, &k);
	(w->json ? print_json : print_text)(w, c, name, &s, &k);
	return 0;
}

/* The whole, then each group that there is. */
static int score_config(const struct ipw *w, const struct config *c, const uint32_t *group)
{
	uint8_t *seen = calloc(w->r.names.n, 1);
	uint32_t i;
	int err = seen ? 0 : -ENOMEM;

	if (!err)
		err = score_one(w, c, NULL, 0);
	for (i = 0; group && i < c->n && !err; i++)
		seen[group[config_query(c, i)]] = 1;
	for (i = 0; group && i < w->r.names.n && !err; i++)
		if (seen[i])
			err = score_one(w, c, group, i);
	free(seen);
	return err;
}

static int score_all(const struct ipw *w)
{
	uint32_t *group = w->o.by ? malloc((w->r.nquery + 1u) * sizeof(*group)) : NULL, q;
	int i, err = w->o.by && !group ? -ENOMEM : 0;

	for (q = 0; group && q < w->r.nquery; q++)
		group[q] = ipw_group(w, q);
	if (!w->json)
		head(w);
	for (i = 0; i < w->n && !err; i++)
		err = score_config(w, w->config[i], group);
	if (!w->json)
		foot(w);
	free(group);
	return err;
}

/* A file of the leaderboard's is of one configuration. */
static int submit(const struct ipw *w)
{
	struct score s;
	char *text = NULL;
	int err;

	if (w->n != 1) {
		say("a leaderboard's file is of one model on one hardware, and here are %d (--pair chooses)", w->n);
		return -EINVAL;
	}
	err = score_of(w->config[0], NULL, 0, &(struct score_opts){ 0 }, &s);
	if (!err && isnan(s.value[M_ACC])) {
		say("there are no verdicts: a leaderboard's file needs them");
		return -ENODATA;
	}
	if (!err)
		err = leaderboard(w, w->config[0], &s, &text);
	if (err)
		say("cannot score: %s", strerror(-err));
	else
		puts(text);
	if (!err && !as_paper(w, w->config[0], &s))
		say("these are not figures as the paper's: gross joules, of the accelerator, at a concurrency of 1");
	free(text);
	return err;
}

int cmd_score(int argc, char **argv)
{
	int status, i, err = 0;
	struct ipw w;

	if (ipw_open(&w, IPW_SCORE, COLUMNS, argc, argv, &status))
		return status;
	for (i = 0; i < w.n; i++)
		err |= ipw_lacking(&w, w.config[i]);
	if (!err && w.o.leaderboard) {
		err = submit(&w);
	} else if (!err) {
		err = score_all(&w);
		if (err)
			say("cannot score: %s", strerror(-err));
	}
	return ipw_close(&w) || err ? 1 : 0;
}
