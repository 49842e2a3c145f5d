// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/histo.h"

static const char *const end_names[] = {
	[QUERY_RUNNING] = "running", [QUERY_COMPLETE] = "complete", [QUERY_CANCEL] = "cancel",
	[QUERY_ERROR] = "error", [QUERY_LOST] = "lost", [QUERY_MIDWAY] = "attached_midway",
};

static const char *const flag_names[] = {
	"estimated", "estimated_tokens", "queue_in_prefill", "truncated", "lost_events",
	"idle_unknown", "meter_gap", "gpu_unsplit", "early_split", "steps_unknown", NULL,
};

const char *query_end_name(enum query_end e)
{
	return end_names[e];
}

const char *query_flag_name(int i)
{
	return flag_names[i];
}

void queries_init(struct queries *qs, const struct query_ops *ops, void *ctx)
{
	*qs = (struct queries){ .ops = ops, .ctx = ctx };
}

void query_free(struct query *q)
{
	struct query *h;

	if (!q)
		return;
	while ((h = q->hop)) {
		q->hop = h->next_hop;
		query_free(h);
	}
	histo_free(q->itl);
	free(q);
}

void queries_release(struct queries *qs)
{
	struct query *q, *h;
	size_t i = 0;

	while ((q = hash_next(&qs->by_id, &i))) {
		if (q->parent)
			qs->ops->hop_gone(qs->ctx, q);
		for (h = q->hop; h; h = h->next_hop)
			qs->ops->hop_gone(qs->ctx, h);
		query_free(q);
	}
	hash_release(&qs->by_id);
}

static void on_open(struct queries *qs, const struct wire_ev *e)
{
	struct query *q = NULL;

	if (qs->by_id.used < QUERY_RUNNING_MAX && !hash_get(&qs->by_id, e->query))
		q = calloc(1, sizeof(*q));
	if (!q || hash_put(&qs->by_id, e->query, q)) {
		free(q);
		qs->dropped++;
		return;
	}
	q->id = e->query;
	q->open = *e->open;
	q->start_ns = e->open->start_ns;
	q->stream = WIRE_STREAM_UNKNOWN;
	q->usage = (struct wire_usage){ -1, -1, -1 };
	q->flags = QF_QUEUE_IN_PREFILL;
}

static void on_tokens(struct queries *qs, struct query *q, const struct wire_ev *e)
{
	uint64_t ns;

	if (q->stream == WIRE_WHOLE)
		return;
	if (!q->f_ns) {
		q->f_ns = e->ts_ns;
		q->first_tokens = e->n;
		q->itl = histo_new();
		qs->ops->first(qs->ctx, q);
	} else if (q->itl && e->n) {
		ns = e->ts_ns > q->l_ns ? e->ts_ns - q->l_ns : 0;
		(void)histo_add(q->itl, e->n > 1 ? ns / e->n : ns, e->n);
	}
	q->l_ns = e->ts_ns;
	q->tokens += e->n;
	q->events++;
	qs->ops->tokens(qs->ctx, q, e->ts_ns, e->n);
}

static enum query_end end_of(const struct query *q, enum http_over how)
{
	int generated = q->e_ns != 0; /* the server said that it had finished */

	if (q->failed || q->status >= 400)
		return QUERY_ERROR;
	if (how == HTTP_CANCEL && !generated)
		return QUERY_CANCEL;
	if (how == HTTP_CUT && !generated)
		return QUERY_ERROR;
	if (how == HTTP_LOST && !generated)
		return QUERY_LOST;
	return q->start_ns ? QUERY_COMPLETE : QUERY_MIDWAY;
}

/* --- hops --------------------------------------------------------------------------------------------------------- */

/* The query that a hop belongs to in the end; NULL when it is over. */
static struct query *front_of(const struct queries *qs, struct query *q)
{
	int n;

	for (n = 0; q && q->parent && n < QUERY_HOPS_MAX; n++)
		q = hash_get(&qs->by_id, q->parent);
	return q && !q->parent ? q : NULL;
}

/* A hop that is over and has hops of its own leaves them to what it is a hop of. */
static void leave_hops(struct queries *qs, const struct query *q)
{
	struct query *h;
	size_t i = 0;

	while (q->has_hops && (h = hash_next(&qs->by_id, &i)))
		if (h->parent == q->id)
			h->parent = q->parent;
}

/* A hop that is over, in the order of their starts. What the attribution knows of it stays for inner(). */
static void keep_hop(struct queries *qs, struct query *front, struct query *hop)
{
	struct query **at = front ? &front->hop : NULL, *h;
	int n;

	if (front && front->open_hops)
		front->open_hops--;
	for (n = 0, h = front ? front->hop : NULL; h; h = h->next_hop)
		n++;
	while (at && *at && (*at)->start_ns <= hop->start_ns)
		at = &(*at)->next_hop;
	if (!front || n >= QUERY_HOPS_MAX) {
		qs->ops->hop_gone(qs->ctx, hop);
		query_free(hop);
		return;
	}
	hop->next_hop = *at;
	*at = hop;
}

static void on_hop(struct queries *qs, struct query *q, const struct wire_ev *e)
{
	struct query *parent = hash_get(&qs->by_id, e->parent), *front = front_of(qs, parent), *h;

	/* Of a recording nobody knows that it is none of its own hops. */
	if (!front || front == q || q->parent || !q->r_ns)
		return;
	q->parent = parent->id;
	q->by = e->n;
	parent->has_hops = 1;
	front->nhop += 1 + q->nhop;
	front->open_hops += 1 + q->open_hops;
	q->open_hops = 0;
	while ((h = q->hop)) {
		q->hop = h->next_hop;
		front->open_hops++; /* that it is over is counted anew */
		keep_hop(qs, front, h);
	}
	qs->ops->hop(qs->ctx, q, front);
}

static void fill(int64_t *count, int64_t from)
{
	if (*count < 0)
		*count = from;
}

/* Whether what one says of its tokens can be said of the other: it is surely its hop, or both count the same. */
static int is_same_work(const struct query *q, const struct query *hop)
{
	if (q->usage.completion >= 0 && hop->usage.completion >= 0)
		return q->usage.completion == hop->usage.completion;
	return hop->by != HOP_ORDER;
}

/* What the hops know and the query does not. */
static void take_from_hops(struct queries *qs, struct query *q)
{
	struct query *h = q->hop;

	if (h && !*q->model)
		snprintf(q->model, sizeof(q->model), "%s", h->model);
	if (q->nhop == 1 && h && is_same_work(q, h)) {
		fill(&q->usage.prompt, h->usage.prompt);
		fill(&q->usage.cached, h->usage.cached);
		fill(&q->usage.completion, h->usage.completion);
	}
	for (; h && q->stream == WIRE_WHOLE && !q->inner_f_ns; h = h->next_hop) {
		if (!h->f_ns || !h->tokens || !is_same_work(q, h))
			continue;
		q->inner_f_ns = h->f_ns;
		q->inner_tokens = h->tokens;
		qs->ops->inner(qs->ctx, q, h);
	}
	for (h = q->hop; h; h = h->next_hop)
		qs->ops->hop_gone(qs->ctx, h);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void finish(struct queries *qs, struct query *q)
{
	hash_del(&qs->by_id, q->id);
	qs->waiting -= q->over_ns != 0;
	take_from_hops(qs, q);
	if (q->usage.completion < 0 || q->usage.prompt < 0)
		q->flags |= QF_ESTIMATED_TOKENS;
	qs->ops->ended(qs->ctx, q);
}

/* The last bytes of a hop may be on their way to the client before the call that sent them returns. */
static void ended(struct queries *qs, struct query *q, uint64_t ts_ns)
{
	struct query *front;

	if (!q->r_ns) {
		q->r_ns = ts_ns;
		qs->ops->began(qs->ctx, q);
	}
	if (!q->e_ns)
		q->e_ns = ts_ns;
	if (q->e_ns < q->r_ns)
		q->e_ns = q->r_ns;
	if (q->parent) {
		front = front_of(qs, q);
		hash_del(&qs->by_id, q->id);
		leave_hops(qs, q);
		keep_hop(qs, front, q);
		if (front && front->over_ns && !front->open_hops)
			finish(qs, front);
	} else if (q->open_hops && q->end != QUERY_RUNNING) {
		q->over_ns = ts_ns;
		qs->waiting++;
	} else {
		finish(qs, q);
	}
}

void queries_tick(struct queries *qs, uint64_t now)
{
	struct query *q;
	size_t i = 0;

	while (qs->waiting && (q = hash_next(&qs->by_id, &i))) {
		if (!q->over_ns || now < q->over_ns + QUERY_HOPS_NS)
			continue;
		finish(qs, q);
		i = 0; /* the table has changed */
	}
}

void queries_event(struct queries *qs, const struct wire_ev *e)
{
	struct query *q = e->kind == WIRE_OPEN ? NULL : hash_get(&qs->by_id, e->query);

	if (e->kind == WIRE_OPEN) {
		on_open(qs, e);
		return;
	}
	if (!q || q->over_ns) {
		qs->orphans++;
		return;
	}
	/* Of a query whose request was not seen, or is not in a recording, R is when it was first seen. */
	if (!q->r_ns && (e->kind == WIRE_RESPONSE || e->kind == WIRE_TOKENS || e->kind == WIRE_FINISH)) {
		q->r_ns = e->ts_ns;
		qs->ops->began(qs->ctx, q);
	}
	switch (e->kind) {
	case WIRE_REQUEST:
		q->body_bytes = e->n;
		if (q->r_ns)
			break;
		q->r_ns = e->ts_ns;
		qs->ops->began(qs->ctx, q);
		break;
	case WIRE_RESPONSE:
		q->status = (int)e->n;
		q->stream = e->stream;
		break;
	case WIRE_MODEL:
		snprintf(q->model, sizeof(q->model), "%s", e->str);
		break;
	case WIRE_DIALECT:
		snprintf(q->open.dialect, sizeof(q->open.dialect), "%s", e->str);
		break;
	case WIRE_TOKENS:
		on_tokens(qs, q, e);
		break;
	case WIRE_USAGE:
		q->usage = e->usage;
		break;
	case WIRE_FINISH:
		q->e_ns = e->ts_ns;
		break;
	case WIRE_ERROR:
		q->failed = 1;
		break;
	case WIRE_TROUBLE:
		q->flags |= (e->n & WIRE_TRUNCATED ? QF_TRUNCATED : 0) | (e->n & WIRE_LOST ? QF_LOST_EVENTS : 0);
		break;
	case WIRE_TASK:
		str_clean(q->task, sizeof(q->task), e->str, strlen(e->str)); /* that of a recording may be longer */
		break;
	case WIRE_HOP:
		on_hop(qs, q, e);
		break;
	case WIRE_OVER:
		q->end_ns = e->end_ns;
		q->end = end_of(q, (enum http_over)e->n);
		ended(qs, q, e->ts_ns);
		break;
	}
}

void queries_end(struct queries *qs, uint64_t ts_ns)
{
	struct query *q;
	int hops;
	size_t i;

	/* Hops before what they are hops of. ended() takes each out of the table, which may move others: begin anew. */
	for (hops = 1; hops >= 0; hops--) {
		for (i = 0; (q = hash_next(&qs->by_id, &i)); ) {
			if (hops && !q->parent)
				continue;
			if (q->over_ns) {
				finish(qs, q);
			} else {
				q->end = QUERY_RUNNING;
				ended(qs, q, ts_ns);
			}
			i = 0;
		}
	}
}

/* --- what follows ------------------------------------------------------------------------------------------------- */

static double ms(uint64_t from, uint64_t to)
{
	return (double)(int64_t)(to - from) / 1e6;
}

double query_ttft_ms(const struct query *q)
{
	/* An answer that begins before the request is complete has no time to its first token. */
	return q->f_ns >= q->r_ns && q->f_ns && q->start_ns ? ms(q->r_ns, q->f_ns) : NAN;
}

/* How many tokens there are for each one counted: above 1 when events carried more than one and did not say so. */
static double token_scale(const struct query *q)
{
	return q->tokens && q->usage.completion > (int64_t)q->tokens ?
	       (double)q->usage.completion / (double)q->tokens : 1;
}

double query_tpot_ms(const struct query *q)
{
	double n = (double)(q->tokens - q->first_tokens) * token_scale(q);

	return q->tokens >= 2 && n > 0 ? ms(q->f_ns, q->l_ns) / n : NAN;
}

double query_duration_ms(const struct query *q)
{
	return q->start_ns && q->end_ns ? ms(q->start_ns, q->end_ns) : NAN;
}

double query_itl_ms(const struct query *q, double quantile)
{
	return histo_quantile_ns(q->itl, quantile) / 1e6;
}

uint64_t query_first_ns(const struct query *q)
{
	return q->f_ns ? q->f_ns : q->inner_f_ns;
}

int64_t query_completion_tokens(const struct query *q)
{
	if (q->usage.completion >= 0)
		return q->usage.completion;
	return q->stream == WIRE_STREAMED ? (int64_t)q->tokens : -1;
}

double query_prompt_size(const struct query *q)
{
	return q->usage.prompt >= 0 ? (double)q->usage.prompt : q->body_bytes / 4.0;
}

double query_prompt_work(const struct query *q)
{
	double cached = q->usage.cached > 0 ? (double)q->usage.cached : 0, prompt = query_prompt_size(q);

	if (!q->start_ns)
		return 0; /* it had its prompt processed before we looked, as far as we know */
	return prompt > cached ? prompt - cached : 0;
}
