// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which task a query is a part of: what the client says of it in a header or in the body's JSON. */
#include "userspace/wire/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADER_MAX 64   /* of a name */
#define SPEC_MAX   1024

/*
 * In use by agents: x-session-id (opencode, gateways), x-dynamo-session-id (NVIDIA Dynamo, "Session IDs"),
 * x-claude-code-session-id, x-litellm-session-id (OpenHands), helicone-session-id, x-session-affinity (opencode, pi),
 * session_id and session-id (Codex, pi); session_id (OpenRouter) and metadata.session_id (LiteLLM) in the body. Not
 * `user`, which is a person, nor `prompt_cache_key`, which tasks with one prompt may share.
 */
static const char automatic[] =
	"header:x-session-id,header:x-dynamo-session-id,header:x-claude-code-session-id,header:x-litellm-session-id,"
	"header:helicone-session-id,header:x-session-affinity,header:session_id,header:session-id,"
	"json:session_id,json:metadata.session_id";

/* In a header's name: its value may be a secret. */
static const char *const secret[] = { "auth", "cookie", "key", "secret", "token", "password", NULL };

/* Members of a body whose value is, or may hold, what is asked, or a secret. */
static const char *const content[] = {
	"messages", "prompt", "input", "inputs", "content", "contents", "text", "texts", "text_input", "system",
	"system_prompt", "systemInstruction", "instructions", "suffix", "query", "question", "documents", "images",
	"image", "parts", "tools", "functions", "template", "variables", "stop", "input_prefix", "input_suffix",
	"input_extra", "input_ids", "arguments", "api_key", "apikey", "key", "token", "password", "secret", NULL,
};

enum where { IN_HEADER, IN_BODY, IN_TRACE };

static struct {
	enum where where;
	const char *name; /* in spec_text */
} places[WIRE_TASKS];
static int nplace;
static char spec_text[SPEC_MAX];

/* --- what is asked for -------------------------------------------------------------------------------------------- */

static const char *bad_header(const char *name)
{
	size_t n = strlen(name), i;

	if (!n || n > HEADER_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
						"!#$%&'*+-.^_`|~") != n)
		return "is no name of a header";
	for (i = 0; secret[i]; i++)
		if (str_ihas(name, n, secret[i]))
			return "may hold a secret";
	return NULL;
}

static int is_in(const char *const *list, const char *p, size_t n)
{
	for (; *list; list++)
		if (strlen(*list) == n && !memcmp(*list, p, n))
			return 1;
	return 0;
}

/* The dialects read that themselves. */
static int is_taken(const char *path)
{
	size_t k;
	int i;

	for (i = 0; dialects[i]; i++)
		for (k = 0; k < dialects[i]->nrequest; k++)
			if (!strcmp(dialects[i]->request[k].path, path))
				return 1;
	return 0;
}

static const char *bad_path(const char *path)
{
	const char *p = path;
	size_t n;

	if (strpbrk(path, "[]\"\\"))
		return "is no path to one member";
	for (;; p += n + 1) {
		n = strcspn(p, ".");
		if (!n || n >= JSON_KEY)
			return "is no path to one member";
		if (is_in(content, p, n))
			return "may hold a text or a secret";
		if (!p[n])
			return is_taken(path) ? "says something else" : NULL;
	}
}

/* One of the list. NULL, or why not. */
static const char *add_place(char *p)
{
	int header = !strncmp(p, "header:", 7), json = !strncmp(p, "json:", 5);
	const char *bad;

	if (nplace == WIRE_TASKS)
		return "is one too many";
	if (!header && !json && strcmp(p, "trace"))
		return "is not header:NAME, json:PATH, trace or auto";
	places[nplace].where = header ? IN_HEADER : json ? IN_BODY : IN_TRACE;
	places[nplace].name = strchr(p, ':') ? strchr(p, ':') + 1 : p;
	bad = header ? bad_header(places[nplace].name) : json ? bad_path(places[nplace].name) : NULL;
	nplace += !bad;
	return bad;
}

/* The dialects' tables have room for the members that are asked for. */
static int fits(void)
{
	struct json_tree t;
	int i;

	for (i = 0; dialects[i]; i++)
		if (wire_task_tree(&t, dialects[i]))
			return 0;
	return 1;
}

/* The list, with what "auto" in it stands for. 0: it is too long. */
static int copy_spec(const char *spec)
{
	const char *sep = "", *item;
	size_t n = 0, len;

	for (;; spec += len + 1, sep = ",") {
		len = strcspn(spec, ",");
		item = len == 4 && !memcmp(spec, "auto", 4) ? automatic : spec;
		n += (size_t)snprintf(spec_text + n, sizeof(spec_text) - n, "%s%.*s", sep,
				      (int)(item == spec ? len : sizeof(automatic)), item);
		if (n >= sizeof(spec_text))
			return 0;
		if (!spec[len])
			return 1;
	}
}

int wire_tasks(const char *spec, char *ret_why, size_t size)
{
	char *p, *comma;
	const char *bad;

	nplace = 0;
	if (!copy_spec(spec)) {
		snprintf(ret_why, size, "it is too long");
		return -EINVAL;
	}
	for (p = spec_text; p; p = comma ? comma + 1 : NULL) {
		comma = strchr(p, ',');
		if (comma)
			*comma = 0;
		bad = add_place(p);
		if (bad) {
			snprintf(ret_why, size, "'%s' %s", p, bad);
			nplace = 0;
			return -EINVAL;
		}
	}
	if (fits())
		return 0;
	snprintf(ret_why, size, "its paths have too many parts");
	nplace = 0;
	return -EINVAL;
}

int wire_task_tree(struct json_tree *t, const struct wire_ops *ops)
{
	struct json_path all[JSON_NODES + WIRE_TASKS];
	size_t n = ops->nrequest;
	int i;

	if (n > JSON_NODES)
		return -E2BIG;
	memcpy(all, ops->request, n * sizeof(*all));
	for (i = 0; i < nplace; i++)
		if (places[i].where == IN_BODY)
			all[n++] = (struct json_path){ places[i].name, WF_TASK + i };
	return json_tree_init(t, all, n);
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

/* cut: of the value only the beginning is here. again: a second value in one place takes the place of the first. */
static void say_task(struct http_task *t, int i, const char *p, size_t n, int cut, int again)
{
	uint8_t place = (uint8_t)(i + 1);
	char id[STR_IDENT + 1];

	if (!n || (t->place && t->place < place))
		return;
	str_ident(id, p, n);
	if (t->place == place && !again) {
		t->unsure |= cut || strcmp(t->id, id);
		return;
	}
	memcpy(t->id, id, sizeof(id));
	t->place = place;
	t->unsure = (uint8_t)cut;
}

void wire_task_line(struct http_head *h, const char *p, size_t n, int cut)
{
	const char *colon = nplace ? memchr(p, ':', n) : NULL, *v;
	size_t nv;
	int i;

	if (!colon)
		return;
	v = colon + 1;
	nv = n - (size_t)(v - p);
	for (; nv && (*v == ' ' || *v == '\t'); v++)
		nv--;
	while (nv && (v[nv - 1] == ' ' || v[nv - 1] == '\t'))
		nv--;
	for (i = 0; i < nplace; i++)
		if (places[i].where == IN_HEADER && str_ieq(p, (size_t)(colon - p), places[i].name))
			say_task(&h->task, i, v, nv, cut, 0);
}

void wire_task_head(struct wire *w, const struct http_head *h)
{
	int i;

	w->task = h->task;
	for (i = 0; i < nplace; i++)
		if (places[i].where == IN_TRACE)
			say_task(&w->task, i, h->trace_id, strlen(h->trace_id), 0, 1);
}

void wire_task_field(struct wire *w, int i, const struct json_val *v)
{
	if (i < nplace && (v->type == JSON_STRING || v->type == JSON_NUM))
		say_task(&w->task, i, v->str, v->len, v->len == JSON_STR, 1);
}

void wire_task_out(struct wire *w, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_TASK, .str = w->task.id };

	if (w->task.place && !w->task.unsure)
		w->emit(w->ctx, &e);
}
