// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/options.h"

#include "userspace/ipw/leaderboard.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALL   (IPW_SCORE | IPW_COMPARE | IPW_COVER | IPW_ROUTE | IPW_FIT)
#define DRAW  (IPW_SCORE | IPW_COMPARE | IPW_ROUTE)
#define JOULE (DRAW | IPW_FIT)
#define COST  (IPW_SCORE | IPW_ROUTE)

enum { O_JSON = 256, O_CSV, O_BY, O_PAIR, O_DRAWS, O_SEED, O_GROSS, O_REPEATS, O_MISSING, O_UNLIKE, O_MODELS, O_GDP,
       O_VARIANTS, O_CLOUD, O_POOL, O_ROUTER, O_FALLBACK, O_SWEEP, O_POOLS, O_COSTS, O_FILE, O_ATTENTION, O_DEVICES,
       O_DEVICE, O_KWH, O_GRID, O_EMBODIED, O_BOARD, O_FILL };

static const struct arg table[] = {
	{ O_JSON, "json", NULL, "JSON lines on stdout", ALL },
	{ O_CSV, "csv", NULL, "the same as CSV, with a header", ALL },
	{ O_BY, "by", "dataset|category|difficulty|level",
	  "a row for each of these too (level: cover only)", IPW_SCORE | IPW_COVER },
	{ O_PAIR, "pair", "MODEL[@HARDWARE[:SCOPE]]", "only this one, and others so named; in this order", ALL },
	{ O_GROSS, "gross", NULL, "joules with their part of the idle power: gross_j, not energy_j", JOULE },
	{ O_VARIANTS, "variants", NULL, "what else goes by these names, each under its own", IPW_SCORE },
	{ O_BOARD, "leaderboard", NULL, "a file for the paper's leaderboard, of one model on one hardware", IPW_SCORE },
	{ O_FILL, "fill", "NAME=TEXT", "in it: organization, contact_email, task_type, notes, ...", IPW_SCORE },
	{ O_DRAWS, "draws", "N", "bootstrap draws (1000; 0: no intervals)", DRAW },
	{ O_SEED, "seed", "N", "of the draws (1)", DRAW },
	{ O_REPEATS, "repeats", "first|last|mean",
	  "of several results for a query take this one, or their mean (score, compare)", ALL },
	{ O_MISSING, "allow-missing", NULL, "leave out rows that lack what others have, do not refuse",
	  IPW_SCORE | IPW_COMPARE | IPW_ROUTE },
	{ O_UNLIKE, "allow-unlike", NULL, "though scope or concurrency differ", IPW_COMPARE | IPW_ROUTE },
	{ O_MODELS, "models", "FILE", "sizes, prices, local or cloud, instead of the built-in table", ALL },
	{ O_GDP, "gdp", "FILE", "weights of the categories", IPW_COVER },
	{ O_CLOUD, "cloud", "MODEL[@HARDWARE[:SCOPE]]", "what all would go to else (the one cloud model there is)",
	  IPW_ROUTE },
	{ O_POOL, "pool", "NAME,...", "so named, smallest first (the local models, by size)", IPW_ROUTE },
	{ O_ROUTER, "router", "A[,A...]", "accuracies of the router (1,0.8,0.6)", IPW_ROUTE },
	{ O_FALLBACK, "fallback", "free|pay", "whether a try that fails is paid for (free)", IPW_ROUTE },
	{ O_POOLS, "pools", NULL, "each pool: the smallest model, the two smallest, ...", IPW_ROUTE },
	{ O_SWEEP, "sweep", NULL, "accuracies from 0 to 1, with a plot", IPW_ROUTE },
	{ O_COSTS, "costs", NULL, "FLOPs, utilisation, money and CO2e too", IPW_SCORE },
	{ O_FILE, "model-file", "MODEL=PATH", "its GGUF file or safetensors folder, for FLOPs", COST },
	{ O_ATTENTION, "attention", NULL, "count attention in the FLOPs of those", COST },
	{ O_DEVICES, "devices", "FILE", "peaks of devices, instead of the built-in table", IPW_SCORE },
	{ O_DEVICE, "device", "[N x ]NAME", "what computes (the GPUs of the hardware, or its CPUs)", IPW_SCORE },
	{ O_KWH, "kwh-price", "USD", "of a kWh: what is no cloud model costs its joules", COST },
	{ O_GRID, "grid", "G", "gCO2e that a kWh has", IPW_SCORE },
	{ O_EMBODIED, "embodied", "G", "gCO2e of making the hardware, for a query", IPW_SCORE },
	{ 'v', "verbose", NULL, "say more", ALL },
	{ ARG_HELP, "help", NULL, "this text", ALL },
	{ ARG_VERSION, "version", NULL, "print the version", ALL },
};

static const struct {
	int bit;
	const char *usage;
} usages[] = {
	{ IPW_SCORE, "ipw-trace score [options] FILE..." },
	{ IPW_COMPARE, "ipw-trace compare [options] FILE..." },
	{ IPW_COVER, "ipw-trace cover [options] FILE..." },
	{ IPW_ROUTE, "ipw-trace route [options] FILE..." },
	{ IPW_FIT, "ipw-trace fit [options] FILE..." },
};

/* The index of s among n words, or -EINVAL. */
static int one_of(const char *s, const char *const *words, int n)
{
	int i;

	for (i = 0; i < n && strcmp(s, words[i]); i++)
		;
	return i < n ? i : -EINVAL;
}

static int take_routers(struct ipw_opts *o, const char *s)
{
	char *end;
	double v;

	for (;; s = end + 1) {
		v = strtod(s, &end);
		if (end == s || !(v >= 0 && v <= 1) || (*end && *end != ','))
			return -EINVAL;
		if (o->nrouter == IPW_ROUTERS)
			return -E2BIG;
		o->router[o->nrouter++] = v;
		if (!*end)
			return 0;
	}
}

/* s stays as long as the command runs: it is cut up. */
static int take_pool(struct ipw_opts *o, char *s)
{
	char *name;

	while ((name = strsep(&s, ","))) {
		if (!*name)
			return -EINVAL;
		if (o->npool == IPW_PAIRS)
			return -E2BIG;
		o->pool[o->npool++] = name;
	}
	return 0;
}

static int take_count(const char *s, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return end == s || *end || errno || *ret > max || strpbrk(s, "+-") ? -EINVAL : 0;
}

static int take_by(struct ipw_opts *o, const char *val)
{
	enum by by = BY_DATASET;

	while (by <= BY_LEVEL && strcmp(val, ipw_by_name(by)))
		by++;
	o->by = by;
	return by <= BY_LEVEL ? 0 : -EINVAL;
}

static int take_repeats(struct ipw_opts *o, const char *val)
{
	static const char *const words[] = { "first", "last", "mean" };
	int i = one_of(val, words, 3);

	o->repeats = REPEATS_FIRST + (i > 0 ? i : 0);
	return i < 0 ? i : 0;
}

static int take_fallback(struct ipw_opts *o, const char *val)
{
	static const char *const words[] = { "free", "pay" };

	o->pay = one_of(val, words, 2);
	return o->pay < 0 ? -EINVAL : 0;
}

static int take_valued(struct ipw_opts *o, int id, const char *val)
{
	uint64_t v = 0;
	int err;

	switch (id) {
	case O_BY:
		return take_by(o, val);
	case O_PAIR:
		if (o->npair == IPW_PAIRS)
			return -E2BIG;
		o->pair[o->npair++] = val;
		return 0;
	case O_FILL:
		if (o->nfill == IPW_FILLS)
			return -E2BIG;
		o->fill[o->nfill++] = val;
		return leaderboard_field(val);
	case O_DRAWS:
		err = take_count(val, 1000000, &v);
		o->draws = (unsigned)v;
		return err;
	case O_SEED:
		return take_count(val, UINT64_MAX, &o->seed);
	case O_REPEATS:
		return take_repeats(o, val);
	case O_POOL:
		return take_pool(o, (char *)val);
	case O_ROUTER:
		return take_routers(o, val);
	case O_FALLBACK:
		return take_fallback(o, val);
	case O_FILE:
		if (o->nfile == IPW_PAIRS)
			return -E2BIG;
		o->file[o->nfile++] = val;
		return 0;
	case O_KWH:
		return ipw_take_amount(val, &o->kwh_usd);
	case O_GRID:
		return ipw_take_amount(val, &o->grid_g);
	case O_EMBODIED:
		return ipw_take_amount(val, &o->embodied_g);
	}
	return -EINVAL;
}

static int take(void *ctx, int id, const char *val)
{
	struct ipw_opts *o = ctx;
	const struct { int id, *flag; } flags[] = {
		{ O_JSON, &o->json }, { O_CSV, &o->csv }, { O_BOARD, &o->leaderboard },
		{ O_GROSS, &o->gross },
		{ O_VARIANTS, &o->variants }, { O_SWEEP, &o->sweep },
		{ O_POOLS, &o->pools }, { O_MISSING, &o->allow_missing }, { O_UNLIKE, &o->allow_unlike },
		{ 'v', &o->verbose }, { O_COSTS, &o->costs }, { O_ATTENTION, &o->attention },
	};
	const struct { int id; const char **text; } texts[] = {
		{ O_MODELS, &o->models }, { O_GDP, &o->gdp }, { O_CLOUD, &o->cloud }, { O_DEVICES, &o->devices },
		{ O_DEVICE, &o->device },
	};
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (id != flags[i].id)
			continue;
		*flags[i].flag = 1;
		return 0;
	}
	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (id != texts[i].id)
			continue;
		*texts[i].text = val;
		return 0;
	}
	return take_valued(o, id, val);
}

int ipw_parse(struct ipw_opts *o, int command, int argc, char **argv)
{
	struct args a = { table, sizeof(table) / sizeof(*table), command, "" };
	size_t i;
	int err;

	for (i = 0; i < sizeof(usages) / sizeof(*usages); i++)
		if (usages[i].bit == command)
			a.usage = usages[i].usage;
	*o = (struct ipw_opts){ .draws = 1000, .seed = 1, .kwh_usd = NAN, .grid_g = NAN, .embodied_g = NAN };
	err = args_parse(&a, argc, argv, take, o);
	if (err)
		return err;
	o->files = argv + optind;
	if (o->by == BY_LEVEL && command != IPW_COVER) {
		say("only cover knows levels: they come of which models solve a query");
		return EXIT_USAGE;
	}
	if (ipw_check_costs(o, command))
		return EXIT_USAGE;
	if (o->repeats == REPEATS_MEAN && !(command & (IPW_SCORE | IPW_COMPARE))) {
		say("only score and compare take the mean of repeats: elsewhere a verdict is right or wrong");
		return EXIT_USAGE;
	}
	if (o->json + o->csv + o->leaderboard > 1) {
		say("--json, --csv and --leaderboard exclude each other");
		return EXIT_USAGE;
	}
	if (!*o->files) {
		say("no file of results is named ('-': standard input)");
		args_usage(&a, stderr);
		return EXIT_USAGE;
	}
	if (!o->nrouter)
		memcpy(o->router, (double[]){ 1, 0.8, 0.6 }, (size_t)(o->nrouter = 3) * sizeof(double));
	return 0;
}
