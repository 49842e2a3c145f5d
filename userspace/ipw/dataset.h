/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Data sets: queries, and what a right answer to each is. JSON lines, one row a line, in the form in which the
 * publisher has them (Parquet and Arrow are made JSON lines by scripts/to-jsonl):
 *
 *   mmlu-pro           question_id, question, options[], answer_index or answer (a letter), category
 *   supergpqa          uuid, question, options[], answer_letter, discipline, difficulty
 *   natural-reasoning  question, reference_answer
 *   wildchat           conversation_hash, conversation[]{role, content}: up to its first answer, which is the reference
 *   jsonl              id, prompt or question or messages[]{role, content}, options[], answer (a string, a number, a
 *                      list of strings), reference, grade (letter, exact, numeric, reference, pairwise, none),
 *                      tolerance, category, difficulty
 *
 * A row that is none is reported, counted and left out; a row without an id has "line-N", one whose id was there before
 * "ID#2" and so on: ids are the same each time a file is read.
 */
#ifndef IPW_DATASET_H
#define IPW_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/util/hash.h"

#define DATASET_OPTIONS 26 /* letters */

enum grade_kind {
	GRADE_NONE,      /* no right answer is known */
	GRADE_LETTER,    /* of an option; want_letter */
	GRADE_EXACT,     /* one of want[] */
	GRADE_NUMERIC,   /* want_number, within tolerance */
	GRADE_REFERENCE, /* a judge compares it with want[0] */
	GRADE_PAIRWISE,  /* a judge says which is better, this one or want[0]; as good is enough */
};

struct item {
	char  *id;
	char  *messages;     /* JSON: what is sent */
	char  *question;     /* as text, for a judge */
	char  *category, *difficulty; /* NULL: not said */
	enum grade_kind grade;
	int    letter, nletter; /* GRADE_LETTER: 0 for A; how many options */
	double number, tolerance; /* GRADE_NUMERIC: of its size, and at least of 1e-12 */
	char **want;
	size_t nwant;
};

struct dataset {
	char         name[32];  /* of the form; of jsonl that of the file, without its ending */
	struct item *item;
	size_t       n, cap;
	size_t       bad;       /* rows left out */
	struct hash  ids;       /* place in item, from 1 */
	uint64_t     sum;       /* over all that is sent and expected */
};

/* Called for each row that is left out; line counts from 1. */
typedef void (*dataset_bad)(void *ctx, const char *path, size_t line, const char *why);

/* "mmlu-pro:PATH". 0; -EINVAL: there is no such form; -errno of the file; -ENODATA: no row in it is good. */
int  dataset_read(struct dataset *d, const char *spec, dataset_bad bad, void *ctx);
void dataset_release(struct dataset *d);
const struct item *dataset_find(const struct dataset *d, const char *id);

/* The names of the forms, NULL behind the last. */
const char *dataset_form(int i);
const char *grade_kind_name(enum grade_kind k);

/* One row, for the reader and its fuzzer. 0, or -EBADMSG with the reason in ret_why. */
int  dataset_row(int form, const char *line, size_t len, struct item *ret, const char **ret_why);
void dataset_item_release(struct item *it);

#endif
