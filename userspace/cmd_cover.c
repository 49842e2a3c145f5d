// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace cover: which share of the queries which models solve, alone and together. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/ipw/cover.h"
#include "userspace/ipw/options.h"

/* A line: a model, or a pool of them. */
struct pool {
	const char          *name;   /* model, best-of-local, ... */
	const struct config *config; /* of a model */
	uint64_t             mask;
	uint32_t             solved, gain, alone;
	double               gdp_sum, gdp_weighted;
};

struct covering {
	struct ipw     *w;
	struct cover    v;
	struct weights  gdp;
	struct pool     pool[COVER_MODELS + 3]; /* models by size, then the pools */
	int             npool;
	uint32_t       *group;    /* of --by, [v.n] */
	uint32_t       *category; /* [v.n] */
	uint32_t        ngroup;
	uint32_t        no_weight; /* queries in categories that have none */
};

static double size_of(const struct config *c)
{
	return c->known ? c->known->size_b : NAN;
}

/* Smallest first; those of unknown size last, as they came. */
static void sort_by_size(const struct config **c, int n)
{
	const struct config *x;
	int i, k;

	for (i = 1; i < n; i++) {
		x = c[i];
		for (k = i; k && (isnan(size_of(c[k - 1])) ? !isnan(size_of(x)) : size_of(c[k - 1]) > size_of(x)); k--)
			c[k] = c[k - 1];
		c[k] = x;
	}
}

static uint64_t kind_mask(const struct ipw *w, enum model_kind kind)
{
	uint64_t mask = 0;
	int k;

	for (k = 0; k < w->n; k++)
		mask |= (uint64_t)(w->config[k]->known && w->config[k]->known->kind == kind) << k;
	return mask;
}

static uint32_t solved_by(const struct cover *v, uint64_t mask)
{
	uint32_t n = 0, solved = 0;

	cover_count(v, mask, NULL, &n, &solved);
	return solved;
}

static void add_pool(struct covering *g, const char *name, uint64_t mask)
{
	if (mask)
		g->pool[g->npool++] = (struct pool){ name, NULL, mask, solved_by(&g->v, mask), 0, 0, NAN, NAN };
}

static void make_pools(struct covering *g)
{
	uint64_t all = 0;
	uint32_t before = 0, now;
	int k;

	for (k = 0; k < g->w->n; k++) {
		all |= 1ull << k;
		now = solved_by(&g->v, all);
		g->pool[g->npool++] = (struct pool){ "model", g->w->config[k], 1ull << k,
						     solved_by(&g->v, 1ull << k), now - before,
						     cover_alone(&g->v, k), NAN, NAN };
		before = now;
	}
	add_pool(g, "best-of-local", kind_mask(g->w, MODEL_LOCAL));
	add_pool(g, "best-of-cloud", kind_mask(g->w, MODEL_CLOUD));
	add_pool(g, "best-of-all", all);
}

/* Coverage of each category by its weight: the sum, and the mean over those that have one. */
static int weigh(struct covering *g, struct pool *p)
{
	uint32_t names = g->w->r.names.n, *n = calloc(2u * names, sizeof(*n)), i;
	double sum = 0, all = 0, weight;

	if (!n)
		return -ENOMEM;
	cover_count(&g->v, p->mask, g->category, n, n + names);
	g->no_weight = 0;
	for (i = 0; i < names; i++) {
		if (!n[i])
			continue;
		weight = weights_find(&g->gdp, results_name(&g->w->r, i));
		if (isnan(weight)) {
			g->no_weight += n[i];
			continue;
		}
		sum += weight * n[names + i] / n[i];
		all += weight;
	}
	free(n);
	p->gdp_sum = all > 0 ? sum : NAN;
	p->gdp_weighted = sum / all;
	return 0;
}

static int make_groups(struct covering *g)
{
	const struct ipw *w = g->w;
	double size[COVER_MODELS];
	uint32_t i;
	int k;

	g->group = malloc((g->v.n + 1u) * sizeof(*g->group));
	g->category = malloc((g->v.n + 1u) * sizeof(*g->category));
	if (!g->group || !g->category)
		return -ENOMEM;
	for (k = 0; k < w->n; k++)
		size[k] = size_of(w->config[k]);
	for (i = 0; i < g->v.n; i++) {
		g->category[i] = w->r.query[g->v.query[i]].category;
		g->group[i] = ipw_group(w, g->v.query[i]);
	}
	if (w->o.by == BY_LEVEL)
		cover_levels(&g->v, size, w->n, g->group);
	g->ngroup = w->o.by == BY_LEVEL ? COVER_LEVELS : w->r.names.n;
	return 0;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

static const char *group_name(const struct covering *g, uint32_t i)
{
	static const char *const levels[COVER_LEVELS] = { "L1", "L2", "L3", "L4", "L5", "unknown" };

	return g->w->o.by == BY_LEVEL ? levels[i] : results_name(&g->w->r, i);
}

static void print_json(const struct covering *g, const struct pool *p, const char *group, uint32_t n, uint32_t solved)
{
	struct json_out j = { g->w->json, 0 };

	json_open(&j, NULL, '{');
	json_str(&j, "type", "cover");
	json_str(&j, "pool", p->name);
	json_str(&j, "model", p->config ? results_name(&g->w->r, p->config->model) : NULL);
	json_str(&j, "hardware", p->config ? results_name(&g->w->r, p->config->hardware) : NULL);
	json_str(&j, "by", ipw_by_name(group ? g->w->o.by : BY_NONE));
	if (g->w->o.by != BY_NONE)
		json_str(&j, ipw_by_name(g->w->o.by), group);
	json_int(&j, "n", n);
	json_int(&j, "solved", solved);
	ipw_json_num(&j, "coverage", (double)solved / n);
	ipw_json_interval(&j, "ci95", share_interval(solved, n));
	if (!group) {
		json_int(&j, "left_out", g->v.left_out);
		ipw_json_num(&j, "gain", p->config ? (double)p->gain / n : NAN);
		ipw_json_num(&j, "alone", p->config ? (double)p->alone / n : NAN);
		ipw_json_num(&j, "gdp_weighted_acc", p->gdp_weighted);
		ipw_json_num(&j, "gdp_sum", p->gdp_sum);
	}
	json_close(&j, '}');
	json_line(&j);
}

static const char *title(const struct covering *g, const struct pool *p, char *buf, size_t size)
{
	return p->config ? ipw_title(g->w, p->config, buf, size) : p->name;
}

static void print_text(const struct covering *g, const struct pool *p, int whole, uint32_t n, uint32_t solved)
{
	struct interval ci = share_interval(solved, n);
	char name[256];

	printf("  %-36s %7.2f  [%.2f, %.2f]", title(g, p, name, sizeof(name)), 100.0 * solved / n, 100 * ci.low,
	       100 * ci.high);
	if (whole && p->config)
		printf("  %+.2f, alone %.2f", 100.0 * p->gain / n, 100.0 * p->alone / n);
	if (whole && !isnan(p->gdp_weighted))
		printf("  by weight %.2f, sum %.4g", 100 * p->gdp_weighted, p->gdp_sum);
	printf("\n");
}

static void print_all(const struct covering *g)
{
	const struct pool *p;

	if (!g->w->json)
		printf("%u queries that all have a verdict of, %u left out; %% solved [95 %%], gain over the smaller "
		       "ones\n\n", g->v.n, g->v.left_out);
	for (p = g->pool; p < g->pool + g->npool; p++) {
		if (g->w->json)
			print_json(g, p, NULL, g->v.n, p->solved);
		else
			print_text(g, p, 1, g->v.n, p->solved);
	}
}

static int print_groups(const struct covering *g)
{
	uint32_t *n = calloc((size_t)2 * (size_t)g->npool * g->ngroup + 1, sizeof(*n)), *at, i;
	const char *name;
	int k;

	if (!n)
		return -ENOMEM;
	for (k = 0; k < g->npool; k++) {
		at = n + (size_t)2 * (size_t)k * g->ngroup;
		cover_count(&g->v, g->pool[k].mask, g->group, at, at + g->ngroup);
	}
	for (i = 0; i < g->ngroup; i++) {
		if (!n[i])
			continue;
		name = group_name(g, i);
		if (!g->w->json)
			printf("\n%s %s: %u queries\n", ipw_by_name(g->w->o.by), *name ? name : "not given", n[i]);
		for (k = 0, at = n + i; k < g->npool; k++, at += (size_t)2 * g->ngroup) {
			if (g->w->json)
				print_json(g, &g->pool[k], name, at[0], at[g->ngroup]);
			else
				print_text(g, &g->pool[k], 0, at[0], at[g->ngroup]);
		}
	}
	free(n);
	return 0;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static int load_gdp(struct covering *g)
{
	unsigned line;
	int err = g->w->o.gdp ? weights_load(&g->gdp, g->w->o.gdp, &line) : 0;

	if (err == -EBADMSG)
		say("cannot read '%s': line %u is not \"CATEGORY WEIGHT\", by a tab", g->w->o.gdp, line);
	else if (err)
		say("cannot read '%s': %s", g->w->o.gdp, strerror(-err));
	return err;
}

static void say_unknown(const struct covering *g)
{
	char name[256];
	int k;

	for (k = 0; k < g->w->n; k++) {
		const struct model *m = g->w->config[k]->known;

		if (!m || m->kind == MODEL_UNKNOWN)
			say("%s: not known to be local or cloud: in neither pool (--models)",
			    ipw_title(g->w, g->w->config[k], name, sizeof(name)));
		if (g->w->o.by == BY_LEVEL && isnan(size_of(g->w->config[k])))
			say("%s: of unknown size: what it alone solves has no level (--models)",
			    ipw_title(g->w, g->w->config[k], name, sizeof(name)));
	}
	if (g->w->o.gdp && g->no_weight)
		say("%u queries are of categories that '%s' has no weight for: not in the weighted figures",
		    g->no_weight, g->w->o.gdp);
}

static int cover_all(struct covering *g)
{
	int err = cover_init(&g->v, g->w->config, g->w->n, g->w->r.nquery), k;

	if (!err && !g->v.n) {
		say("there is no query that all have a verdict of (--pair chooses)");
		return -ENODATA;
	}
	if (!err)
		err = make_groups(g);
	if (!err)
		make_pools(g);
	for (k = 0; g->w->o.gdp && k < g->npool && !err; k++)
		err = weigh(g, &g->pool[k]);
	if (!err) {
		say_unknown(g);
		print_all(g);
	}
	if (!err && g->w->o.by != BY_NONE)
		err = print_groups(g);
	if (err)
		say("cannot count: %s", strerror(-err));
	return err;
}

int cmd_cover(int argc, char **argv)
{
	struct covering g = { 0 };
	double begin;
	struct ipw w;
	int status, err;

	if (ipw_open(&w, IPW_COVER, 0, argc, argv, &status))
		return status;
	begin = ipw_clock_s();
	g.w = &w;
	err = load_gdp(&g);
	if (!err && w.n > COVER_MODELS) {
		say("more than %d models (--pair chooses)", COVER_MODELS);
		err = -E2BIG;
	}
	sort_by_size(w.config, w.n);
	if (!err)
		err = cover_all(&g);
	if (w.o.verbose)
		say("counted in %.3f s", ipw_clock_s() - begin);
	cover_release(&g.v);
	weights_release(&g.gdp);
	free(g.group);
	free(g.category);
	return ipw_close(&w) || err ? 1 : 0;
}
