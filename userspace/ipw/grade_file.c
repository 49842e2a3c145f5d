// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/grade_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/util/args.h"

#define BAD_SAID 5

/* --- tables ------------------------------------------------------------------------------------------------------- */

static uint64_t sum(const char *id, int repetition, const char *run, const char *model)
{
	const char *part[] = { id, run, model };
	uint64_t h = 0xcbf29ce484222325ull + (uint64_t)(repetition + 1);
	const char *p;
	size_t i;

	for (i = 0; i < 3; i++) {
		for (p = part[i]; *p; p++)
			h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
		h = (h ^ 0xff) * 0x100000001b3ull;
	}
	return h;
}

static const char *string(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

static int repetition(const cJSON *o)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, "repetition");

	return cJSON_IsNumber(v) ? v->valueint : -1;
}

/* Calls fn for each object of a file. 0, or -errno of the file or of fn. */
static int each(struct grading *g, const char *path, int (*fn)(struct grading *g, cJSON *o, const char *line, FILE *to),
		FILE *to)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0, at = 0;
	ssize_t n;
	cJSON *o;
	int err = 0;

	if (!f)
		return -errno;
	while (!err && (n = getline(&line, &cap, f)) >= 0) {
		at++;
		o = cJSON_ParseWithLength(line, (size_t)n);
		if (cJSON_IsObject(o))
			err = fn(g, o, line, to);
		else if (line[strspn(line, " \t\r\n")] && g->bad++ < BAD_SAID)
			say("%s:%zu: left out: it is no JSON object", path, at);
		cJSON_Delete(o);
	}
	if (!err && ferror(f))
		err = -EIO;
	free(line);
	fclose(f);
	return err;
}

static int keep(struct hash *h, uint64_t key, const char *text)
{
	char *s = strdup(text), *old = hash_get(h, key);
	int err = s ? hash_put(h, key, s) : -ENOMEM;

	free(err ? s : old);
	return err;
}

static int take_answer(struct grading *g, cJSON *o, const char *line, FILE *to)
{
	if (strcmp(string(o, "type"), "answer"))
		return 0;
	return keep(&g->answers, sum(string(o, "query_id"), repetition(o), string(o, "run"), ""), string(o, "text"));
}

static int take_reference(struct grading *g, cJSON *o, const char *line, FILE *to)
{
	if (strcmp(string(o, "type"), "answer"))
		return 0;
	return keep(&g->references, sum(string(o, "query_id"), -1, "", ""), string(o, "text"));
}

static int take_verdict(struct grading *g, cJSON *o, const char *line, FILE *to)
{
	const cJSON *c = cJSON_GetObjectItemCaseSensitive(o, "correct");
	const char *run = string(o, "run"), *said = string(o, "said");
	enum grade_verdict v = cJSON_IsNumber(c) && c->valuedouble == 1 ? VERDICT_RIGHT :
			       !strcmp(said, "unparsable") ? VERDICT_UNREADABLE : VERDICT_WRONG;

	if (!(cJSON_IsNumber(c) && (c->valuedouble == 0 || c->valuedouble == 1)) || !*string(o, "query_id")) {
		if (!cJSON_IsNull(c) && g->bad++ < BAD_SAID)
			say("%s: left out: a verdict without query_id, or whose correct is not 0, 1 or null",
			    g->o->verdicts);
		return 0;
	}
	return hash_put(&g->verdicts, sum(string(o, "query_id"), repetition(o), run, *run ? "" : string(o, "model")),
			(void *)(uintptr_t)(v + 1));
}

/* --- the first pass: what is known, and what is to be asked ------------------------------------------------------- */

static int imported(const struct grading *g, const cJSON *o, enum grade_verdict *ret)
{
	const char *id = string(o, "query_id"), *run = string(o, "run"), *model = string(o, "model");
	int rep = repetition(o);
	uint64_t key[] = { sum(id, rep, run, ""), sum(id, rep, "", model), sum(id, rep, "", ""),
			   sum(id, -1, "", model), sum(id, -1, "", "") };
	size_t i;

	for (i = 0; i < sizeof(key) / sizeof(*key); i++)
		if (hash_get(&g->verdicts, key[i])) {
			*ret = (enum grade_verdict)((uintptr_t)hash_get(&g->verdicts, key[i]) - 1);
			return 1;
		}
	return 0;
}

static int ask(struct grading *g, const cJSON *o, const struct item *it, const char *text)
{
	struct question *more;

	if (g->nask == g->ask_cap) {
		more = realloc(g->ask, (g->ask_cap ? 2 * g->ask_cap : 256) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		g->ask = more;
		g->ask_cap = g->ask_cap ? 2 * g->ask_cap : 256;
	}
	more = &g->ask[g->nask];
	*more = (struct question){ .row = g->nrow, .it = it, .run = strdup(string(o, "run")),
				   .model = strdup(string(o, "model")), .repetition = repetition(o), .text = text,
				   .reference = hash_get(&g->references, sum(it->id, -1, "", "")) };
	g->nask += more->run && more->model;
	return more->run && more->model ? 0 : -ENOMEM;
}

static int room(struct grading *g)
{
	size_t cap = g->cap ? 2 * g->cap : 4096;
	uint8_t *v, *j;

	if (g->nrow < g->cap)
		return 0;
	v = realloc(g->verdict, cap);
	g->verdict = v ? v : g->verdict;
	j = realloc(g->judged, cap);
	g->judged = j ? j : g->judged;
	g->cap = v && j ? cap : g->cap;
	return v && j ? 0 : -ENOMEM;
}

/* What stays as it was has VERDICT_UNKNOWN. */
static int decide(struct grading *g, cJSON *o, const char *line, FILE *to)
{
	const struct item *it = dataset_find(&g->d, string(o, "query_id"));
	const char *text, *end = string(o, "end");
	enum grade_verdict v = VERDICT_UNKNOWN;
	int rep = repetition(o), err;

	if (strcmp(string(o, "type"), "result"))
		return 0;
	err = room(g);
	if (err)
		return err;
	text = hash_get(&g->answers, sum(string(o, "query_id"), rep, string(o, "run"), ""));
	text = text ? text : hash_get(&g->answers, sum(string(o, "query_id"), rep, "", ""));
	g->judged[g->nrow] = 0;
	if (*end && strcmp(end, "complete"))
		v = VERDICT_FAILED;
	else if (imported(g, o, &v))
		g->judged[g->nrow] = 1;
	else if (it && text)
		v = grade_text(it, text);
	if (v == VERDICT_UNKNOWN) {
		g->strange += !it;
		g->no_text += it && !text;
		if (it && text && it->grade >= GRADE_REFERENCE)
			err = ask(g, o, it, text);
	}
	g->verdict[g->nrow++] = (uint8_t)v;
	return err;
}

/* --- the second pass ---------------------------------------------------------------------------------------------- */

static const char *const ours[] = { "failed", "unparsable", "unparsable_verdict" };

static void set_flags(cJSON *o, int which)
{
	cJSON *old = cJSON_DetachItemFromObjectCaseSensitive(o, "flags");
	cJSON *list = cJSON_AddArrayToObject(o, "flags"), *f;
	const char *s;
	int i, is_ours;

	cJSON_ArrayForEach(f, old) {
		s = cJSON_GetStringValue(f);
		for (i = is_ours = 0; s && i < 3; i++)
			is_ours |= !strcmp(s, ours[i]);
		if (s && !is_ours)
			cJSON_AddItemToArray(list, cJSON_CreateString(s));
	}
	if (which >= 0)
		cJSON_AddItemToArray(list, cJSON_CreateString(ours[which]));
	cJSON_Delete(old);
}

static int write_row(struct grading *g, cJSON *o, const char *line, FILE *to)
{
	enum grade_verdict v;
	cJSON *c;
	char *s;

	if (strcmp(string(o, "type"), "result"))
		return fputs(line, to) < 0 || (!strchr(line, '\n') && fputc('\n', to) < 0) ? -EIO : 0;
	if (g->nrow == g->cap)
		return -ESTALE; /* the file has grown meanwhile */
	v = (enum grade_verdict)g->verdict[g->nrow];
	if (v != VERDICT_UNKNOWN) {
		c = cJSON_CreateNumber(grade_correct(v));
		if (!cJSON_ReplaceItemInObjectCaseSensitive(o, "correct", c)) {
			cJSON_Delete(c);
			cJSON_AddNumberToObject(o, "correct", grade_correct(v));
		}
		set_flags(o, v == VERDICT_FAILED ? 0 : v != VERDICT_UNREADABLE ? -1 : g->judged[g->nrow] ? 2 : 1);
	}
	g->nrow++;
	s = cJSON_PrintUnformatted(o);
	if (!s)
		return -ENOMEM;
	v = fprintf(to, "%s\n", s) < 0;
	free(s);
	return v ? -EIO : 0;
}

/* Beside the file first: what was there stays until all is written. */
static int write_all(struct grading *g)
{
	FILE *f = stdout;
	char *tmp = NULL;
	int err, e;

	if (g->o->out) {
		if (asprintf(&tmp, "%s.new", g->o->out) < 0)
			return -ENOMEM;
		f = fopen(tmp, "we");
		if (!f) {
			free(tmp);
			return -errno;
		}
	}
	g->cap = g->nrow;
	g->nrow = 0;
	err = each(g, g->o->in, write_row, f);
	e = g->o->out ? fclose(f) : fflush(f);
	err = err ? err : e ? -EIO : 0;
	if (g->o->out && !err && rename(tmp, g->o->out))
		err = -errno;
	if (g->o->out && err)
		unlink(tmp);
	free(tmp);
	return err;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int cannot(const char *what, const char *path, int err)
{
	if (err)
		say("cannot %s '%s': %s", what, path, strerror(-err));
	return err;
}

static int read_all(struct grading *g)
{
	const struct grade_opts *o = g->o;
	const char *path = strchr(o->dataset, ':');
	int err = dataset_read(&g->d, o->dataset, NULL, NULL);

	if (err == -EINVAL)
		say("bad value for --dataset: '%s'", o->dataset);
	else if (err)
		say("cannot read '%s': %s", path + 1,
		    err == -ENODATA ? "no row in it is of that form" : strerror(-err));
	if (!err && o->answers)
		err = cannot("read", o->answers, each(g, o->answers, take_answer, NULL));
	if (!err && o->reference)
		err = cannot("read", o->reference, each(g, o->reference, take_reference, NULL));
	if (!err && o->verdicts && (!o->judge_url || !access(o->verdicts, F_OK)))
		err = cannot("read", o->verdicts, each(g, o->verdicts, take_verdict, NULL));
	return err ? err : cannot("read", o->in, each(g, o->in, decide, NULL));
}

static void say_counts(const struct grading *g)
{
	size_t n[VERDICT_UNKNOWN + 1] = { 0 }, unreadable_verdicts = 0, i;

	for (i = 0; i < g->nrow; i++) {
		n[g->verdict[i]]++;
		unreadable_verdicts += g->verdict[i] == VERDICT_UNREADABLE && g->judged[i];
	}
	say("%zu right of %zu; of the others %zu have no answer that can be read, %zu failed", n[VERDICT_RIGHT],
	    g->nrow - n[VERDICT_UNKNOWN], n[VERDICT_UNREADABLE] - unreadable_verdicts, n[VERDICT_FAILED]);
	if (unreadable_verdicts)
		say("%zu verdicts cannot be read, and count as wrong", unreadable_verdicts);
	if (n[VERDICT_UNKNOWN])
		say("%zu have no verdict: %zu wait for a judge, %zu have no text in the answers, %zu are not in the "
		    "data set", n[VERDICT_UNKNOWN], n[VERDICT_UNKNOWN] - g->no_text - g->strange, g->no_text,
		    g->strange);
	if (g->unjudged)
		say("the judge failed %zu times, last: %s", g->unjudged, g->why);
}

static void texts_release(struct hash *h)
{
	size_t i = 0;
	char *s;

	while ((s = hash_next(h, &i)))
		free(s);
	hash_release(h);
}

static void release(struct grading *g)
{
	size_t i;

	for (i = 0; i < g->nask; i++) {
		free(g->ask[i].run);
		free(g->ask[i].model);
	}
	free(g->ask);
	free(g->verdict);
	free(g->judged);
	texts_release(&g->answers);
	texts_release(&g->references);
	hash_release(&g->verdicts);
	dataset_release(&g->d);
}

int grade_run(const struct grade_opts *o)
{
	struct grading g = { .o = o };
	size_t i, open = 0;
	int err = read_all(&g);

	if (!err && g.nask && o->judge_url)
		err = grade_judge(&g);
	if (!err)
		err = cannot("write", o->out ? o->out : "the output", write_all(&g));
	for (i = 0; !err && i < g.nrow; i++)
		open += g.verdict[i] == VERDICT_UNKNOWN;
	if (!err)
		say_counts(&g);
	release(&g);
	return err || open ? 1 : 0;
}
