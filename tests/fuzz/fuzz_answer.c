// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What bench and grade read of others: rows of data sets, bodies of answers (cut up or not they say the same), and the
 * letter, number or verdict in a text.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/client.h"
#include "userspace/ipw/dataset.h"
#include "userspace/ipw/grade.h"
#include "userspace/ipw/letter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rows(const char *p, size_t n)
{
	const char *why;
	struct item it;
	int form;

	for (form = 0; dataset_form(form); form++) {
		if (dataset_row(form, p, n, &it, &why))
			continue;
		if (!it.messages || !it.question || (it.grade == GRADE_LETTER && it.letter >= it.nletter) ||
		    (it.grade == GRADE_NUMERIC && !isfinite(it.number)) || (it.grade >= GRADE_REFERENCE && !it.nwant))
			abort();
		if (!it.id)
			it.id = strdup("x");
		(void)grade_text(&it, it.question);
		if (it.grade >= GRADE_REFERENCE)
			free(grade_ask(&it, it.question, NULL));
		dataset_item_release(&it);
	}
}

static void feed(struct reply *r, const char *p, size_t n, size_t step)
{
	size_t at;

	reply_init(r);
	for (at = 0; at < n; at += step)
		reply_feed(r, p + at, step < n - at ? step : n - at, 1);
	reply_over(r);
}

static void reply(const char *p, size_t n)
{
	static const size_t steps[] = { 1, 3, 17 };
	struct reply whole, other;
	size_t i;

	feed(&whole, p, n, n ? n : 1);
	if (strlen(whole.text) > whole.ntext)
		abort();
	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		feed(&other, p, n, steps[i]);
		if (other.end != whole.end || other.ntext != whole.ntext || strcmp(other.text, whole.text) ||
		    other.prompt != whole.prompt || other.cached != whole.cached ||
		    other.completion != whole.completion || other.parts != whole.parts ||
		    strcmp(other.model, whole.model) || strcmp(other.finish, whole.finish))
			abort();
		reply_release(&other);
	}
	reply_release(&whole);
}

static void text(const char *p, size_t n)
{
	static const int options[] = { 2, 4, 10, 26 };
	struct item it = { .id = "x", .grade = GRADE_PAIRWISE };
	char *s = malloc(n + 1);
	const char *phrase;
	size_t i, len;
	int got;

	if (!s)
		return;
	memcpy(s, p, n);
	s[n] = 0;
	for (i = 0; i < sizeof(options) / sizeof(*options); i++) {
		got = letter_find(s, options[i]);
		if (got < LETTER_SEVERAL || got >= options[i])
			abort();
	}
	if (isinf(letter_number(s)))
		abort();
	phrase = letter_phrase(s, &len);
	if (phrase < s || phrase + len > s + strlen(s))
		abort();
	(void)grade_judged(&it, s);
	free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rows((const char *)data, size);
	reply((const char *)data, size);
	text((const char *)data, size);
	return 0;
}
