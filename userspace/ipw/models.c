// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/models.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* The whole file, terminated. 0 or -errno. */
static int slurp(const char *path, char **ret)
{
	FILE *f = fopen(path, "re");
	size_t n = 0, cap = 0, got;
	char *text = NULL, *more;
	int err = 0;

	if (!f)
		return -errno;
	do {
		if (cap - n < 4096) {
			cap = 2 * cap + 8192;
			more = realloc(text, cap);
			if (!more) {
				err = -ENOMEM;
				goto out;
			}
			text = more;
		}
		got = fread(text + n, 1, cap - n - 1, f);
		n += got;
	} while (got);
	if (ferror(f))
		err = -EIO;
	text[n] = 0;
out:
	fclose(f);
	if (err)
		free(text);
	else
		*ret = text;
	return err;
}

/* "-": not known. 0, or -EBADMSG. */
static int value(const char *s, double *ret)
{
	char *end;

	if (!strcmp(s, "-")) {
		*ret = NAN;
		return 0;
	}
	*ret = strtod(s, &end);
	return end == s || *end || !isfinite(*ret) || *ret < 0 ? -EBADMSG : 0;
}

/* Cuts a line into its columns, at tabs. Returns how many there are, max + 1 if too many; 0: a line without any. */
static int columns(char *line, char **col, int max)
{
	int n = 0;
	char *p;

	line[strcspn(line, "#\r")] = 0;
	for (p = line + strlen(line); p > line && (p[-1] == ' ' || p[-1] == '\t'); p--)
		p[-1] = 0;
	while ((p = strsep(&line, "\t"))) {
		p += strspn(p, " ");
		if (!*p)
			continue;
		if (n == max)
			return max + 1;
		col[n++] = p;
	}
	return n;
}

static int model_row(char **col, struct model *m)
{
	static const char *const kinds[] = { "-", "local", "cloud" };
	unsigned k;

	m->name = col[0];
	if (value(col[1], &m->size_b) || value(col[2], &m->active_b) || value(col[3], &m->in_usd) ||
	    value(col[4], &m->out_usd))
		return -EBADMSG;
	for (k = 0; k < 3 && strcmp(col[5], kinds[k]); k++)
		;
	m->kind = (enum model_kind)k;
	return k < 3 ? 0 : -EBADMSG;
}

/* Room for one more in an array that doubles. */
static int room(void **row, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1))
		return 0;
	more = realloc(*row, (n ? 2 * n : 1) * size);
	if (!more)
		return -ENOMEM;
	*row = more;
	return 0;
}

static int read_rows(struct models *m, unsigned *ret_line)
{
	char *rest = m->text, *line, *col[6];
	int err = 0, n;

	while (!err && (line = strsep(&rest, "\n"))) {
		++*ret_line;
		n = columns(line, col, 6);
		if (!n)
			continue;
		err = n == 6 ? room((void **)&m->row, m->n, sizeof(*m->row)) : -EBADMSG;
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
	err = slurp(path, &m->text);
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
	const char *tail = strrchr(name, '/');
	size_t i;

	tail = tail ? tail + 1 : name;
	for (i = 0; i < m->n; i++)
		if (!strcasecmp(m->row[i].name, name) || !strcasecmp(m->row[i].name, tail))
			return &m->row[i];
	return NULL;
}

int weights_load(struct weights *w, const char *path, unsigned *ret_line)
{
	char *rest, *line, *col[2];
	int err, n;

	*w = (struct weights){ NULL, 0, NULL };
	*ret_line = 0;
	err = slurp(path, &w->text);
	rest = w->text;
	while (!err && (line = strsep(&rest, "\n"))) {
		++*ret_line;
		n = columns(line, col, 2);
		if (!n)
			continue;
		err = n == 2 ? room((void **)&w->row, w->n, sizeof(*w->row)) : -EBADMSG;
		if (err)
			break;
		w->row[w->n].name = col[0];
		err = value(col[1], &w->row[w->n].weight);
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
