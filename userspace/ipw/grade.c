// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/grade.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/letter.h"

#define LEAST 1e-12 /* below it a tolerance is of this, not of the number */

int grade_correct(enum grade_verdict v)
{
	return v == VERDICT_UNKNOWN ? -1 : v == VERDICT_RIGHT;
}

/* --- exact -------------------------------------------------------------------------------------------------------- */

/* Markup, space, and the stops at the end of words; not the point of 3.5. */
static int is_ornament(const char *p, const char *end)
{
	while (p < end && strchr(".,;:!?", *p) && *p)
		p++;
	return p == end || isspace((unsigned char)*p) || (*p && strchr("*_`\"$\\", *p));
}

/* The next byte of a text as it is compared: case and ornaments do not matter, runs of space are one. -1: the end. */
static int next(const char **p, const char *end)
{
	int space = 0;

	for (; *p < end && is_ornament(*p, end); (*p)++)
		space |= isspace((unsigned char)**p) != 0;
	if (*p == end)
		return -1;
	return space ? ' ' : tolower((unsigned char)*(*p)++);
}

static const char *begin(const char *p, const char *end)
{
	while (p < end && is_ornament(p, end))
		p++;
	if (end - p > 4 && (*p == 't' || *p == 'T') && p[1] == 'h' && p[2] == 'e' && p[3] == ' ')
		p += 4;
	return p;
}

static int same(const char *a, size_t na, const char *b, size_t nb)
{
	const char *ea = a + na, *eb = b + nb;
	int x, y;

	a = begin(a, ea);
	b = begin(b, eb);
	do {
		x = next(&a, ea);
		y = next(&b, eb);
	} while (x == y && x >= 0);
	return x == y;
}

static enum grade_verdict exact(const struct item *it, const char *text)
{
	const char *phrase, *body = letter_body(text);
	size_t n, i;

	phrase = letter_phrase(text, &n);
	for (i = 0; i < it->nwant; i++)
		if (same(phrase, n, it->want[i], strlen(it->want[i])) ||
		    same(body, strlen(body), it->want[i], strlen(it->want[i])))
			return VERDICT_RIGHT;
	return body[strspn(body, " \t\r\n")] ? VERDICT_WRONG : VERDICT_UNREADABLE;
}

enum grade_verdict grade_text(const struct item *it, const char *text)
{
	double v;
	int i;

	switch (it->grade) {
	case GRADE_LETTER:
		i = letter_find(text, it->nletter);
		return i < 0 ? VERDICT_UNREADABLE : i == it->letter ? VERDICT_RIGHT : VERDICT_WRONG;
	case GRADE_NUMERIC:
		v = letter_number(text);
		if (isnan(v))
			return VERDICT_UNREADABLE;
		return fabs(v - it->number) <= it->tolerance * fmax(fabs(it->number), LEAST) ? VERDICT_RIGHT :
											       VERDICT_WRONG;
	case GRADE_EXACT:
		return exact(it, text);
	default:
		return VERDICT_UNKNOWN;
	}
}

/* --- judges ------------------------------------------------------------------------------------------------------- */

/* Judges prefer what they see first, so half of the pairs are turned round. */
static int is_second(const struct item *it)
{
	uint64_t h = 0xcbf29ce484222325ull;
	const char *p;

	for (p = it->id; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
	return (h >> 32 ^ h) & 1;
}

char *grade_ask(const struct item *it, const char *text, const char *reference)
{
	const char *a = letter_body(text), *b = reference ? letter_body(reference) : it->want[0], *t;
	char *ret;
	int n;

	if (it->grade == GRADE_PAIRWISE) {
		if (is_second(it)) {
			t = a;
			a = b;
			b = t;
		}
		n = asprintf(&ret, "Two assistants have answered the same user. Judge which answer is better: correct, "
			     "helpful, and no longer than it needs to be. Their order means nothing.\n\n"
			     "<user>\n%s\n</user>\n\n<answer-A>\n%s\n</answer-A>\n\n<answer-B>\n%s\n</answer-B>\n\n"
			     "Say why in a few words. Then end with one line, which is one of [[A>>B]] (A is much "
			     "better), [[A>B]], [[A=B]], [[B>A]], [[B>>A]].", it->question, a, b);
	} else {
		n = asprintf(&ret, "Is the answer right, judged by the reference? It is right if it comes to the same "
			     "result; how it gets there does not matter.\n\n<question>\n%s\n</question>\n\n"
			     "<reference>\n%s\n</reference>\n\n<answer>\n%s\n</answer>\n\n"
			     "Say why in a few words. Then end with one line: [[RIGHT]] or [[WRONG]].",
			     it->question, b, a);
	}
	return n < 0 ? NULL : ret;
}

enum grade_verdict grade_judged(const struct item *it, const char *said)
{
	static const struct {
		const char *word;
		enum grade_kind kind;
		int better; /* 1: A, -1: B, 0: as good; of a reference: 1 right */
	} words[] = {
		{ "A>>B", GRADE_PAIRWISE, 1 }, { "A>B", GRADE_PAIRWISE, 1 }, { "A=B", GRADE_PAIRWISE, 0 },
		{ "B=A", GRADE_PAIRWISE, 0 }, { "B>A", GRADE_PAIRWISE, -1 }, { "B>>A", GRADE_PAIRWISE, -1 },
		{ "A<B", GRADE_PAIRWISE, -1 }, { "A<<B", GRADE_PAIRWISE, -1 }, { "RIGHT", GRADE_REFERENCE, 1 },
		{ "WRONG", GRADE_REFERENCE, -1 },
	};
	enum grade_verdict ret = VERDICT_UNREADABLE;
	const char *p, *end;
	size_t i;
	int better;

	said = letter_body(said);
	for (p = strstr(said, "[["); p; p = strstr(p + 1, "[[")) {
		end = strstr(p, "]]");
		for (i = 0; end && i < sizeof(words) / sizeof(*words); i++) {
			if (it->grade != words[i].kind || (size_t)(end - p - 2) != strlen(words[i].word) ||
			    memcmp(p + 2, words[i].word, strlen(words[i].word)))
				continue;
			better = it->grade == GRADE_PAIRWISE && is_second(it) ? -words[i].better : words[i].better;
			ret = better >= 0 ? VERDICT_RIGHT : VERDICT_WRONG;
		}
	}
	return ret;
}
