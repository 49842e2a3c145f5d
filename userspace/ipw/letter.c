// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/letter.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORDS_MAX 8 /* between a cue and its letter */

static const char *const sure[] = { "answer", "boxed{" };
static const char *const likely[] = {
	"choose", "pick", "select", "correct option", "correct choice", "correct letter", "option is", "choice is",
};

/* What may stand between a cue and its letter. Those that a letter may follow on another line come first. */
static const char *const fillers[] = {
	"is", "be", "option", "choice", "letter", "the", "correct", "right", "best", "final", "would", "should", "must",
	"therefore", "thus", "hence", "definitely", "clearly", "indeed", "simply", "to", "this", "question", "text",
	"textbf", "mathrm", "mathbf", "boxed", "i", "choose", "so",
};

static const char *const reasons[] = { "because", "since", "as", "is", "and", "or", "which", "with", "due", "for" };

#define N(a) (sizeof(a) / sizeof(*(a)))

static int is_word(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80; /* a byte of another script is none of ours */
}

static size_t word_len(const char *p)
{
	size_t n = 0;

	while (is_word(p[n]))
		n++;
	return n;
}

static int among(const char *p, size_t n, const char *const *list, size_t nlist)
{
	size_t i;

	for (i = 0; i < nlist; i++)
		if (strlen(list[i]) == n && !strncasecmp(p, list[i], n))
			return 1;
	return 0;
}

const char *letter_body(const char *text)
{
	const char *end = NULL, *p;

	for (p = strstr(text, "</think>"); p; p = strstr(p + 1, "</think>"))
		end = p + strlen("</think>");
	if (!end)
		end = text;
	return strstr(end, "<think>") ? text + strlen(text) : end;
}

/* --- one letter --------------------------------------------------------------------------------------------------- */

/* p is a letter by itself that may be an answer, and not the word "a" or "I" of a sentence. */
static int is_letter(const char *text, const char *p, int n)
{
	int c = toupper((unsigned char)*p);
	const char *next = p + 1;

	if (c < 'A' || c >= 'A' + n || is_word(*next) || (p > text && is_word(p[-1])))
		return 0;
	if (*next == '\'' && is_word(next[1]))
		return 0; /* I'm */
	if (*next != ' ')
		return isupper((unsigned char)*p) || !*next || strchr("\n\r.,;:)]}*_\"'`$", *next) != NULL;
	if (islower((unsigned char)*p))
		return 0;
	next += strspn(next, " ");
	if (!islower((unsigned char)*next))
		return 1;
	return (*p != 'A' && *p != 'I') || among(next, word_len(next), reasons, N(reasons));
}

/* Behind the letter at p stands another one, of equal rank. */
static int names_another(const char *text, const char *p, int n)
{
	size_t len;

	p++;
	p += strspn(p, ")]}*_\"'`$ ");
	len = word_len(p);
	if (*p == '/' || *p == '&' || *p == ',')
		len = 1;
	else if (!(len == 2 && !strncasecmp(p, "or", 2)) && !(len == 3 && !strncasecmp(p, "and", 3)))
		return 0;
	if (*p == ',' && p[1] == ' ' && !strncasecmp(p + 2, "or ", 3))
		len = 4;
	p += len;
	p += strspn(p, " ([{*_\"'`$");
	if (!isupper((unsigned char)*p) || !is_letter(text, p, n))
		return 0;
	p++;
	p += strspn(p, ")]}*_\"'`$");
	return !*p || strchr("\n\r.,;:!?/&", *p) || !strncasecmp(p, " or ", 4) || !strncasecmp(p, " and ", 5) ||
	       !strncasecmp(p, " are ", 5) || !strncasecmp(p, " both", 5);
}

static int take(const char *text, const char *p, int n)
{
	return names_another(text, p, n) ? LETTER_SEVERAL : toupper((unsigned char)*p) - 'A';
}

/* --- behind a cue ------------------------------------------------------------------------------------------------- */

/* From behind a cue to what it points at; NULL: at nothing. */
static const char *pointed_at(const char *p, int more_lines)
{
	int words = 0, crosses = more_lines;
	size_t len;

	for (;;) {
		for (; *p && strchr(" \t:=*_([{\"'`$\\>-#}\n\r", *p); p++) {
			crosses |= *p == ':' || *p == '=';
			if ((*p == '\n' || *p == '\r') && !crosses)
				return NULL;
		}
		len = word_len(p);
		if (len <= 1 || words++ == WORDS_MAX || !among(p, len, fillers, N(fillers)))
			return *p ? p : NULL;
		crosses |= among(p, len, fillers, 2);
		p += len;
	}
}

static int behind_cues(const char *text, const char *const *cues, size_t ncue, int n)
{
	int got = LETTER_NONE, most = -1;
	const char *p, *at;
	size_t i;

	for (i = 0; i < ncue; i++)
		for (p = strcasestr(text, cues[i]); p; p = strcasestr(p + 1, cues[i])) {
			if (p > text && is_word(p[-1]))
				continue;
			at = pointed_at(p + strlen(cues[i]), cues[i][strlen(cues[i]) - 1] == '{');
			if (at && is_letter(text, at, n) && at - text > most) {
				most = (int)(at - text);
				got = take(text, at, n);
			}
		}
	return got;
}

/* "C is the correct answer" */
static int before_cue(const char *text, int n)
{
	int got = LETTER_NONE;
	const char *p, *q;
	size_t i, len;

	for (p = text; *p; p++) {
		if (!isupper((unsigned char)*p) || (p > text && is_word(p[-1])) || is_word(p[1]))
			continue;
		if (*p >= 'A' + n)
			continue;
		q = p + 1 + strspn(p + 1, ")]}*_\"'`$ ");
		if (strncasecmp(q, "is the ", 7))
			continue;
		q += 7;
		for (i = 0; i < 2; i++, q += len + strspn(q + len, " ")) {
			len = word_len(q);
			if (!strncasecmp(q, "answer", 6) || !strncasecmp(q, "option", 6) ||
			    !strncasecmp(q, "choice", 6))
				got = *p - 'A';
		}
	}
	return got;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static int last_line(const char *text, int n)
{
	const char *end = text + strlen(text), *p;

	while (end > text && strchr(" \t\r\n)]}*_\"'`$.", end[-1]))
		end--;
	for (p = end; p > text && p[-1] != '\n'; p--)
		;
	p += strspn(p, " \t([{*_\"'`$#");
	return end == p + 1 && is_letter(text, p, n) ? toupper((unsigned char)*p) - 'A' : LETTER_NONE;
}

/* The letter that all places of one kind have in common. */
static int common(int have, int c)
{
	return have == LETTER_NONE || have == c ? c : LETTER_SEVERAL;
}

static int option_lines(const char *text, int n)
{
	int got = LETTER_NONE;
	const char *p, *q;

	for (p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		q = p + strspn(p, " \t([{*_\"'`$#");
		if (!isupper((unsigned char)*q) || *q >= 'A' + n || !q[1] || !strchr(").:", q[1]))
			continue;
		if (q[1] == '.' && is_word(q[2]))
			continue; /* an abbreviation */
		got = common(got, *q - 'A');
	}
	return got == LETTER_SEVERAL ? LETTER_NONE : got;
}

static int in_brackets(const char *text, int n)
{
	int got = LETTER_NONE;
	const char *p;

	for (p = strchr(text, '('); p; p = strchr(p + 1, '('))
		if (isupper((unsigned char)p[1]) && p[1] < 'A' + n && p[2] == ')')
			got = common(got, p[1] - 'A');
	return got;
}

int letter_find(const char *text, int n)
{
	int got;

	text = letter_body(text);
	got = behind_cues(text, sure, N(sure), n);
	if (got == LETTER_NONE)
		got = behind_cues(text, likely, N(likely), n);
	if (got == LETTER_NONE)
		got = before_cue(text, n);
	if (got == LETTER_NONE)
		got = last_line(text, n);
	if (got == LETTER_NONE)
		got = option_lines(text, n);
	if (got == LETTER_NONE)
		got = in_brackets(text, n);
	return got;
}

/* --- numbers and phrases ------------------------------------------------------------------------------------------ */

/* A number at p, thousands grouped or not; ret_end behind it. NAN: none. */
static double number_at(const char *p, const char **ret_end)
{
	char buf[64];
	size_t n = 0, i = 0;
	char *end;
	double v;

	if (p[i] == '-' || p[i] == '+')
		buf[n++] = p[i++];
	if (!isdigit((unsigned char)p[i]) && !(p[i] == '.' && isdigit((unsigned char)p[i + 1])))
		return NAN;
	for (; n + 1 < sizeof(buf) && p[i]; i++) {
		if (p[i] == ',' && isdigit((unsigned char)p[i + 1]) && isdigit((unsigned char)p[i + 2]) &&
		    isdigit((unsigned char)p[i + 3]) && !isdigit((unsigned char)p[i + 4]))
			continue;
		if (!isdigit((unsigned char)p[i]) && !strchr(".eE", p[i]) &&
		    !(strchr("+-", p[i]) && n && (buf[n - 1] | 32) == 'e'))
			break;
		buf[n++] = p[i];
	}
	buf[n] = 0;
	v = strtod(buf, &end);
	if (end == buf || !isfinite(v))
		return NAN;
	*ret_end = p + i - (buf + n - end);
	return v;
}

static double fraction_at(const char *p, const char **ret_end)
{
	double v = number_at(p, ret_end), w;
	const char *end;

	if (!isnan(v) && **ret_end == '/') {
		w = number_at(*ret_end + 1, &end);
		if (!isnan(w) && w != 0) {
			*ret_end = end;
			return v / w;
		}
	}
	return v;
}

/* The last cue of the text with something behind it. */
static const char *last_cue(const char *text)
{
	const char *p, *at, *got = NULL;
	size_t i;

	for (i = 0; i < N(sure); i++)
		for (p = strcasestr(text, sure[i]); p; p = strcasestr(p + 1, sure[i])) {
			at = p > text && is_word(p[-1]) ? NULL : pointed_at(p + strlen(sure[i]), 0);
			if (at && (!got || at > got))
				got = at;
		}
	return got;
}

double letter_number(const char *text)
{
	const char *p, *end, *cue;
	double v, got = NAN;

	text = letter_body(text);
	cue = last_cue(text);
	for (p = cue ? cue : text; *p && !(cue && *p == '\n'); p++) {
		if (p > text && (is_word(p[-1]) || (p[-1] == '.' && p > text + 1 && isdigit((unsigned char)p[-2]))))
			continue;
		/* pointed_at() takes a sign for an ornament */
		v = fraction_at(p > text && p[-1] == '-' && p == cue ? p - 1 : p, &end);
		if (isnan(v))
			continue;
		if (cue)
			return v;
		got = v;
		p = end - 1;
	}
	return got;
}

/* Behind "answer" at p: what its colon or "is" introduces; NULL: it has none. */
static const char *introduced(const char *p)
{
	const char *from;

	p += strspn(p, " *_");
	if (*p == ':')
		p++;
	else if (!strncasecmp(p, "is", 2) && !is_word(p[2]))
		p += 2;
	else
		return NULL;
	from = p;
	p += strspn(p, " \t:*_\r\n");
	return p == from && *p != '"' ? NULL : p;
}

const char *letter_phrase(const char *text, size_t *ret_len)
{
	const char *p, *at, *got = NULL;

	text = letter_body(text);
	for (p = strcasestr(text, "answer"); p; p = strcasestr(p + 1, "answer")) {
		at = p > text && is_word(p[-1]) ? NULL : introduced(p + strlen("answer"));
		got = at && *at ? at : got;
	}
	*ret_len = got ? strcspn(got, "\r\n") : strlen(text);
	return got ? got : text;
}
