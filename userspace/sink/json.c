// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* JSON lines, schema 1: the contract in the man page. What is not known is null. */
#include "userspace/sink/sink.h"

#include <math.h>
#include <string.h>

#include "userspace/util/clock.h"
#include "userspace/util/json_out.h"


static void wall(struct json_out *j, const struct sink *s, const char *key, uint64_t mono_ns)
{
	char buf[32] = "";

	if (mono_ns)
		clock_rfc3339(mono_ns + (uint64_t)s->run->wall_offset_ns, buf, sizeof(buf));
	json_str(j, key, buf);
}

static void flags(struct json_out *j, uint32_t bits)
{
	int i;

	json_open(j, "flags", '[');
	for (i = 0; query_flag_name(i); i++)
		if (bits & 1u << i)
			json_str(j, NULL, query_flag_name(i));
	json_close(j, ']');
}

static const char *stream_name(int32_t stream)
{
	return stream == WIRE_STREAMED ? "true" : stream == WIRE_WHOLE ? "false" : "null";
}

/* "rapl_perf", "rapl_perf+nvml": the sources of the tops, each once. */
static void sources(const struct sink *s, char *buf, size_t size)
{
	int i, k;
	size_t n = 0;

	buf[0] = 0;
	for (i = 0; i < s->nmeter; i++) {
		for (k = 0; k < i && strcmp(s->meters[k].source, s->meters[i].source); k++)
			;
		if (s->meters[i].parent == CHANNEL_NONE && k == i && n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "+" : "", s->meters[i].source);
	}
}

static void identity(struct json_out *j, const struct sink *s, const struct query *q)
{
	json_str(j, "type", "query");
	json_int(j, "schema", JSON_SCHEMA);
	json_int(j, "id", (int64_t)q->id);
	json_int(j, "pid", q->open.pid);
	json_str(j, "client", q->open.client);
	json_str(j, "server", q->open.server);
	json_str(j, "request_id", q->open.request_id);
	json_str(j, "trace_id", q->open.trace_id);
	json_str(j, "task", q->task);
	json_str(j, "dialect", q->open.dialect);
	json_str(j, "path", q->open.path);
	json_str(j, "model", q->model);
	json_raw(j, "stream", stream_name(q->stream));
	json_int_or_null(j, "status", q->status ? q->status : -1);
	json_int_or_null(j, "start_ns", q->start_ns ? (int64_t)q->start_ns : -1);
	wall(j, s, "start_time", q->start_ns);
}

static void timing(struct json_out *j, const struct query *q, double queue_ms)
{
	json_num(j, "queue_ms", queue_ms);
	json_num(j, "ttft_ms", query_ttft_ms(q));
	json_num(j, "tpot_ms", query_tpot_ms(q));
	json_num(j, "itl_p50_ms", query_itl_ms(q, 0.5));
	json_num(j, "itl_p95_ms", query_itl_ms(q, 0.95));
	json_num(j, "duration_ms", query_duration_ms(q));
	json_int_or_null(j, "prompt_tokens", q->usage.prompt);
	json_int_or_null(j, "cached_tokens", q->usage.cached);
	json_int_or_null(j, "completion_tokens", query_completion_tokens(q));
	json_str(j, "end", query_end_name(q->end));
}

static void bound_parts(struct json_out *j, const struct result *r)
{
	json_open(j, "bound_parts", '{');
	json_num(j, "edges", r->edge_j);
	json_num(j, "noise", r->noise_j);
	json_num(j, "accuracy", r->gain_known ? r->gain_j : NAN);
	json_num(j, "split", r->split_j);
	json_close(j, '}');
}

static void energy(struct json_out *j, const struct sink *s, const struct result *r)
{
	int64_t completion = query_completion_tokens(r->q);
	char source[128];
	int i;

	sources(s, source, sizeof(source));
	json_num(j, "energy_j", r->energy_j);
	json_num(j, "gross_j", r->energy_j + r->idle_j);
	json_num(j, "bound_j", r->bound_j);
	bound_parts(j, r);
	json_num(j, "queue_j", r->queue_j);
	json_num(j, "prefill_j", r->prefill_j);
	json_num(j, "decode_j", r->decode_j);
	json_num(j, "marginal_j", r->energy_j - r->shared_j);
	json_num(j, "shared_j", r->shared_j);
	json_num(j, "j_per_output_token", completion > 0 ? r->energy_j / (double)completion : NAN);
	json_open(j, "energy_by_domain", '{');
	for (i = 0; i < s->nmeter; i++)
		if (s->meters[i].parent == CHANNEL_NONE)
			json_num(j, s->meters[i].ch.name, isnan(r->energy_j) ? NAN : r->domain_j[i]);
	json_close(j, '}');
	json_str(j, "source", source);
	json_str(j, "method", attrib_method_name(r->method));
	json_num(j, "concurrency_mean", r->concurrency_mean);
	flags(j, r->flags);
}

/* What the query was inside the server, from process to process: their times, on the same clock. */
static void hops(struct json_out *j, const struct query *q)
{
	const struct query *h;

	json_open(j, "hops", '[');
	for (h = q->hop; h; h = h->next_hop) {
		json_open(j, NULL, '{');
		json_int(j, "pid", h->open.pid);
		json_str(j, "client", h->open.client);
		json_str(j, "server", h->open.server);
		json_str(j, "by", wire_hop_name(h->by));
		json_str(j, "request_id", h->open.request_id);
		json_str(j, "dialect", h->open.dialect);
		json_str(j, "path", h->open.path);
		json_str(j, "model", h->model);
		json_raw(j, "stream", stream_name(h->stream));
		json_int_or_null(j, "status", h->status ? h->status : -1);
		json_int_or_null(j, "start_ns", h->start_ns ? (int64_t)h->start_ns : -1);
		timing(j, h, NAN);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void result(struct sink *s, const struct result *r)
{
	struct json_out j = { .f = s->out };

	json_open(&j, NULL, '{');
	identity(&j, s, r->q);
	timing(&j, r->q, r->queue_ms);
	energy(&j, s, r);
	hops(&j, r->q);
	json_close(&j, '}');
	json_line(&j);
	fflush(s->out);
}

/* Where the process is the client the other end is read, or is none of the server. */
static void unread(struct sink *s, const struct wire_unread *u)
{
	struct json_out j = { .f = s->out };

	if (u->why == HTTP_CLIENT)
		return;
	json_open(&j, NULL, '{');
	json_str(&j, "type", "connection");
	json_int(&j, "schema", JSON_SCHEMA);
	json_int(&j, "pid", u->pid);
	json_str(&j, "client", u->client);
	json_str(&j, "server", u->server);
	json_str(&j, "unread", http_why(u->why));
	json_int(&j, "start_ns", (int64_t)u->start_ns);
	wall(&j, s, "start_time", u->start_ns);
	json_num(&j, "duration_ms", (double)(int64_t)(u->end_ns - u->start_ns) / 1e6);
	json_int_or_null(&j, "bytes_in", u->in);
	json_int_or_null(&j, "bytes_out", u->out);
	json_close(&j, '}');
	json_line(&j);
	fflush(s->out);
}

static void cost(struct json_out *j, const struct summary *m, const struct task_cost *c)
{
	struct task_joules e = task_joules(m->books, c);

	json_int_or_null(j, "prompt_tokens", c->prompt);
	json_int_or_null(j, "cached_tokens", c->cached);
	json_int_or_null(j, "completion_tokens", c->completion);
	json_num(j, "energy_j", e.energy_j);
	json_num(j, "gross_j", e.gross_j);
	json_num(j, "bound_j", c->bound_j);
	json_num(j, "prefill_j", e.prefill_j);
	json_num(j, "decode_j", e.decode_j);
	flags(j, c->flags);
}

static void turns(struct json_out *j, const struct summary *m, const struct task *t)
{
	const struct turn *u;

	json_open(j, "turns", '[');
	for (u = t->turn; u < t->turn + t->nturn; u++) {
		json_open(j, NULL, '{');
		json_int(j, "id", (int64_t)u->id);
		json_int_or_null(j, "start_ns", u->start_ns ? (int64_t)u->start_ns : -1);
		json_str(j, "end", query_end_name(u->end));
		json_num(j, "ttft_ms", u->ttft_ms);
		json_num(j, "duration_ms", u->duration_ms);
		json_int_or_null(j, "repeated_tokens", u->repeated);
		cost(j, m, &u->cost);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void gaps(struct json_out *j, const struct task *t)
{
	const struct task_gap *g;

	json_open(j, "gaps", '[');
	for (g = t->gap; g < t->gap + t->ngap; g++) {
		json_open(j, NULL, '{');
		json_int(j, "after", (int64_t)g->after->id);
		json_int(j, "before", (int64_t)g->before->id);
		json_int(j, "start_ns", (int64_t)g->from_ns);
		json_num(j, "duration_ms", (double)(g->to_ns - g->from_ns) / 1e6);
		json_num(j, "quiet_ms", g->quiet_s * 1e3);
		json_num(j, "idle_j", g->idle_j);
		json_num(j, "idle_share_j", g->idle_share_j);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* The last one, without a name, has the queries of no task, so that all of them add up to the books. */
static void task(struct sink *s, const struct summary *m, const struct task *t)
{
	struct json_out j = { .f = s->out };
	int64_t start = t->nturn && t->turn->start_ns ? (int64_t)t->turn->start_ns : -1;

	json_open(&j, NULL, '{');
	json_str(&j, "type", "task");
	json_int(&j, "schema", JSON_SCHEMA);
	json_str(&j, "task", t->name);
	json_int_or_null(&j, "start_ns", start);
	wall(&j, s, "start_time", start > 0 ? (uint64_t)start : 0);
	json_num(&j, "active_ms", t->nturn ? (double)t->active_ns / 1e6 : NAN);
	json_num(&j, "gaps_ms", t->nturn ? (double)t->gap_ns / 1e6 : NAN);
	json_int(&j, "queries", (int64_t)t->queries);
	json_int(&j, "errors", (int64_t)t->errors);
	json_int(&j, "cancels", (int64_t)t->cancels);
	cost(&j, m, &t->cost);
	turns(&j, m, t);
	gaps(&j, t);
	if (t == &m->totals->tasks.rest)
		json_int(&j, "no_room", (int64_t)m->totals->tasks.no_room);
	json_close(&j, '}');
	json_line(&j);
}

static void tasks(struct sink *s, const struct summary *m)
{
	const struct tasks *t = &m->totals->tasks;
	size_t i;

	for (i = 0; i < t->ntask; i++)
		task(s, m, t->task[i]);
	if (t->ntask)
		task(s, m, &t->rest);
}

static void books(struct json_out *j, const struct summary *m)
{
	int i;

	json_num(j, "measured_j", m->measured_j);
	json_num(j, "queries_j", m->queries_j);
	json_num(j, "server_other_j", m->server_other_j);
	json_num(j, "others_j", m->others_j);
	json_num(j, "idle_j", m->idle_j);
	json_open(j, "energy_by_domain", '{');
	for (i = 0; i < m->ndomain; i++)
		if (m->domain[i].top)
			json_num(j, m->domain[i].meter->ch.name, m->domain[i].measured_j);
	json_close(j, '}');
	json_num(j, "bound_j", m->bound_j);
	json_num(j, "mean_w", m->mean_w);
	json_str(j, "idle_source", idle_source_name(m->idle_source));
}

static void domains(struct json_out *j, const struct summary *m)
{
	int i;

	json_open(j, "sources", '[');
	for (i = 0; i < m->ndomain; i++) {
		const struct summary_domain *d = &m->domain[i];

		json_open(j, NULL, '{');
		json_str(j, "domain", d->meter->ch.name);
		json_str(j, "source", d->meter->source);
		json_str(j, "device", d->meter->ch.device);
		json_raw(j, "estimated", d->meter->ch.estimated ? "true" : "false");
		json_raw(j, "summed", d->top ? "true" : "false");
		json_num(j, "measured_j", d->measured_j);
		json_num(j, "refresh_ms", d->meter->period_us ? d->meter->period_us / 1e3 : NAN);
		json_num(j, "idle_w", d->idle_w);
		json_str(j, "idle_source", idle_source_name(d->idle));
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void summary(struct sink *s, const struct summary *m)
{
	struct json_out j = { .f = s->out };
	int i;

	tasks(s, m);
	json_open(&j, NULL, '{');
	json_str(&j, "type", "summary");
	json_int(&j, "schema", JSON_SCHEMA);
	json_str(&j, "version", m->run->version);
	json_str(&j, "hardware", m->run->hardware);
	json_str(&j, "kernel", m->run->kernel);
	wall(&j, s, "start_time", m->run->start_ns);
	json_num(&j, "duration_s", m->duration_s);
	json_int(&j, "queries", (int64_t)m->queries);
	json_int(&j, "errors", (int64_t)m->errors);
	json_int(&j, "cancels", (int64_t)m->cancels);
	json_int(&j, "hops", (int64_t)m->totals->hops);
	json_int_or_null(&j, "prompt_tokens", m->prompt_tokens);
	json_int_or_null(&j, "completion_tokens", m->completion_tokens);
	json_num(&j, "tokens_per_s", m->tokens_per_s);
	json_num(&j, "concurrency_mean", m->concurrency_mean);
	books(&j, m);
	json_str(&j, "method", attrib_method_name(summary_method(m)));
	domains(&j, m);
	json_raw(&j, "estimated", m->estimated ? "true" : "false");
	json_int(&j, "lost_events", (int64_t)m->end->lost_events);
	json_int(&j, "evicted", (int64_t)m->end->evicted);
	json_open(&j, "unread_connections", '{');
	for (i = 0; i < UNREAD_MAX; i++)
		if (m->end->unread[i].n)
			json_int(&j, m->end->unread[i].why, (int64_t)m->end->unread[i].n);
	json_close(&j, '}');
	json_num(&j, "tracer_cpu_s", m->end->tracer_cpu_s);
	flags(&j, m->flags);
	json_close(&j, '}');
	json_line(&j);
}

const struct sink_ops sink_json = {
	.name    = "json",
	.doc     = "JSON lines on stdout (--json)",
	.result  = result,
	.unread  = unread,
	.summary = summary,
	.close   = sink_flush,
};
