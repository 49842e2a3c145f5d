// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A file of results: the same rows, names, counts and complaints however it is cut into pieces; then whatever is worked
 * out of it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/compare.h"
#include "userspace/ipw/cover.h"
#include "userspace/ipw/regress.h"
#include "userspace/ipw/results.h"
#include "userspace/ipw/route.h"
#include "userspace/ipw/score.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct models models;

static void read_all(struct results *r, const uint8_t *data, size_t size, size_t step)
{
	size_t at, n;

	memset(r, 0, sizeof(*r));
	r->want = WANT(COLS) - 1;
	r->repeats = REPEATS_FIRST + (enum repeats)(size % 3);
	r->models = &models;
	for (at = 0; at < size; at += n) {
		n = size - at < step ? size - at : step;
		if (results_feed(r, (const char *)data + at, n))
			abort();
	}
	if (results_finish(r))
		abort();
}

static void same_problems(const struct problems *a, const struct problems *b)
{
	uint64_t i;

	if (a->n != b->n)
		abort();
	for (i = 0; i < a->n && i < RESULTS_PROBLEMS; i++)
		if (a->first[i].line != b->first[i].line || strcmp(a->first[i].why, b->first[i].why))
			abort();
}

static void same_config(const struct config *a, const struct config *b)
{
	int k;

	if (a->model != b->model || a->hardware != b->hardware || a->scope != b->scope || a->n != b->n ||
	    !a->query != !b->query || memcmp(a->verdict, b->verdict, a->n) ||
	    (a->query && memcmp(a->query, b->query, a->n * sizeof(*a->query))))
		abort();
	for (k = 0; k < COLS; k++)
		if (!a->col[k] != !b->col[k] || (a->col[k] && memcmp(a->col[k], b->col[k], a->n * sizeof(float))))
			abort();
}

static void same(const struct results *a, const struct results *b)
{
	int i;

	same_problems(&a->malformed, &b->malformed);
	same_problems(&a->odd, &b->odd);
	same_problems(&a->disagree, &b->disagree);
	if (a->rows != b->rows || a->lines != b->lines || a->others != b->others || a->nconfig != b->nconfig ||
	    a->nquery != b->nquery || a->repeated != b->repeated || a->ids_len != b->ids_len ||
	    (a->ids_len && memcmp(a->ids, b->ids, a->ids_len)) ||
	    a->lines < a->rows + a->others + a->malformed.n)
		abort();
	for (i = 0; i < a->nconfig; i++)
		same_config(a->config[i], b->config[i]);
}

static void use(struct results *r)
{
	static const enum variable x[] = { VAR_PROMPT, VAR_COMPLETION, VAR_CACHED };
	const struct config *const *c = (const struct config *const *)r->config;
	struct score_opts o = { 1, 3, 1 };
	struct route_opts ro = { 0.5, 1, 3, 1 };
	struct route route = { .pool = 1 };
	struct route_sums sums;
	struct comparison comparison;
	struct regression fit;
	struct saving saving;
	struct score score;
	struct cover cover;

	if (!r->nconfig)
		return;
	if (score_of(c[0], NULL, 0, &o, &score))
		abort();
	regress(c[0], VAR_ENERGY, x, 3, &fit);
	if (r->nconfig > 1 && compare(c[0], c[1], 3, 1, &comparison))
		abort();
	if (r->repeats == REPEATS_MEAN)
		return; /* no more right and wrong */
	if (cover_init(&cover, c, r->nconfig < COVER_MODELS ? r->nconfig : COVER_MODELS, r->nquery))
		abort();
	cover_release(&cover);
	if (r->nconfig < 2)
		return;
	route.model[0] = c[0];
	route.model[1] = c[1];
	if (route_init(&route))
		abort();
	route_sum(&route, 1, 1, &sums);
	if (route_saving(&route, 1, &sums, &ro, &saving))
		abort();
	route_release(&route);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct results whole, cut;
	unsigned line;

	if (!models.n && models_load(&models, NULL, &line))
		abort();
	read_all(&whole, data, size, size ? size : 1);
	read_all(&cut, data, size, size ? 1 + data[0] % 7 : 1);
	same(&whole, &cut);
	use(&whole);
	results_release(&whole);
	results_release(&cut);
	return 0;
}
