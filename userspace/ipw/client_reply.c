// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The body of an answer: server-sent events (WHATWG HTML, 9.2.6), or one JSON text. */
#include "userspace/ipw/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "userspace/util/str.h"

enum { FORM_UNKNOWN, FORM_EVENTS, FORM_WHOLE, FORM_GARBAGE };

static const char *const ends[] = { "complete", "error", "garbage", "cut", "timeout", "closed", "refused", "cancel" };

const char *reply_end_name(enum reply_end e)
{
	return ends[e];
}

void reply_init(struct reply *r)
{
	*r = (struct reply){ .prompt = -1, .cached = -1, .completion = -1 };
}

void reply_release(struct reply *r)
{
	free(r->text);
	free(r->line);
	r->text = r->line = NULL;
}

/* 0, or -1: there is no room, and r says so. */
static int grow(char **buf, size_t *cap, size_t want, size_t max)
{
	size_t n = *cap ? *cap : 256;
	char *more;

	while (n < want)
		n *= 2;
	if (want > max)
		return -1;
	more = n == *cap ? *buf : realloc(*buf, n);
	if (!more)
		return -1;
	*buf = more;
	*cap = n;
	return 0;
}

static void text_add(struct reply *r, const char *s)
{
	size_t n = strlen(s);

	if (r->cut_text || grow(&r->text, &r->text_cap, r->ntext + n + 1, REPLY_TEXT_MAX)) {
		r->cut_text = 1;
		return;
	}
	memcpy(r->text + r->ntext, s, n + 1);
	r->ntext += n;
}

/* --- one JSON text ------------------------------------------------------------------------------------------------ */

static const char *string(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s && *s ? s : NULL;
}

static void count(const cJSON *o, const char *key, int64_t *ret)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < 1e15)
		*ret = (int64_t)v->valuedouble;
}

static void usage(struct reply *r, const cJSON *event)
{
	const cJSON *u = cJSON_GetObjectItemCaseSensitive(event, "usage");
	const cJSON *t = cJSON_GetObjectItemCaseSensitive(event, "timings");

	count(t, "cache_n", &r->cached); /* llama.cpp's own */
	count(u, "prompt_tokens", &r->prompt);
	count(u, "completion_tokens", &r->completion);
	count(cJSON_GetObjectItemCaseSensitive(u, "prompt_tokens_details"), "cached_tokens", &r->cached);
}

static void logprobs(struct reply *r, const cJSON *choice)
{
	const cJSON *lp = cJSON_GetObjectItemCaseSensitive(choice, "logprobs"), *t, *v;

	cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(lp, "content")) {
		v = cJSON_GetObjectItemCaseSensitive(t, "logprob");
		if (cJSON_IsNumber(v)) {
			r->logprob += v->valuedouble;
			r->nlogprob++;
		}
	}
}

static void choice(struct reply *r, const cJSON *c, uint64_t now)
{
	const cJSON *d = cJSON_GetObjectItemCaseSensitive(c, r->form == FORM_WHOLE ? "message" : "delta");
	const cJSON *tools = cJSON_GetObjectItemCaseSensitive(d, "tool_calls");
	const char *said = string(d, "content"), *finish = string(c, "finish_reason");
	const char *thought = string(d, "reasoning_content");

	thought = thought ? thought : string(d, "reasoning");
	said = said ? said : string(d, "refusal");
	if (said || thought || (cJSON_IsArray(tools) && tools->child)) {
		r->parts++;
		r->first_ns = r->first_ns ? r->first_ns : now;
	}
	if (said) {
		r->visible_ns = r->visible_ns ? r->visible_ns : now;
		text_add(r, said);
	}
	logprobs(r, c);
	if (finish) {
		r->finished = 1;
		str_clean(r->finish, sizeof(r->finish), finish, strlen(finish));
	}
}

static void failed(struct reply *r, const cJSON *error)
{
	const char *s = cJSON_GetStringValue(error);

	s = s ? s : string(error, "message");
	r->failed = 1;
	str_clean(r->why, sizeof(r->why), s ? s : "an error without a message", s ? strlen(s) : 26);
}

static void json(struct reply *r, const char *p, size_t n, uint64_t now)
{
	cJSON *event = cJSON_ParseWithLength(p, n), *c;
	const cJSON *error = cJSON_GetObjectItemCaseSensitive(event, "error");
	const char *model = string(event, "model");

	if (!cJSON_IsObject(event)) {
		cJSON_Delete(event);
		r->form = FORM_GARBAGE;
		return;
	}
	r->events = 1;
	if (error && !cJSON_IsNull(error) && !cJSON_IsFalse(error))
		failed(r, error);
	if (model)
		str_clean(r->model, sizeof(r->model), model, strlen(model));
	c = cJSON_GetObjectItemCaseSensitive(event, "choices");
	if (cJSON_IsArray(c) && c->child)
		choice(r, c->child, now);
	usage(r, event);
	cJSON_Delete(event);
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static void line_over(struct reply *r, uint64_t now)
{
	const char *p = r->line;
	size_t n = r->nline;

	r->nline = 0;
	if (n < 5 || memcmp(p, "data:", 5))
		return;
	p += 5;
	n -= 5;
	for (; n && *p == ' '; p++)
		n--;
	if (n == 6 && !memcmp(p, "[DONE]", 6))
		r->finished = 1;
	else if (n)
		json(r, p, n, now);
}

static void keep(struct reply *r, const char *p, size_t n)
{
	size_t max = r->form == FORM_WHOLE ? REPLY_TEXT_MAX : REPLY_LINE_MAX;

	if (grow(&r->line, &r->line_cap, r->nline + n, max)) {
		r->form = FORM_GARBAGE;
		return;
	}
	memcpy(r->line + r->nline, p, n);
	r->nline += n;
}

/* What the first byte says that is none of space. */
static void tell_form(struct reply *r, const char **p, const char *end)
{
	while (*p < end && strchr(" \t\r\n", **p) && **p)
		(*p)++;
	if (*p < end)
		r->form = **p == '{' ? FORM_WHOLE : **p == '<' ? FORM_GARBAGE : FORM_EVENTS;
}

void reply_feed(struct reply *r, const char *p, size_t n, uint64_t now_ns)
{
	const char *end = p + n, *stop;

	if (r->form == FORM_UNKNOWN)
		tell_form(r, &p, end);
	if (r->form == FORM_WHOLE)
		keep(r, p, (size_t)(end - p));
	while (p < end && r->form == FORM_EVENTS) {
		for (stop = p; stop < end && *stop != '\n' && *stop != '\r'; stop++)
			;
		keep(r, p, (size_t)(stop - p));
		if (stop < end && r->form == FORM_EVENTS)
			line_over(r, now_ns);
		p = stop + 1;
	}
}

/* What is not valid UTF-8 becomes '?': what is written of it is JSON. */
static void make_valid(struct reply *r)
{
	size_t i = 0, len;

	while (i < r->ntext) {
		len = str_utf8_len(r->text + i, r->ntext - i);
		if (!len)
			r->text[i] = '?';
		i += len ? len : 1;
	}
}

void reply_over(struct reply *r)
{
	if (r->form == FORM_WHOLE && r->nline)
		json(r, r->line, r->nline, 0);
	if (!r->text)
		r->text = strdup("");
	make_valid(r);
	if (r->failed) {
		r->end = REPLY_ERROR;
	} else if (r->form == FORM_GARBAGE || !r->events) {
		r->end = REPLY_GARBAGE;
		snprintf(r->why, sizeof(r->why), "what came is no answer");
	} else if (!r->finished) {
		r->end = REPLY_CUT;
		snprintf(r->why, sizeof(r->why), "the answer has no end");
	} else {
		r->end = REPLY_COMPLETE;
	}
}
