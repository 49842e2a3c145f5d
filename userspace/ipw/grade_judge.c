// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A judge at the other end of an URL: some questions at a time, each verdict kept as soon as it is there. */
#include "userspace/ipw/grade_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/client.h"
#include "userspace/util/args.h"
#include "userspace/util/json_out.h"

#define TIMEOUT_S  600
#define MAX_TOKENS 2048
#define LOST_MAX   5   /* failures in a row after which nothing more is asked */

struct judge {
	struct grading *g;
	struct client  *client;
	char  model[128];
	FILE *file;           /* of verdicts; NULL: not kept */
	size_t failed_in_row;
	int    err;
};

static void keep(struct judge *j, const struct question *q, enum grade_verdict v)
{
	struct json_out out = { .f = j->file };

	if (!j->file)
		return;
	json_open(&out, NULL, '{');
	json_str(&out, "type", "verdict");
	json_str(&out, "query_id", q->it->id);
	json_int_or_null(&out, "repetition", q->repetition);
	json_str(&out, "run", q->run);
	json_str(&out, "model", q->model);
	json_int(&out, "correct", grade_correct(v));
	json_str(&out, "judge", j->model);
	json_str(&out, "said", v == VERDICT_UNREADABLE ? "unparsable" : v == VERDICT_RIGHT ? "right" : "wrong");
	json_close(&out, '}');
	json_line(&out);
	if (fflush(j->file))
		j->err = -errno;
}

static void on_done(void *ctx, void *user, struct reply *r)
{
	struct judge *j = ctx;
	struct question *q = user;
	enum grade_verdict v;

	if (r->end != REPLY_COMPLETE || !r->text) {
		j->g->unjudged++;
		j->failed_in_row++;
		snprintf(j->g->why, sizeof(j->g->why), "%s", r->why);
		return;
	}
	j->failed_in_row = 0;
	v = grade_judged(q->it, r->text);
	j->g->verdict[q->row] = (uint8_t)v;
	j->g->judged[q->row] = 1;
	j->g->said++;
	keep(j, q, v);
}

static char *body_of(const struct judge *j, const struct question *q)
{
	char *ask = grade_ask(q->it, q->text, q->reference), *ret;
	cJSON *o = cJSON_CreateObject(), *m;

	if (!ask) {
		cJSON_Delete(o);
		return NULL;
	}
	cJSON_AddStringToObject(o, "model", j->model);
	cJSON_AddTrueToObject(o, "stream");
	cJSON_AddNumberToObject(o, "temperature", 0);
	cJSON_AddNumberToObject(o, "max_tokens", MAX_TOKENS);
	m = cJSON_CreateObject();
	cJSON_AddStringToObject(m, "role", "user");
	cJSON_AddStringToObject(m, "content", ask);
	cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "messages"), m);
	ret = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	free(ask);
	return ret;
}

static int ask_all(struct judge *j)
{
	struct pollfd p = { client_fd(j->client), POLLIN, 0 };
	struct grading *g = j->g;
	size_t at = 0;
	char *body;

	while (!j->err && ((at < g->nask && j->failed_in_row < LOST_MAX) || client_running(j->client))) {
		while (at < g->nask && j->failed_in_row < LOST_MAX && client_running(j->client) < g->o->concurrency) {
			body = body_of(j, &g->ask[at]);
			if (!body || client_post(j->client, body, NULL, &g->ask[at])) {
				free(body);
				return -ENOMEM;
			}
			free(body);
			at++;
		}
		(void)poll(&p, 1, 1000);
		client_work(j->client);
	}
	return j->err;
}

int grade_judge(struct grading *g)
{
	const struct grade_opts *o = g->o;
	struct judge j = { .g = g };
	struct client_opts c = { .url = o->judge_url, .timeout_s = TIMEOUT_S, .max = o->concurrency };
	char host[256], why[160];
	unsigned port;
	int err;

	if (client_host(o->judge_url, host, sizeof(host), &port)) {
		say("bad value for --judge-url: '%s'", o->judge_url);
		return -EINVAL;
	}
	c.direct = client_is_local(host);
	c.key = o->key_env ? getenv(o->key_env) : NULL;
	snprintf(j.model, sizeof(j.model), "%s", o->judge_model ? o->judge_model : "");
	if (!o->judge_model && client_model(&c, j.model, sizeof(j.model), why, sizeof(why))) {
		say("cannot ask '%s' for its model: %s", o->judge_url, why);
		return -ECONNREFUSED;
	}
	j.file = o->verdicts ? fopen(o->verdicts, "ae") : NULL;
	if (o->verdicts && !j.file) {
		err = -errno;
		say("cannot write '%s': %s", o->verdicts, strerror(-err));
		return err;
	}
	err = client_new(&c, on_done, &j, &j.client);
	err = err ? err : ask_all(&j);
	if (err)
		say("cannot ask the judge: %s", strerror(-err));
	client_free(j.client);
	if (j.file)
		fclose(j.file);
	return err;
}
