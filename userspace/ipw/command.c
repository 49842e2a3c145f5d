// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the commands on results begin and end with. */
#include "userspace/ipw/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/ipw/leaderboard.h"
#include "userspace/util/csv.h"

double ipw_clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void say_problems(const struct problems *p, const char *what)
{
	const struct problem *q;

	for (q = p->first; q < p->first + (p->n < RESULTS_PROBLEMS ? p->n : RESULTS_PROBLEMS); q++)
		say("%s:%llu: %s", q->file, (unsigned long long)q->line, q->why);
	if (p->n)
		say("%llu %s", (unsigned long long)p->n, what);
}

static void say_read(const struct ipw *w)
{
	const struct results *r = &w->r;
	const struct problems *d = &r->disagree;

	say_problems(&r->malformed, "malformed rows are left out");
	say_problems(&r->odd, "values that cannot be (not above 0, NaN, infinite) are taken as unknown");
	if (d->n)
		say("%llu rows give a query another %s than before (the first in %s:%llu): the one before stands",
		    (unsigned long long)d->n, d->first->why, d->first->file, (unsigned long long)d->first->line);
	if (r->other_joules && r->want & WANT(COL_ENERGY))
		say(r->gross ? "%llu results have no gross joules, but a share (without --gross)" :
		    "%llu results have no share of the joules, but gross ones (--gross)",
		    (unsigned long long)r->other_joules);
	if (r->cancelled)
		say("%llu results are of queries that were cancelled: they count on neither side",
		    (unsigned long long)r->cancelled);
	if (r->others && w->o.verbose)
		say("%llu rows of other types", (unsigned long long)r->others);
	if (w->o.verbose)
		say("read %llu rows, %.1f MB in %.3f s (%.0f MB/s): %u queries, %d configurations",
		    (unsigned long long)r->rows, (double)r->bytes / 1e6, w->read_s, (double)r->bytes / 1e6 / w->read_s,
		    r->nquery, r->nconfig);
}

static void say_repeats(const struct ipw *w)
{
	const struct results *r = &w->r;
	char a[256];

	say("%llu results are for a query and a configuration that had one before: '%s' of %s is the first "
	    "(--repeats says which to take)", (unsigned long long)r->repeated,
	    results_id(r, r->repeated_query), ipw_title(w, r->config[r->repeated_config], a, sizeof(a)));
}

static int read_files(struct ipw *w)
{
	double begin = ipw_clock_s();
	char **f;
	int err;

	for (f = w->o.files; *f; f++) {
		err = results_file(&w->r, *f);
		if (err) {
			say("cannot read '%s': %s", *f, strerror(-err));
			return err;
		}
	}
	err = results_finish(&w->r);
	w->read_s = ipw_clock_s() - begin;
	say_read(w);
	if (err == -EEXIST)
		say_repeats(w);
	else if (err)
		say("cannot sort the results: %s", strerror(-err));
	else if (!w->r.nconfig)
		say("there are no results");
	return err ? err : w->r.nconfig ? 0 : -ENODATA;
}

static int load_models(struct ipw *w)
{
	unsigned line;
	int err = models_load(&w->models, w->o.models, &line);

	if (err == -EBADMSG)
		say("cannot read '%s': line %u is not \"MODEL SIZE ACTIVE IN_USD OUT_USD local|cloud|-\", by tabs",
		    w->o.models, line);
	else if (err)
		say("cannot read '%s': %s", w->o.models ? w->o.models : "the table of models", strerror(-err));
	return err;
}

static int choose(struct ipw *w)
{
	int i, k;

	w->n = w->r.nconfig;
	w->config = malloc((size_t)(w->n + IPW_PAIRS) * sizeof(*w->config));
	if (!w->config) {
		say("cannot choose: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (i = 0; i < w->n; i++)
		w->config[i] = w->r.config[i];
	for (i = 0; i < w->o.npair; i++) {
		const struct config *c = ipw_find(w, w->o.pair[i]);

		for (k = 0; c && k < i && w->config[w->n + k] != c; k++)
			;
		if (c && k < i)
			say("'%s' is '%s' once more", w->o.pair[i], w->o.pair[k]);
		if (!c || k < i)
			return -EINVAL;
		w->config[w->n + i] = c;
	}
	if (i) {
		memmove(w->config, w->config + w->n, (size_t)i * sizeof(*w->config));
		w->n = i;
	}
	return 0;
}

int ipw_open(struct ipw *w, int command, unsigned want, int argc, char **argv, int *ret_status)
{
	int err;

	memset(w, 0, sizeof(*w));
	err = ipw_parse(&w->o, command, argc, argv);
	if (err) {
		*ret_status = err == 1 ? 0 : err;
		return -1;
	}
	w->json = w->o.csv ? csv_spool() : w->o.json ? stdout : NULL;
	if (w->o.csv && !w->json) {
		say("cannot keep what is to be CSV: %s", strerror(errno));
		*ret_status = 1;
		return -1;
	}
	w->r.want = want | (w->o.leaderboard ? LEADERBOARD_COLUMNS : 0);
	w->r.gross = w->o.gross;
	w->r.repeats = w->o.repeats;
	w->r.models = &w->models;
	if (!load_models(w) && !ipw_load_costs(w) && !read_files(w) && !choose(w))
		return 0;
	*ret_status = 1;
	(void)ipw_close(w);
	return -1;
}

int ipw_close(struct ipw *w)
{
	int err = 0;

	free(w->config);
	results_release(&w->r);
	models_release(&w->models);
	model_files_release(&w->files);
	devices_release(&w->devices);
	if (w->o.csv) {
		err = fflush(w->json) ? -errno : csv_of_json(w->json, NULL, stdout, NULL);
		fclose(w->json);
	}
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = errno ? -errno : -EIO;
	if (err)
		say("cannot write: %s", strerror(-err));
	return err ? 1 : 0;
}
