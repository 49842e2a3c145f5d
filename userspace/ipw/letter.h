/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an answer says in the end: the letter of an option, or a number. By rule, and no judge; the cases that the rules
 * were written for are tests/ipw/letters.json.
 *
 * Only what stands behind the last "</think>" counts; where one was opened and never closed, nothing does. The letter,
 * by the first of these that finds one (the last place in the text wins; a letter beyond the last option is none):
 *
 *   1. behind "answer" or "\boxed{": "the answer is (C)", "Answer: **C**"
 *   2. behind "choose", "pick", "correct option" and the like, or before "is the correct answer"
 *   3. a last line that is a letter alone
 *   4. lines that begin as an option does ("C) Paris"), if all of them have the same letter
 *   5. "(C)" anywhere, if there is no other letter in brackets
 *
 * A place that names two ("A or B") says that there is no one answer, and ends the search.
 */
#ifndef IPW_LETTER_H
#define IPW_LETTER_H

#include <stddef.h>

enum { LETTER_NONE = -1, LETTER_SEVERAL = -2 };

/* Which of the options, 0 for A; n: how many there are, at most 26. */
int letter_find(const char *text, int n);

/* What counts of a text: behind its thoughts. Never NULL. */
const char *letter_body(const char *text);

/*
 * The number behind the last "answer" or "\boxed{", or else the last one in the text. "1,234.5", "-3e8", "$12", "50%"
 * (which is 50) and "3/4" are numbers. NAN: there is none.
 */
double letter_number(const char *text);

/* Behind the last "answer" and its ':' or "is" up to the end of that line; all of the text where there is none. */
const char *letter_phrase(const char *text, size_t *ret_len);

#endif
