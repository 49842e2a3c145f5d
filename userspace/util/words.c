// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/words.h"

#include <ctype.h>

static uint32_t mix(uint32_t h, uint32_t v)
{
	return (h ^ v) * 0x01000193u; /* FNV-1a */
}

void words_end(struct words *w)
{
	if (!w->word)
		return;
	if (w->before[0])
		w->kept[w->n++ % WORDS_KEPT] = mix(mix(mix(0x811c9dc5u, w->before[0]), w->before[1]), w->word);
	w->before[0] = w->before[1];
	w->before[1] = w->word;
	w->word = 0;
}

void words_feed(struct words *w, const char *p, size_t n)
{
	const char *end = p + n;

	for (; p < end; p++) {
		if (w->skip) {
			w->skip--;
		} else if (w->escape) {
			w->escape = 0;
			w->skip = *p == 'u' ? 4 : 0;
		} else if (isalnum((unsigned char)*p) && !((unsigned char)*p & 0x80)) {
			w->word = mix(w->word ? w->word : 0x811c9dc5u, (uint8_t)*p);
		} else {
			words_end(w);
			w->escape = *p == '\\';
		}
	}
}

int words_common(const struct words *a, const struct words *b)
{
	uint32_t na = a->n < WORDS_KEPT ? a->n : WORDS_KEPT, nb = b->n < WORDS_KEPT ? b->n : WORDS_KEPT, i, k;
	uint64_t may[16] = { 0 }; /* a bit for 10 of the sum's: most that are not there show so */
	int common = 0;

	for (k = 0; k < nb; k++)
		may[b->kept[k] >> 6 & 15] |= 1ull << (b->kept[k] & 63);
	for (i = 0; i < na; i++) {
		if (!(may[a->kept[i] >> 6 & 15] >> (a->kept[i] & 63) & 1))
			continue;
		for (k = 0; k < nb && a->kept[i] != b->kept[k]; k++)
			;
		common += k < nb;
	}
	return common;
}
