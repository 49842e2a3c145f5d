// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The forms of rows: a table of which member is what, and the few things that a table cannot say. */
#include "userspace/ipw/dataset.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

/* Behind a question with options: so that the letter can be found. */
#define ASK_LETTER "Think as long as you need, then end with one line: \"Answer: X\", where X is the letter of your " \
		   "choice."
#define ASK_SHORT  "End with one line: \"Answer: \" and the answer, and nothing else in that line."
#define TOLERANCE  1e-6 /* of a numeric answer, where the row does not say */

static const struct form {
	const char *name, *id, *category, *difficulty;
	const char *letter, *index;    /* of the right option */
	const char *reference;
	enum grade_kind grade;
} forms[] = {
	{ "mmlu-pro", "question_id", "category", NULL, "answer", "answer_index", NULL, GRADE_LETTER },
	{ "supergpqa", "uuid", "discipline", "difficulty", "answer_letter", NULL, NULL, GRADE_LETTER },
	{ "natural-reasoning", "id", "category", "difficulty", NULL, NULL, "reference_answer", GRADE_REFERENCE },
	{ "wildchat", "conversation_hash", "category", NULL, NULL, NULL, NULL, GRADE_PAIRWISE },
	{ "jsonl", "id", "category", "difficulty", NULL, NULL, "reference", GRADE_NONE },
};

static const char *const kinds[] = { "none", "letter", "exact", "numeric", "reference", "pairwise" };

#define N(a) (sizeof(a) / sizeof(*(a)))

const char *dataset_form(int i)
{
	return i >= 0 && i < (int)N(forms) ? forms[i].name : NULL;
}

const char *grade_kind_name(enum grade_kind k)
{
	return kinds[k];
}

void dataset_item_release(struct item *it)
{
	size_t i;

	for (i = 0; i < it->nwant; i++)
		free(it->want[i]);
	free(it->want);
	free(it->id);
	free(it->messages);
	free(it->question);
	free(it->category);
	free(it->difficulty);
	*it = (struct item){ 0 };
}

/* --- members ------------------------------------------------------------------------------------------------------ */

static const cJSON *member(const cJSON *row, const char *name)
{
	return name ? cJSON_GetObjectItemCaseSensitive(row, name) : NULL;
}

static const char *text(const cJSON *row, const char *name)
{
	const char *s = cJSON_GetStringValue(member(row, name));

	return s && *s ? s : NULL;
}

/* A string, or a number as one. NULL: neither. */
static char *name_of(const cJSON *row, const char *key)
{
	const cJSON *v = member(row, key);
	char buf[32];

	if (cJSON_IsNumber(v) && fabs(v->valuedouble) < 1e15) {
		snprintf(buf, sizeof(buf), "%.15g", v->valuedouble);
		return strdup(buf);
	}
	return text(row, key) ? strdup(text(row, key)) : NULL;
}

static int want_add(struct item *it, const char *s)
{
	char **more = s ? realloc(it->want, (it->nwant + 1) * sizeof(*more)) : NULL;

	if (!more)
		return s ? -ENOMEM : -EBADMSG;
	it->want = more;
	it->want[it->nwant] = strdup(s);
	if (!it->want[it->nwant])
		return -ENOMEM;
	it->nwant++;
	return 0;
}

/* --- the query ---------------------------------------------------------------------------------------------------- */

/* Question, options with their letters, and how to answer. */
static int compose(struct item *it, const char *question, const cJSON *options)
{
	size_t size = 0;
	char *buf = NULL;
	FILE *f = open_memstream(&buf, &size);
	const cJSON *o;
	int i = 0;

	if (!f)
		return -ENOMEM;
	fputs(question, f);
	cJSON_ArrayForEach(o, options)
		fprintf(f, "%s%c. %s", i ? "\n" : "\n\n", 'A' + i, o->valuestring), i++;
	if (it->grade == GRADE_LETTER)
		fputs("\n\n" ASK_LETTER, f);
	else if (it->grade == GRADE_EXACT || it->grade == GRADE_NUMERIC)
		fputs("\n\n" ASK_SHORT, f);
	if (fclose(f)) {
		free(buf);
		return -ENOMEM;
	}
	it->question = buf;
	return 0;
}

static cJSON *message(const char *role, const char *content)
{
	cJSON *m = cJSON_CreateObject();

	cJSON_AddStringToObject(m, "role", role);
	cJSON_AddStringToObject(m, "content", content);
	return m;
}

/* it->messages from it->question, as one user's message. */
static int send_question(struct item *it)
{
	cJSON *all = cJSON_CreateArray();

	cJSON_AddItemToArray(all, message("user", it->question));
	it->messages = cJSON_PrintUnformatted(all);
	cJSON_Delete(all);
	return it->messages ? 0 : -ENOMEM;
}

/* The messages before the first of the assistant's, which is left in ret_reference (NULL: there is none). */
static int talk(struct item *it, const cJSON *list, const char **ret_reference, const char **why)
{
	cJSON *all = cJSON_CreateArray();
	const char *role = NULL, *content = NULL, *last = NULL;
	const cJSON *m;

	*ret_reference = NULL;
	cJSON_ArrayForEach(m, list) {
		role = text(m, "role");
		content = text(m, "content");
		if (!role || !content)
			break;
		if (!strcmp(role, "assistant")) {
			*ret_reference = content;
			break;
		}
		cJSON_AddItemToArray(all, message(role, content));
		last = content;
	}
	it->messages = last ? cJSON_PrintUnformatted(all) : NULL;
	it->question = last ? strdup(last) : NULL;
	cJSON_Delete(all);
	if (!last || (!*ret_reference && m)) {
		*why = !last ? "it begins with no message of a user" : "a message has no role or no content";
		return -EBADMSG;
	}
	return it->messages && it->question ? 0 : -ENOMEM;
}

/* --- the right answer --------------------------------------------------------------------------------------------- */

static int options_of(const cJSON *row, struct item *it, const cJSON **ret, const char **why)
{
	const cJSON *o;

	*ret = member(row, "options");
	it->nletter = cJSON_GetArraySize(*ret);
	*why = "options is no list of 2 to 26 texts";
	if (!cJSON_IsArray(*ret) || it->nletter < 2 || it->nletter > DATASET_OPTIONS)
		return -EBADMSG;
	cJSON_ArrayForEach(o, *ret)
		if (!cJSON_IsString(o))
			return -EBADMSG;
	return 0;
}

/* Where the row says it twice, both have to agree. */
static int letter_of(const struct form *f, const cJSON *row, struct item *it, const char **why)
{
	const char *s = text(row, f->letter);
	const cJSON *i = member(row, f->index);

	it->letter = s && s[0] >= 'A' && s[0] <= 'Z' && !s[1] ? s[0] - 'A' : -1;
	*why = "its answer is no letter of an option";
	if (cJSON_IsNumber(i)) {
		if (s && it->letter != i->valueint) {
			*why = "answer and answer_index differ";
			return -EBADMSG;
		}
		it->letter = i->valueint;
	}
	return it->letter >= 0 && it->letter < it->nletter ? 0 : -EBADMSG;
}

static int number_of(const cJSON *row, struct item *it, const char **why)
{
	const cJSON *a = member(row, "answer"), *t = member(row, "tolerance");
	const char *s = cJSON_GetStringValue(a);
	char *end = NULL;

	it->number = cJSON_IsNumber(a) ? a->valuedouble : s ? strtod(s, &end) : NAN;
	it->tolerance = cJSON_IsNumber(t) ? t->valuedouble : TOLERANCE;
	*why = "its answer is no number, or its tolerance is none";
	if (!isfinite(it->number) || (s && (end == s || *end)) || !(it->tolerance >= 0) || (t && !cJSON_IsNumber(t)))
		return -EBADMSG;
	return 0;
}

static int exact_of(const cJSON *row, struct item *it, const char **why)
{
	const cJSON *a = member(row, "answer"), *o;
	int err = cJSON_IsArray(a) && a->child ? 0 : want_add(it, text(row, "answer"));

	*why = "its answer is no text, nor a list of texts";
	if (cJSON_IsArray(a))
		cJSON_ArrayForEach(o, a)
			err = err ? err : want_add(it, cJSON_GetStringValue(o));
	return err;
}

/* The kind that the row of a plain file is: as it says, or as its answer looks. */
static int plain_kind(const cJSON *row, const char **why)
{
	const char *s = text(row, "grade");
	size_t i;

	for (i = 0; s && i < N(kinds); i++)
		if (!strcmp(s, kinds[i]))
			return (int)i;
	*why = "grade is none that is known";
	if (s)
		return -EBADMSG;
	if (member(row, "options"))
		return GRADE_LETTER;
	if (cJSON_IsNumber(member(row, "answer")))
		return GRADE_NUMERIC;
	return member(row, "answer") ? GRADE_EXACT : text(row, "reference") ? GRADE_REFERENCE : GRADE_NONE;
}

static int answer_of(const struct form *f, const cJSON *row, struct item *it, const char **why)
{
	struct form plain = *f;

	switch (it->grade) {
	case GRADE_LETTER:
		plain.letter = plain.letter ? plain.letter : "answer";
		return letter_of(&plain, row, it, why);
	case GRADE_NUMERIC:
		return number_of(row, it, why);
	case GRADE_EXACT:
		return exact_of(row, it, why);
	case GRADE_REFERENCE:
	case GRADE_PAIRWISE:
		*why = "it has no reference answer";
		return it->nwant ? 0 : want_add(it, text(row, f->reference));
	default:
		return 0;
	}
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static int fill(const struct form *f, const cJSON *row, struct item *it, const char **why)
{
	const cJSON *list = member(row, f->grade == GRADE_PAIRWISE ? "conversation" : "messages"), *options = NULL;
	const char *q = text(row, "question") ? text(row, "question") : text(row, "prompt"), *reference = NULL;
	int err = 0, kind = f->grade ? (int)f->grade : plain_kind(row, why);

	if (kind < 0)
		return kind;
	it->grade = (enum grade_kind)kind;
	it->id = name_of(row, f->id);
	it->category = name_of(row, f->category);
	it->difficulty = name_of(row, f->difficulty);
	if (it->grade == GRADE_LETTER)
		err = options_of(row, it, &options, why);
	if (!err && cJSON_IsArray(list)) {
		err = talk(it, list, &reference, why);
	} else if (!err) {
		*why = f->grade == GRADE_PAIRWISE ? "it has no conversation" : "it has no question";
		err = q && f->grade != GRADE_PAIRWISE ? compose(it, q, options) : -EBADMSG;
		if (!err)
			err = send_question(it);
	}
	if (!err && reference && it->grade == GRADE_PAIRWISE)
		err = want_add(it, reference);
	return err ? err : answer_of(f, row, it, why);
}

int dataset_row(int form, const char *line, size_t len, struct item *ret, const char **ret_why)
{
	const char *end = NULL;
	cJSON *row = cJSON_ParseWithLengthOpts(line, len, &end, 0);
	struct item it = { .letter = -1 };
	int err = -EBADMSG;

	*ret_why = "it is no JSON object";
	if (cJSON_IsObject(row) && end == line + len)
		err = fill(&forms[form], row, &it, ret_why);
	cJSON_Delete(row);
	if (err)
		dataset_item_release(&it);
	else
		*ret = it;
	return err;
}
