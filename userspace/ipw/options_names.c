// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the commands on results call things, and how they write them. */
#include "userspace/ipw/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/ipw/score.h"

/* --- names -------------------------------------------------------------------------------------------------------- */

/* Where joules are looked at at all. */
static int is_estimated(const struct ipw *w, const struct config *c)
{
	return w->r.want & WANT(COL_ENERGY) && c->estimated;
}

const char *ipw_title(const struct ipw *w, const struct config *c, char *buf, size_t size)
{
	const char *scope = results_name(&w->r, c->scope), *rest = is_estimated(w, c) ? "estimated" : "";

	snprintf(buf, size, "%s@%s%s%s%s%s%s", results_name(&w->r, c->model), results_name(&w->r, c->hardware),
		 *scope || *rest ? " (" : "", scope, *scope && *rest ? ", " : "", rest, *scope || *rest ? ")" : "");
	return buf;
}

/* MODEL, MODEL@HARDWARE or MODEL@HARDWARE:SCOPE */
static int is_called(const struct ipw *w, const struct config *c, const char *name)
{
	const char *part[] = { results_name(&w->r, c->model), results_name(&w->r, c->hardware),
			       results_name(&w->r, c->scope) };
	static const char between[] = { 0, '@', ':' };
	int i;

	for (i = 0; i < 3; i++) {
		if (i && *name++ != between[i])
			return 0;
		if (strncasecmp(name, part[i], strlen(part[i])))
			return 0;
		name += strlen(part[i]);
		if (!*name)
			return 1;
	}
	return 0;
}

const struct config *ipw_find(const struct ipw *w, const char *name)
{
	const struct config *found = NULL;
	char a[256], b[256];
	int i;

	for (i = 0; i < w->n; i++) {
		if (!is_called(w, w->config[i], name))
			continue;
		if (found) {
			say("'%s' may be %s or %s", name, ipw_title(w, found, a, sizeof(a)),
			    ipw_title(w, w->config[i], b, sizeof(b)));
			return NULL;
		}
		found = w->config[i];
	}
	if (!found)
		say("there are no results of '%s'", name);
	return found;
}

void ipw_json_config(struct json_out *j, const struct ipw *w, const struct config *c)
{
	json_str(j, "model", results_name(&w->r, c->model));
	json_str(j, "hardware", results_name(&w->r, c->hardware));
	json_str(j, "scope", results_name(&w->r, c->scope));
	json_raw(j, "estimated", is_estimated(w, c) ? "true" : "false");
}

void ipw_json_num(struct json_out *j, const char *key, double v)
{
	char digits[32];

	snprintf(digits, sizeof(digits), "%.7g", v);
	json_num(j, key, strtod(digits, NULL));
}

void ipw_json_interval(struct json_out *j, const char *key, struct interval ci)
{
	if (isnan(ci.low)) {
		json_raw(j, key, "null");
		return;
	}
	json_open(j, key, '[');
	ipw_json_num(j, NULL, ci.low);
	ipw_json_num(j, NULL, ci.high);
	json_close(j, ']');
}

/* --- what a result is of ------------------------------------------------------------------------------------------ */

int ipw_lacking(const struct ipw *w, const struct config *c)
{
	static const char *const what[] = { "verdict", "power", "energy", "perplexity" };
	unsigned has = score_has(c), got, bit;
	uint32_t lacking[4] = { 0 }, i;
	char title[256];
	int err = 0;

	for (i = 0; i < c->n; i++) {
		got = score_row_has(c, i);
		for (bit = 0; bit < 4; bit++)
			lacking[bit] += has >> bit & ~got >> bit & 1;
	}
	for (bit = 0; bit < 4; bit++) {
		if (!lacking[bit])
			continue;
		say("%s: %u of %u results have no %s%s", ipw_title(w, c, title, sizeof(title)), lacking[bit], c->n,
		    what[bit], w->o.allow_missing ? ": they are left out" : " (--allow-missing leaves them out)");
		err = w->o.allow_missing ? 0 : -ENODATA;
	}
	return err;
}

uint32_t ipw_group(const struct ipw *w, uint32_t query)
{
	const struct query_info *q = &w->r.query[query];

	return w->o.by == BY_DATASET ? q->dataset : w->o.by == BY_CATEGORY ? q->category :
	       w->o.by == BY_DIFFICULTY ? q->difficulty : 0;
}

const char *ipw_by_name(enum by by)
{
	static const char *const names[] = { "all", "dataset", "category", "difficulty", "level" };

	return names[by];
}
