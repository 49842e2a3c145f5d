// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/models.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/ipw/table.h"

/*
 * Prices: arXiv 2511.07885v4, table 10. Kinds: its lists of local models (section 3: up to 20 B active parameters, and
 * Qwen3-32B) and of cloud models. Sizes are those in the names, as the paper's levels and pools use them; active
 * parameters are those of the model cards.
 */
static const struct model builtin[] = {
	{ "Qwen3-4B", 4, 4.0, 0, 0, MODEL_LOCAL },
	{ "Qwen3-8B", 8, 8.2, 0.035, 0.138, MODEL_LOCAL },
	{ "Qwen3-14B", 14, 14.8, 0.060, 0.124, MODEL_LOCAL },
	{ "Qwen3-32B", 32, 32.8, 0.100, 0.450, MODEL_LOCAL },
	{ "Qwen3-30B-A3B", 30, 3.3, NAN, NAN, MODEL_LOCAL },
	{ "Qwen3-235B", 235, 22, 0.220, 0.880, MODEL_CLOUD },
	{ "Qwen3-235B-A22B", 235, 22, 0.220, 0.880, MODEL_CLOUD },
	{ "GPT-OSS-20B", 20, 3.6, 0.03, 0.14, MODEL_LOCAL },
	{ "GPT-OSS-120B", 120, 5.1, 0.15, 0.60, MODEL_LOCAL },
	{ "Llama-3.1-8B", 8, 8.03, NAN, NAN, MODEL_LOCAL },
	{ "Mixtral-8x7B", 47, 12.9, NAN, NAN, MODEL_LOCAL },
	{ "GPT-5", NAN, NAN, NAN, NAN, MODEL_CLOUD },
	{ "Gemini-2.5-Pro", NAN, NAN, NAN, NAN, MODEL_CLOUD },
	{ "Claude-Sonnet-4.5", NAN, NAN, NAN, NAN, MODEL_CLOUD },
};

static int model_row(char **col, struct model *m)
{
	static const char *const kinds[] = { "-", "local", "cloud" };
	unsigned k;

	m->name = col[0];
	if (table_value(col[1], &m->size_b) || table_value(col[2], &m->active_b) || table_value(col[3], &m->in_usd) ||
	    table_value(col[4], &m->out_usd))
		return -EBADMSG;
	for (k = 0; k < 3 && strcmp(col[5], kinds[k]); k++)
		;
	m->kind = (enum model_kind)k;
	return k < 3 ? 0 : -EBADMSG;
}

static int read_rows(struct models *m, unsigned *ret_line)
{
	char *rest = m->text, *line, *col[6];
	int err = 0, n;

	while (!err && (line = strsep(&rest, "\n"))) {
		++*ret_line;
		n = table_columns(line, col, 6);
		if (!n)
			continue;
		err = n == 6 ? table_room((void **)&m->row, m->n, sizeof(*m->row)) : -EBADMSG;
		if (!err)
			err = model_row(col, &m->row[m->n]);
		m->n += !err;
	}
	return err;
}

int models_load(struct models *m, const char *path, unsigned *ret_line)
{
	int err;

	*m = (struct models){ NULL, 0, NULL };
	*ret_line = 0;
	if (!path) {
		m->row = malloc(sizeof(builtin));
		if (!m->row)
			return -ENOMEM;
		memcpy(m->row, builtin, sizeof(builtin));
		m->n = sizeof(builtin) / sizeof(*builtin);
		return 0;
	}
	err = table_read(path, &m->text);
	if (!err)
		err = read_rows(m, ret_line);
	if (err)
		models_release(m);
	return err;
}

void models_release(struct models *m)
{
	free(m->row);
	free(m->text);
	*m = (struct models){ NULL, 0, NULL };
}

const struct model *models_find(const struct models *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (table_is(m->row[i].name, name))
			return &m->row[i];
	return NULL;
}

int weights_load(struct weights *w, const char *path, unsigned *ret_line)
{
	char *rest, *line, *col[2];
	int err, n;

	*w = (struct weights){ NULL, 0, NULL };
	*ret_line = 0;
	err = table_read(path, &w->text);
	rest = w->text;
	while (!err && (line = strsep(&rest, "\n"))) {
		++*ret_line;
		n = table_columns(line, col, 2);
		if (!n)
			continue;
		err = n == 2 ? table_room((void **)&w->row, w->n, sizeof(*w->row)) : -EBADMSG;
		if (err)
			break;
		w->row[w->n].name = col[0];
		err = table_value(col[1], &w->row[w->n].weight);
		err = isnan(w->row[w->n].weight) ? -EBADMSG : err;
		w->n += !err;
	}
	if (err)
		weights_release(w);
	return err;
}

void weights_release(struct weights *w)
{
	free(w->row);
	free(w->text);
	*w = (struct weights){ NULL, 0, NULL };
}

double weights_find(const struct weights *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (!strcasecmp(w->row[i].name, name))
			return w->row[i].weight;
	return NAN;
}
