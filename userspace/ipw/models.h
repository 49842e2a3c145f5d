/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of models beside their results: size, price, whether they count as local; and of categories: their
 * weight, such as a share of the gross domestic product. The built-in table is small; a file takes its place, so that
 * nothing is known but what it says. What is not known stays NAN.
 */
#ifndef IPW_IPW_MODELS_H
#define IPW_IPW_MODELS_H

#include <stddef.h>

enum model_kind { MODEL_UNKNOWN, MODEL_LOCAL, MODEL_CLOUD };

struct model {
	const char     *name;
	double          size_b;          /* parameters, billions, as the model is called; orders models, gives levels */
	double          active_b;        /* of which compute a token */
	double          in_usd, out_usd; /* per million tokens */
	enum model_kind kind;
};

struct models {
	struct model *row;
	size_t        n;
	char         *text; /* of a file */
};

struct weight_of {
	const char *name;
	double      weight;
};

struct weights {
	struct weight_of *row;
	size_t            n;
	char             *text;
};

/* path NULL: the built-in table. 0 or -errno; -EBADMSG: ret_line is the line that is no row. */
int  models_load(struct models *m, const char *path, unsigned *ret_line);
void models_release(struct models *m);
/* By its whole name, or by what follows its last '/'; case does not matter. NULL: not known. */
const struct model *models_find(const struct models *m, const char *name);

/* Lines of "CATEGORY<tab>WEIGHT", '#' begins a comment. As models_load(). */
int  weights_load(struct weights *w, const char *path, unsigned *ret_line);
void weights_release(struct weights *w);
/* NAN: not in it. */
double weights_find(const struct weights *w, const char *name);

#endif
