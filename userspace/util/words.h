/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What two texts have in common, without keeping either: sums of the last runs of three words. For telling which of
 * several requests another one was made from, though its language, its order and its template are others.
 */
#ifndef IPW_UTIL_WORDS_H
#define IPW_UTIL_WORDS_H

#include <stddef.h>
#include <stdint.h>

#define WORDS_KEPT 64 /* the last ones: what is asked stands at the end, what all have in common at the beginning */

struct words {
	uint32_t kept[WORDS_KEPT]; /* a ring */
	uint32_t n;                /* all that there were */
	uint32_t word, before[2];  /* sums: of the word being read, 0 between words; of those before it */
	uint8_t  skip, escape;     /* bytes of an escape that follow; a backslash was the last one */
};

/* Any cut of a text into pieces gives the same. Words are runs of ASCII letters and digits; JSON's escapes are none. */
void words_feed(struct words *w, const char *p, size_t n);
void words_end(struct words *w);

/* How many of the runs kept of a are among those of b. */
int  words_common(const struct words *a, const struct words *b);

#endif
