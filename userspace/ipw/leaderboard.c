// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/leaderboard.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

/* In the order in which its example has them. */
static const char *const fields[] = { "organization", "contact_email", "model_name", "hardware_type", "task_type",
				      "unverified_submission_id", "paper_link", "code_link", "notes" };

#define FIELDS   (sizeof(fields) / sizeof(*fields))
#define REQUIRED 5 /* the first; others are left out if nobody gives them */

static int is_task(const char *s)
{
	return !strcmp(s, "reasoning") || !strcmp(s, "chat") || !strcmp(s, "both");
}

int leaderboard_field(const char *fill)
{
	const char *eq = strchr(fill, '=');
	size_t i, n = eq ? (size_t)(eq - fill) : 0;

	for (i = 0; i < FIELDS && (strlen(fields[i]) != n || memcmp(fields[i], fill, n)); i++)
		;
	return !eq || i == FIELDS || (!strcmp(fields[i], "task_type") && !is_task(eq + 1)) ? -EINVAL : 0;
}

/* The last one given, or NULL. */
static const char *given(const struct ipw *w, const char *field)
{
	size_t n = strlen(field);
	int i;

	for (i = w->o.nfill; i-- > 0;)
		if (!strncmp(w->o.fill[i], field, n) && w->o.fill[i][n] == '=')
			return w->o.fill[i] + n + 1;
	return NULL;
}

/* What who reads the figures has to know of them. */
static void describe(const struct ipw *w, const struct config *c, const struct score *s, char *buf, size_t size)
{
	const char *scope = results_name(&w->r, c->scope);

	snprintf(buf, size, "ipw-trace %s: %u queries; joules are each query's %s, of %s%s; mean concurrency ",
		 IPW_VERSION, s->n, w->o.gross ? "share and its part of the idle power" : "share",
		 *scope ? scope : "a scope that is not given", c->estimated ? ", estimated by a model of power" : "");
	size -= strlen(buf);
	buf += strlen(buf);
	snprintf(buf, size, isnan(s->concurrency) ? "not known" : "%.4g", s->concurrency);
}

static void add_text(cJSON *to, const char *key, const char *text)
{
	if (text)
		cJSON_AddStringToObject(to, key, text);
	else
		cJSON_AddNullToObject(to, key);
}

/* To seven digits. */
static void add_num(cJSON *to, const char *key, double v)
{
	char digits[32];

	snprintf(digits, sizeof(digits), "%.7g", v);
	if (isfinite(v))
		cJSON_AddNumberToObject(to, key, strtod(digits, NULL));
	else
		cJSON_AddNullToObject(to, key);
}

static void add_category(cJSON *to, const char *name, const struct score *s)
{
	cJSON *m = cJSON_AddObjectToObject(to, *name ? name : "None");

	add_num(m, "accuracy", 100 * s->value[M_ACC]);
	add_num(m, "avg_energy", s->value[M_ENERGY]);
	add_num(m, "avg_compute", NAN);
	add_num(m, "avg_latency", 1e3 * s->duration_s);
	add_num(m, "avg_ttft", 1e3 * s->ttft_s);
	add_num(m, "avg_power", s->value[M_POWER]);
	add_num(m, "avg_memory_bandwidth", NAN);
	add_num(m, "avg_memory_bandwidth_peak", NAN);
	add_num(m, "avg_input_tokens", s->prompt);
	add_num(m, "avg_output_tokens", s->completion);
}

static int add_categories(cJSON *to, const struct ipw *w, const struct config *c)
{
	uint32_t *group = malloc((w->r.nquery + 1u) * sizeof(*group)), none = 0, i;
	struct score_opts o = { 0 };
	struct score s;
	int err = group ? 0 : -ENOMEM;

	for (i = 0; i < w->r.names.n; i++)
		none = strcmp(results_name(&w->r, i), "None") ? none : i; /* some may be called so */
	for (i = 0; i < w->r.nquery && !err; i++)
		group[i] = w->r.query[i].category ? w->r.query[i].category : none;
	for (i = 0; i < w->r.names.n && !err; i++) {
		err = score_of(c, group, i, &o, &s);
		if (!err && s.n)
			add_category(to, results_name(&w->r, i), &s);
	}
	free(group);
	return err;
}

int leaderboard(const struct ipw *w, const struct config *c, const struct score *all, char **ret_text)
{
	cJSON *o = cJSON_CreateObject();
	const char *text;
	char notes[512];
	size_t i;
	int err;

	describe(w, c, all, notes, sizeof(notes));
	for (i = 0; i < FIELDS; i++) {
		text = given(w, fields[i]);
		if (!text && !strcmp(fields[i], "model_name"))
			text = results_name(&w->r, c->model);
		else if (!text && !strcmp(fields[i], "hardware_type"))
			text = results_name(&w->r, c->hardware);
		else if (!text && !strcmp(fields[i], "notes"))
			text = notes;
		if (text || i < REQUIRED)
			add_text(o, fields[i], text);
	}
	err = add_categories(cJSON_AddObjectToObject(o, "categoryMetrics"), w, c);
	*ret_text = err ? NULL : cJSON_Print(o);
	cJSON_Delete(o);
	return err ? err : *ret_text ? 0 : -ENOMEM;
}
