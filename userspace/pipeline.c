// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/str.h"

#define EACH_SINK(p, op, ...)                                                \
	for (int i_ = 0; i_ < (p)->nsink; i_++)                              \
		if ((p)->sink[i_].ops->op && !(p)->sink[i_].err)             \
	(p)->sink[i_].ops->op(&(p)->sink[i_], __VA_ARGS__)

/* --- http -> wire ------------------------------------------------------------------------------------------------- */

static void emit(void *ctx, const struct wire_ev *e)
{
	pipeline_wire(ctx, e);
}

static struct wire *wire_of(struct pipeline *p, struct http_x *x)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (w) {
		w->emit = emit;
		w->ctx = p;
	}
	x->user = w;
	return w;
}

/* An exchange is a query in this dialect. */
static void open_fill(struct pipeline *p, const struct http_x *x, const struct wire_ops *ops, struct wire_open *ret)
{
	((struct wire *)x->user)->query = ++p->next_id;
	*ret = (struct wire_open){ .start_ns = x->start_ns, .pid = x->conn->tgid, .slot = x->conn->slot };
	snprintf(ret->dialect, sizeof(ret->dialect), "%s", ops->name);
	conn_addr(&x->conn->sock, 1, ret->client, sizeof(ret->client));
	conn_addr(&x->conn->sock, 0, ret->server, sizeof(ret->server));
}

static void on_header(void *ctx, struct http_head *h, const char *p, size_t n, int cut)
{
	wire_task_line(h, p, n, cut);
}

static void on_request(void *ctx, struct http_x *x, const struct http_head *h)
{
	const struct wire_ops *ops = wire_match(h);
	struct pipeline *p = ctx;
	struct wire_open open;

	p->requests++;
	if (!ops || !wire_of(p, x))
		return;
	open_fill(p, x, ops, &open);
	snprintf(open.path, sizeof(open.path), "%s", h->path);
	snprintf(open.request_id, sizeof(open.request_id), "%s", h->request_id);
	snprintf(open.trace_id, sizeof(open.trace_id), "%s", h->trace_id);
	wire_begin(x->user, ops, &open, x->start_ns);
	wire_task_head(x->user, h);
	hops_open(&p->hops, p->next_id, x->conn, &open, x->start_ns);
	if (h->encoding[0] && strcmp(h->encoding, "identity"))
		wire_request_coding(x->user, h->encoding);
}

static void on_request_body(void *ctx, struct http_x *x, const char *body, size_t n)
{
	struct wire *w = x->user;

	if (!w)
		return;
	hops_body(&((struct pipeline *)ctx)->hops, w->query, body, n);
	wire_request_body(w, body, n);
}

static void on_request_end(void *ctx, struct http_x *x, uint64_t ts_ns)
{
	struct wire *w = x->user;

	if (!w)
		return;
	wire_request_end(w, ts_ns);
	hops_request_end(&((struct pipeline *)ctx)->hops, w->query, ts_ns);
}

static void on_hop(void *ctx, uint64_t query, uint64_t parent, enum wire_hop by, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .kind = WIRE_HOP, .query = query, .parent = parent, .n = by };

	pipeline_wire(ctx, &e);
}

static void on_response(void *ctx, struct http_x *x, const struct http_head *h, const struct bytes *b)
{
	if (!x->user && !x->start_ns)
		wire_of(ctx, x); /* its request was not seen: the body may say what it is */
	if (x->user)
		wire_response(x->user, h, b);
}

static void on_response_body(void *ctx, struct http_x *x, const char *body, size_t n, const struct bytes *b)
{
	const struct wire_ops *ops;
	struct wire *w = x->user;
	struct pipeline *p = ctx;
	struct wire_open open;

	if (!w)
		return;
	if (!w->ops) {
		ops = wire_guess(w, body, n);
		if (!ops)
			return;
		open_fill(p, x, ops, &open);
		wire_begin_answer(w, ops, &open, b);
		hops_open(&p->hops, w->query, x->conn, &open, b->ret_ns);
	}
	wire_response_body(w, body, n, b);
}

static void on_trouble(void *ctx, struct http_x *x, enum http_trouble t)
{
	enum wire_trouble what = t == HTTP_EVENTS_LOST ? WIRE_LOST : WIRE_TRUNCATED;
	struct wire *w = x->user;

	if (w)
		wire_trouble(w, what, w->out_ns ? w->out_ns : x->start_ns);
}

static void on_over(void *ctx, struct http_x *x, enum http_over how, uint64_t enter_ns, uint64_t ret_ns)
{
	struct wire *w = x->user;

	if (!w)
		return;
	wire_over(w, how, enter_ns, ret_ns);
	hops_over(&((struct pipeline *)ctx)->hops, w->query);
}

static void on_x_gone(void *ctx, struct http_x *x)
{
	struct wire *w = x->user;

	if (!w)
		return;
	hops_over(&((struct pipeline *)ctx)->hops, w->query);
	wire_release(w);
	free(w);
}

static const struct http_ops http_ops = {
	.header = on_header, .request = on_request, .request_body = on_request_body, .request_end = on_request_end,
	.response = on_response, .response_body = on_response_body,
	.trouble = on_trouble, .over = on_over, .gone = on_x_gone,
};

/* --- conn -> http ------------------------------------------------------------------------------------------------- */

static struct http *http_of(struct pipeline *p, struct conn *c, uint64_t ts_ns)
{
	if (!c->user) {
		c->user = calloc(1, sizeof(struct http));
		if (c->user) {
			http_init(c->user, &http_ops, p, c);
			hops_conn(&p->hops, c, ts_ns);
		}
	}
	return c->user;
}

/* What a client's first message asks for is a query. */
static int is_query(const struct bytes *b)
{
	struct http_head head = { 0 };
	const char *end = memchr(b->head, '\r', b->nhead);

	return end && http_request_line(b->head, (size_t)(end - b->head), &head) && wire_match(&head);
}

static void on_bytes(void *ctx, struct conn *c, const struct bytes *b)
{
	struct pipeline *p = ctx;
	struct http *h = http_of(p, c, b->ret_ns);

	if (!h || h->opaque)
		return;
	http_bytes(h, b);
	if (!h->opaque)
		return;
	p->opaque[h->opaque]++;
	if (h->opaque == HTTP_CLIENT && p->asks && is_query(b))
		p->asks(p->live_ctx, c);
	if (p->mute)
		p->mute(p->live_ctx, c->sock.cookie);
}

static void on_conn_over(void *ctx, struct conn *c, enum conn_over what, uint64_t ts_ns)
{
	if (c->user)
		http_conn_over(c->user, what, ts_ns);
}

void pipeline_unread(struct pipeline *p, const struct wire_unread *u)
{
	EACH_SINK(p, unread, u);
}

static void unread(struct pipeline *p, const struct conn *c, enum http_opaque why)
{
	int client = why == HTTP_CLIENT; /* this end is */
	struct wire_unread u = {
		.start_ns = c->first_ns, .end_ns = c->last_ns, .pid = c->tgid, .slot = c->slot, .why = why,
		.in = c->ended ? (int64_t)(c->bytes[CONN_IN] + c->missed[CONN_IN]) : -1,
		.out = c->ended ? (int64_t)(c->bytes[CONN_OUT] + c->missed[CONN_OUT]) : -1,
	};

	conn_addr(&c->sock, !client, u.client, sizeof(u.client));
	conn_addr(&c->sock, client, u.server, sizeof(u.server));
	pipeline_unread(p, &u);
}

static void on_conn_gone(void *ctx, struct conn *c)
{
	struct http *h = c->user;

	if (!h)
		return;
	if (h->opaque)
		unread(ctx, c, h->opaque);
	http_release(h);
	hops_conn_gone(&((struct pipeline *)ctx)->hops, c);
	free(c->user);
}

static const struct conn_ops conn_ops = { .bytes = on_bytes, .over = on_conn_over, .gone = on_conn_gone };

static void on_step(struct pipeline *p, const struct ev_step *e)
{
	struct step s = { .begin_ns = e->begin_ns, .end_ns = e->h.ts_ns, .slot = e->h.slot, .pid = e->h.tgid,
			  .tokens = e->tokens, .batch = e->batch };

	pipeline_step(p, &s);
}

void pipeline_ev(struct pipeline *p, const struct ev_hdr *e)
{
	switch (e->type) {
	case EV_SEND:
	case EV_RECV:
	case EV_RECV_END:
		conns_data(&p->conns, (const struct ev_data *)e);
		break;
	case EV_STATE:
		conns_state(&p->conns, (const struct ev_state *)e);
		break;
	case EV_EXIT:
		conns_exit(&p->conns, e->tgid, e->ts_ns);
		break;
	case EV_STEP:
		on_step(p, (const struct ev_step *)e);
		break;
	}
}

/* --- wire -> query -> attrib -------------------------------------------------------------------------------------- */

static void on_began(void *ctx, struct query *q)
{
	struct pipeline *p = ctx;

	p->phases++;
	attrib_began(&p->attrib, q);
}

static void on_first(void *ctx, struct query *q)
{
	struct pipeline *p = ctx;

	p->phases++;
	attrib_first(&p->attrib, q);
}

static void on_tokens(void *ctx, struct query *q, uint64_t ts_ns, uint32_t n)
{
	attrib_tokens(&((struct pipeline *)ctx)->attrib, q, ts_ns, n);
}

static void on_ended(void *ctx, struct query *q)
{
	struct pipeline *p = ctx;

	p->phases++;
	attrib_ended(&p->attrib, q);
}

static void on_is_hop(void *ctx, struct query *q, struct query *front)
{
	attrib_hop(&((struct pipeline *)ctx)->attrib, q, front);
}

static void on_inner(void *ctx, struct query *q, struct query *hop)
{
	attrib_inner(&((struct pipeline *)ctx)->attrib, q, hop);
}

static void on_hop_gone(void *ctx, struct query *hop)
{
	attrib_hop_gone(&((struct pipeline *)ctx)->attrib, hop);
}

static const struct query_ops query_ops = {
	.began = on_began, .first = on_first, .tokens = on_tokens, .ended = on_ended,
	.hop = on_is_hop, .inner = on_inner, .hop_gone = on_hop_gone,
};

void pipeline_wire(struct pipeline *p, const struct wire_ev *e)
{
	EACH_SINK(p, wire, e);
	queries_event(&p->queries, e);
}

void pipeline_lost(struct pipeline *p, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .kind = WIRE_TROUBLE, .n = WIRE_LOST };
	const struct query *q;
	size_t i = 0;

	while ((q = hash_next(&p->queries.by_id, &i))) {
		e.query = q->id;
		pipeline_wire(p, &e);
	}
}

/* --- time and energy ---------------------------------------------------------------------------------------------- */

void pipeline_activity(struct pipeline *p, const struct activity *a)
{
	EACH_SINK(p, activity, a);
	queries_tick(&p->queries, a->t_ns);
	timeline_activity(&p->timeline, a);
	attrib_advance(&p->attrib, 0);
}

void pipeline_edge(struct pipeline *p, const struct activity *a)
{
	EACH_SINK(p, edge, a);
	timeline_edge(&p->timeline, a);
}

void pipeline_sample(struct pipeline *p, const struct sample *m)
{
	EACH_SINK(p, sample, m);
	timeline_sample(&p->timeline, m);
}

void pipeline_step(struct pipeline *p, const struct step *s)
{
	EACH_SINK(p, step, s);
	attrib_step(&p->attrib, s);
}

void pipeline_gpu(struct pipeline *p, const struct gpu_share *g)
{
	EACH_SINK(p, gpu, g);
	timeline_gpu(&p->timeline, g);
}

/* --- attrib -> totals -> sinks ------------------------------------------------------------------------------------ */

static void give(struct pipeline *p, const struct result *r)
{
	int i;

	for (i = 0; i < p->nsink; i++)
		if (p->sink[i].ops->result && p->sink[i].final == r->final && !p->sink[i].err)
			p->sink[i].ops->result(&p->sink[i], r);
}

static void on_line(void *ctx, const struct result *r)
{
	give(ctx, r);
}

static void on_final(void *ctx, const struct result *r)
{
	struct pipeline *p = ctx;

	totals_add(&p->totals, r, p->timeline.nch);
	give(p, r);
}

static void on_tick(void *ctx, const struct tick *t)
{
	struct pipeline *p = ctx;

	tasks_tick(&p->totals.tasks, &p->attrib, t);
}

static const struct attrib_ops attrib_ops = { .line = on_line, .final = on_final, .tick = on_tick };
static const struct attrib_ops final_ops = { .final = on_final, .tick = on_tick };

/* Lines are much work, and not all sinks want them. */
static const struct attrib_ops *ops_for(const struct sink *sink, int nsink)
{
	int i;

	for (i = 0; i < nsink; i++)
		if (sink[i].ops->result && !sink[i].final)
			return &attrib_ops;
	return &final_ops;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int sinks_open(struct pipeline *p)
{
	struct sink *s;
	int i, err;

	for (i = 0; i < p->nsink; i++) {
		s = &p->sink[i];
		s->state = calloc(1, s->ops->state_size ? s->ops->state_size : 1);
		err = !s->state ? -ENOMEM : s->ops->open ? s->ops->open(s) : 0;
		if (err)
			return err;
	}
	return 0;
}

int pipeline_init(struct pipeline *p, const struct run *run, const struct meter *meters, int nmeter,
		  const struct idle *idle, const struct sink *sink, int nsink)
{
	int i, err;

	*p = (struct pipeline){ .run = run, .nsink = nsink };
	for (i = 0; i < nsink; i++) {
		p->sink[i] = sink[i];
		p->sink[i].run = run;
		p->sink[i].meters = meters;
		p->sink[i].nmeter = nmeter;
		p->sink[i].idle = idle;
	}
	conns_init(&p->conns, &conn_ops, p);
	p->hops = (struct hops){ .found = on_hop, .ctx = p };
	queries_init(&p->queries, &query_ops, p);
	err = wire_setup();
	if (!err)
		err = timeline_init(&p->timeline, meters, nmeter, (int)run->nslot);
	if (!err)
		err = attrib_init(&p->attrib, &p->timeline, idle, ops_for(sink, nsink), p);
	return err ? err : sinks_open(p);
}

void pipeline_release(struct pipeline *p)
{
	int i;

	conns_release(&p->conns);
	hops_release(&p->hops);
	attrib_release(&p->attrib);
	queries_release(&p->queries);
	timeline_release(&p->timeline);
	totals_release(&p->totals);
	for (i = 0; i < p->nsink; i++)
		free(p->sink[i].state);
}

int pipeline_err(const struct pipeline *p)
{
	int i;

	for (i = 0; i < p->nsink; i++)
		if (p->sink[i].err)
			return p->sink[i].err;
	return 0;
}

int pipeline_close(struct pipeline *p, const struct run_end *end)
{
	struct summary m;
	int i, err, e;

	conns_release(&p->conns); /* those that are not read have something to say */
	queries_end(&p->queries, end->end_ns);
	attrib_advance(&p->attrib, 1);
	err = tasks_settle(&p->totals.tasks, &p->attrib);
	totals_summary(&p->totals, &p->attrib, p->run, end, &m);
	EACH_SINK(p, summary, &m);
	for (i = 0; i < p->nsink; i++) {
		e = p->sink[i].ops->close ? p->sink[i].ops->close(&p->sink[i]) : 0;
		err = err ? err : e;
	}
	return err;
}
