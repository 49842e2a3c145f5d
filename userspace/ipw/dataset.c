// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A file of rows. What a row is: dataset_row.c. */
#include "userspace/ipw/dataset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>


#define LINE_MAX_BYTES (64u << 20) /* a longer row is none */

struct reading {
	struct dataset *d;
	int             form;
	const char     *path;
	size_t          line;
	dataset_bad     bad;
	void           *ctx;
};

static uint64_t mix(uint64_t h, const char *s)
{
	if (!h)
		h = 0xcbf29ce484222325ull; /* FNV-1a */
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
	return (h ^ 0xff) * 0x100000001b3ull;
}

static int form_find(const char *spec, size_t n)
{
	int i;

	for (i = 0; dataset_form(i); i++)
		if (strlen(dataset_form(i)) == n && !memcmp(dataset_form(i), spec, n))
			return i;
	return -1;
}

/* The first of these names that no row before has. */
static int name_it(struct reading *r, struct item *it)
{
	uint64_t h = mix(0, it->id);
	char *other;
	unsigned k;

	for (k = 2; hash_get(&r->d->ids, h); k++) {
		if (asprintf(&other, "%.*s#%u", (int)strcspn(it->id, "#"), it->id, k) < 0)
			return -ENOMEM;
		free(it->id);
		it->id = other;
		h = mix(0, it->id);
	}
	return hash_put(&r->d->ids, h, (void *)(r->d->n + 1));
}

static void sum_up(struct dataset *d, const struct item *it)
{
	char num[96];
	size_t i;

	d->sum = mix(mix(d->sum, it->id), it->messages);
	for (i = 0; i < it->nwant; i++)
		d->sum = mix(d->sum, it->want[i]);
	snprintf(num, sizeof(num), "%d %d %d %.17g %.17g", it->grade, it->letter, it->nletter, it->number,
		 it->tolerance);
	d->sum = mix(d->sum, num);
}

static int add(struct reading *r, struct item *it)
{
	struct dataset *d = r->d;
	struct item *bigger;
	int err;

	if (!it->id && asprintf(&it->id, "line-%zu", r->line) < 0) {
		it->id = NULL;
		return -ENOMEM;
	}
	err = name_it(r, it);
	if (err)
		return err;
	if (d->n == d->cap) {
		bigger = realloc(d->item, (d->cap ? 2 * d->cap : 256) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		d->item = bigger;
		d->cap = d->cap ? 2 * d->cap : 256;
	}
	sum_up(d, it);
	d->item[d->n++] = *it;
	return 0;
}

static int one_line(struct reading *r, char *line, size_t len)
{
	const char *why = "it is too long";
	struct item it;
	int err;

	while (len && strchr(" \t\r\n", line[len - 1]))
		len--;
	if (!len)
		return 0;
	err = len > LINE_MAX_BYTES ? -EBADMSG : dataset_row(r->form, line, len, &it, &why);
	if (err == -EBADMSG) {
		r->d->bad++;
		if (r->bad)
			r->bad(r->ctx, r->path, r->line, why);
		return 0;
	}
	if (err)
		return err;
	err = add(r, &it);
	if (err)
		dataset_item_release(&it);
	return err;
}

static void name_set(struct dataset *d, const char *form, const char *path)
{
	const char *base = strrchr(path, '/');
	size_t n;

	snprintf(d->name, sizeof(d->name), "%s", form);
	if (strcmp(form, "jsonl"))
		return;
	base = base ? base + 1 : path;
	n = strcspn(base, ".");
	if (n)
		snprintf(d->name, sizeof(d->name), "%.*s", (int)(n < sizeof(d->name) ? n : sizeof(d->name) - 1), base);
}

int dataset_read(struct dataset *d, const char *spec, dataset_bad bad, void *ctx)
{
	const char *colon = strchr(spec, ':');
	struct reading r = { .d = d, .bad = bad, .ctx = ctx };
	struct stat st;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f;
	int err = 0;

	*d = (struct dataset){ 0 };
	r.form = colon ? form_find(spec, (size_t)(colon - spec)) : -1;
	if (r.form < 0 || !colon[1])
		return -EINVAL;
	r.path = colon + 1;
	name_set(d, dataset_form(r.form), r.path);
	f = fopen(r.path, "re");
	if (!f)
		return -errno;
	if (!fstat(fileno(f), &st) && S_ISDIR(st.st_mode))
		err = -EISDIR;
	while (!err && (n = getline(&line, &cap, f)) >= 0) {
		r.line++;
		err = one_line(&r, line, (size_t)n);
	}
	if (!err && ferror(f))
		err = -EIO;
	free(line);
	fclose(f);
	return err ? err : d->n ? 0 : -ENODATA;
}

void dataset_release(struct dataset *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		dataset_item_release(&d->item[i]);
	free(d->item);
	hash_release(&d->ids);
	*d = (struct dataset){ 0 };
}

const struct item *dataset_find(const struct dataset *d, const char *id)
{
	size_t at = (size_t)hash_get(&d->ids, mix(0, id));

	return at && !strcmp(d->item[at - 1].id, id) ? &d->item[at - 1] : NULL;
}
