// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Most of a stream is one event again and again with another text in it. One that equals an event which was read
 * before, but for the plain bytes of its one text, says the same: it is compared and not read.
 */
#include "userspace/wire/internal.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MAX 480 /* bytes of the event that is kept */

struct again {
	uint16_t n, from, to; /* the text is line[from .. to) */
	uint8_t  choice;
	char     type[sizeof(((struct wire_fields *)0)->type)];
	char     line[AGAIN_MAX];
};

/* The event that has just been read is one token's, and nothing else in it matters. */
static int is_plain(const struct wire *w)
{
	const struct wire_fields *f = &w->f;

	return f->parts == 1 && f->texts == 1 && f->ntext && !f->tokens && !f->several && !f->finish && !f->error &&
	       !f->twin && f->usage.prompt < 0 && f->usage.cached < 0 && f->usage.completion < 0 &&
	       f->prompt_new < 0 && f->prompt_made < 0 && (w->has_model || !f->model[0]);
}

void wire_again_keep(struct wire *w, const char *p, size_t n)
{
	char quoted[WIRE_TEXT + 2] = "\"";
	size_t len = w->f.ntext + 2u;
	struct again *a = w->again;
	const char *at;

	if (n > AGAIN_MAX || !is_plain(w))
		return;
	memcpy(quoted + 1, w->f.text, w->f.ntext);
	quoted[len - 1] = '"';
	at = memmem(p, n, quoted, len);
	/* Where the text stands is known only if nothing else in the event, quotes and all, looks like it. */
	if (!at || memmem(at + 1, (size_t)(p + n - at - 1), quoted, len))
		return;
	if (!a)
		a = w->again = malloc(sizeof(*a));
	if (!a)
		return;
	a->choice = w->f.choice;
	a->n = (uint16_t)n;
	a->from = (uint16_t)(at + 1 - p);
	a->to = (uint16_t)(a->from + w->f.ntext);
	memcpy(a->type, w->f.type, sizeof(a->type));
	memcpy(a->line, p, n);
}

int wire_again(struct wire *w, const char *p, size_t n)
{
	const struct again *a = w->again;
	size_t rest, i;

	if (!a)
		return 0;
	rest = a->n - a->to;
	if (n <= a->from + rest || memcmp(p, a->line, a->from) || memcmp(p + n - rest, a->line + a->to, rest))
		return 0;
	for (i = a->from; i < n - rest; i++)
		if (p[i] == '"' || p[i] == '\\' || (unsigned char)p[i] < 0x20)
			return 0;
	w->f.parts = 1;
	w->f.choice = a->choice;
	memcpy(w->f.type, a->type, sizeof(a->type));
	return 1;
}
