// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace route: what sending queries to small local models saves against sending all to the cloud. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/ipw/compare.h"
#include "userspace/ipw/options.h"
#include "userspace/ipw/route.h"

#define COLUMNS (WANT(COL_ENERGY) | WANT(COL_FLOPS) | WANT(COL_COST))
#define SWEEP   20 /* steps of a sweep */
#define BAR     50 /* columns of the plot */

static const char *const cost_names[ROUTE_COSTS] = { "energy_saving", "compute_saving", "cost_saving" };

static void list(const struct config *const *c, int n, const struct ipw *w, const char *what)
{
	char name[256];
	int i;

	for (i = 0; i < n; i++)
		say("%s %s", ipw_title(w, c[i], name, sizeof(name)), what);
}

/* --- who takes part ----------------------------------------------------------------------------------------------- */

static enum model_kind kind_of(const struct config *c)
{
	return c->known ? c->known->kind : MODEL_UNKNOWN;
}

static int find_cloud(const struct ipw *w, const struct config **ret)
{
	int i, n = 0;

	if (w->o.cloud) {
		*ret = ipw_find(w, w->o.cloud);
		return *ret ? 0 : -ENOENT;
	}
	for (i = 0; i < w->n; i++)
		if (kind_of(w->config[i]) == MODEL_CLOUD) {
			*ret = w->config[i];
			n++;
		}
	if (n == 1)
		return 0;
	say("there are %d models that are known as cloud models: --cloud names the one that all would go to", n);
	return -EINVAL;
}

static int by_size(const void *a, const void *b)
{
	double x = (*(const struct config *const *)a)->known->size_b;
	double y = (*(const struct config *const *)b)->known->size_b;

	return x < y ? -1 : x > y;
}

/* The local models that are known, by size. */
static int find_local(const struct ipw *w, struct route *r)
{
	const struct config *c;
	int i;

	for (i = 0; i < w->n && r->pool < ROUTE_POOL; i++) {
		c = w->config[i];
		if (kind_of(c) == MODEL_UNKNOWN && c != r->model[ROUTE_POOL])
			list(&c, 1, w, "is not known to be local or cloud: left out (--pool, --models)");
		if (kind_of(c) != MODEL_LOCAL || c == r->model[ROUTE_POOL])
			continue;
		if (isnan(c->known->size_b)) {
			list(&c, 1, w, "is of unknown size (--pool gives an order, --models sizes)");
			return -EINVAL;
		}
		r->model[r->pool++] = c;
	}
	qsort(r->model, (size_t)r->pool, sizeof(*r->model), by_size);
	return 0;
}

static int find_pool(const struct ipw *w, struct route *r)
{
	const struct config *cloud = NULL, *c;
	int i, k = 0, err = find_cloud(w, &cloud);

	r->model[ROUTE_POOL] = cloud;
	if (!err && !w->o.npool)
		err = find_local(w, r);
	for (i = 0; i < w->o.npool && !err; i++) {
		c = ipw_find(w, w->o.pool[i]);
		for (k = 0; c && k < r->pool && r->model[k] != c; k++)
			;
		err = c ? 0 : -ENOENT;
		if (c == cloud || k < r->pool) {
			say("'%s' cannot be in the pool: it is the cloud, or there twice", w->o.pool[i]);
			err = -EINVAL;
		}
		r->model[r->pool++] = c;
	}
	if (!err && !r->pool) {
		say("there is no local model (--pool names those that are)");
		err = -EINVAL;
	}
	r->model[r->pool] = cloud;
	return err;
}

/* --- what may be said --------------------------------------------------------------------------------------------- */

static void say_unknown(const struct ipw *w, const struct route *r)
{
	static const char *const why[ROUTE_COSTS] = {
		"has no energy: no energy is saved that is known",
		"has no FLOPs, and its tokens or active parameters are not known: no compute",
		"has no cost, and its tokens or price are not known: no cost",
	};
	int m, k;

	for (k = 0; k < ROUTE_COSTS; k++)
		for (m = 0; m <= r->pool; m++)
			if (!r->model[m]->col[route_column((enum route_cost)k)])
				list(&r->model[m], 1, w, why[k]);
}

/* Joules of one scope, at one concurrency: else they may not be set off against each other. */
static int check_alike(const struct ipw *w, const struct route *r)
{
	const struct config *cloud = r->model[r->pool];
	double conc = cloud->concurrency.sum / cloud->concurrency.n;
	int m, err = 0;

	for (m = 0; r->known[ROUTE_ENERGY] && !w->o.allow_unlike && m < r->pool; m++) {
		if (r->model[m]->scope != cloud->scope)
			list(&r->model[m], 1, w, "has joules of another scope than the cloud (--allow-unlike)");
		else if (unlike_concurrency(r->model[m]->concurrency.sum / r->model[m]->concurrency.n, conc))
			list(&r->model[m], 1, w, "ran at another concurrency than the cloud (--allow-unlike)");
		else
			continue;
		err = -EINVAL;
	}
	return err;
}

static int check_rows(const struct ipw *w, const struct route *r)
{
	int m;

	for (m = 0; m <= r->pool; m++)
		if (r->model[m]->n > r->common)
			say("%u results of %s@%s are for queries that not all have: left out",
			    r->model[m]->n - r->common, results_name(&w->r, r->model[m]->model),
			    results_name(&w->r, r->model[m]->hardware));
	if (r->lacking)
		say("%u of %u queries lack a verdict, or a cost that others have%s", r->lacking, r->common,
		    w->o.allow_missing ? ": left out" : " (--allow-missing leaves them out)");
	if (!r->common)
		say("there is no query that all have");
	else if (!r->n)
		say("there is no query with all that is needed");
	return !r->n || (r->lacking && !w->o.allow_missing) ? -ENODATA : 0;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

/* A line: a pool, and how right the router is. */
struct line {
	int               pool;
	double            accuracy;
	struct route_sums sums;
	struct saving     s;
};

static int estimated(const struct route *r, int pool)
{
	uint32_t n = r->model[r->pool]->estimated;
	int k;

	for (k = 0; k < pool; k++)
		n += r->model[k]->estimated;
	return n > 0;
}

static void print_json(const struct ipw *w, const struct route *r, const struct line *l)
{
	struct json_out j = { w->json, 0 };
	int k;

	json_open(&j, NULL, '{');
	json_str(&j, "type", "route");
	json_open(&j, "pool", '[');
	for (k = 0; k < l->pool; k++)
		json_str(&j, NULL, results_name(&w->r, r->model[k]->model));
	json_close(&j, ']');
	json_str(&j, "cloud", results_name(&w->r, r->model[r->pool]->model));
	ipw_json_num(&j, "router_accuracy", l->accuracy);
	json_raw(&j, "estimated", estimated(r, l->pool) ? "true" : "false");
	json_str(&j, "fallback", w->o.pay ? "pay" : "free");
	json_str(&j, "joules", w->o.gross ? "gross" : "share");
	json_int(&j, "n", r->n);
	json_int(&j, "lacking", r->lacking);
	ipw_json_num(&j, "coverage", (double)l->sums.local / r->n);
	for (k = 0; k < ROUTE_COSTS; k++)
		ipw_json_num(&j, cost_names[k], l->s.closed[k]);
	json_open(&j, "simulated", '{');
	for (k = 0; k < ROUTE_COSTS; k++)
		ipw_json_num(&j, cost_names[k], l->s.simulated[k]);
	json_close(&j, '}');
	json_open(&j, "ci95", '{');
	for (k = 0; k < ROUTE_COSTS; k++)
		ipw_json_interval(&j, cost_names[k], l->s.ci[k]);
	json_close(&j, '}');
	json_close(&j, '}');
	json_line(&j);
}

static void print_cell(double v, struct interval ci, const char *end)
{
	char text[64];

	if (isnan(v))
		snprintf(text, sizeof(text), "-");
	else if (isnan(ci.low))
		snprintf(text, sizeof(text), "%.2f", 100 * v);
	else
		snprintf(text, sizeof(text), "%.2f [%.2f, %.2f]", 100 * v, 100 * ci.low, 100 * ci.high);
	printf("  %-*s%s", *end ? 0 : 24, text, end);
}

static void print_text(const struct ipw *w, const struct route *r, const struct line *l)
{
	int k;

	printf("%2d to %-24.24s %5.2f", l->pool,
	       results_name(&w->r, r->model[l->pool - 1]->model), l->accuracy);
	for (k = 0; k < ROUTE_COSTS; k++)
		print_cell(l->s.closed[k], l->s.ci[k], k == ROUTE_COSTS - 1 ? "\n" : "");
}

/* The first cost that is known, as a bar: what is saved to the right of 0, what is lost to the left of it as '<'. */
static void print_bar(const struct ipw *w, const struct route *r, const struct line *l)
{
	char bar[BAR + 1];
	int k, n;

	for (k = 0; k < ROUTE_COSTS - 1 && !r->known[k]; k++)
		;
	n = (int)lround(fabs(l->s.closed[k]) * BAR);
	n = n > BAR ? BAR : n;
	memset(bar, l->s.closed[k] < 0 ? '<' : '#', (size_t)n);
	bar[n] = 0;
	printf("  %4.2f %7.2f %% |%s\n", l->accuracy, 100 * l->s.closed[k], bar);
}

static void head(const struct ipw *w, const struct route *r)
{
	char name[256];
	int m;

	printf("%u queries; all to %s: 0 %% saved; pool:", r->n, ipw_title(w, r->model[r->pool], name, sizeof(name)));
	for (m = 0; m < r->pool; m++)
		printf(" %s", results_name(&w->r, r->model[m]->model));
	printf("\na try that fails is %s; %% saved against the cloud [95 %%]\n\n%-30s %5s  %-24s  %-24s  %s\n",
	       w->o.pay ? "paid for" : "free", "POOL", "RIGHT", "ENERGY", "COMPUTE", "COST");
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static int one(const struct ipw *w, const struct route *r, struct line *l, double accuracy,
	       void (*print)(const struct ipw *w, const struct route *r, const struct line *l))
{
	struct route_opts o = { accuracy, w->o.pay, w->o.draws, w->o.seed };
	int err = route_saving(r, l->pool, &l->sums, &o, &l->s);

	l->accuracy = accuracy;
	if (err)
		say("cannot route: %s", strerror(-err));
	else
		print(w, r, l);
	return err;
}

static int route_all(const struct ipw *w, const struct route *r)
{
	int i, err = 0;
	struct line l;

	if (!w->json)
		head(w, r);
	for (l.pool = w->o.pools ? 1 : r->pool; l.pool <= r->pool && !err; l.pool++) {
		route_sum(r, l.pool, w->o.pay, &l.sums);
		for (i = 0; i < w->o.nrouter && !err; i++)
			err = one(w, r, &l, w->o.router[i], w->json ? print_json : print_text);
	}
	if (!w->o.sweep)
		return err;
	if (!w->json)
		printf("\n  right, %s saved\n", r->known[ROUTE_ENERGY] ? "energy" : r->known[ROUTE_COMPUTE] ?
		       "compute" : "cost");
	for (l.pool = r->pool, i = 0; i <= SWEEP && !err; i++)
		err = one(w, r, &l, (double)i / SWEEP, w->json ? print_json : print_bar);
	return err;
}

int cmd_route(int argc, char **argv)
{
	struct route r = { .pool = 0 };
	int status, err;
	double begin;
	struct ipw w;

	if (ipw_open(&w, IPW_ROUTE, COLUMNS, argc, argv, &status))
		return status;
	begin = ipw_clock_s();
	err = find_pool(&w, &r);
	if (!err) {
		err = route_init(&r);
		if (err)
			say("cannot route: %s", strerror(-err));
	}
	if (!err) {
		say_unknown(&w, &r);
		err = check_alike(&w, &r) | check_rows(&w, &r);
	}
	if (!err)
		err = route_all(&w, &r);
	if (w.o.verbose)
		say("routed in %.3f s", ipw_clock_s() - begin);
	route_release(&r);
	return ipw_close(&w) || err ? 1 : 0;
}
