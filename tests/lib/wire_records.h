/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Calls of a scenario to the records that the BPF programs would make of them (bpf/net_tp.bpf.c), and to the log. */
#ifndef IPW_TEST_WIRE_RECORDS_H
#define IPW_TEST_WIRE_RECORDS_H

#include <errno.h>
#include <sys/socket.h>

#include "tests/lib/wire_scenario.h"
#include "userspace/pipeline.h"

/* Streams begin just before their sequence numbers wrap. */
#define SEQ_IN  0xfffffe00u
#define SEQ_OUT 0xffffff80u

struct token_ev {
	uint64_t ts_ns;
	uint32_t n;
};

/* What became of one query. */
struct seen {
	uint64_t id, start_ns, first_ns; /* first_ns: of anything that was said of its answer */
	uint64_t r_ns;
	struct query q;                  /* as it ended; without what it points to */
	uint8_t  ended;
	char     model[128];
	struct token_ev *tok;
	size_t   ntok, captok;
	uint64_t tokens;
};

/* One play of a scenario. */
struct play {
	struct pipeline *p;
	struct queries   queries;  /* a second reader of the wire events: who says how each query ended */
	int      text;             /* write the log */
	int      timed;
	struct text log;
	struct seen *seen;
	size_t   nseen, capseen;
	uint64_t base_id, base_requests;
	uint64_t opaque[8];
	uint64_t last_ns;
	/* records */
	size_t   head_max, tail_max;
	long     lose;             /* number of the record that never comes; -1 none */
	size_t   ncall, lost_call; /* calls played; the one whose record that was */
	long     nrec;
	uint32_t seq[CONNS][2];
	unsigned gen[CONNS];
	uint64_t cookie0;
};

static struct play *playing; /* the sink has no pointer of ours */

/* --- the log ------------------------------------------------------------------------------------------------------ */

static double log_ms(uint64_t ns)
{
	return ns ? (double)(int64_t)(ns - T0_NS) / 1e6 : -1;
}

static const char *log_count(int64_t n, char *buf, size_t size)
{
	snprintf(buf, size, n < 0 ? "-" : "%lld", (long long)n);
	return buf;
}

static void log_open(struct play *y, const struct wire_open *o)
{
	text_printf(&y->log, " %s %s from %s to %s", o->dialect, o->path[0] ? o->path : "-", o->client, o->server);
	if (o->request_id[0])
		text_printf(&y->log, " id %s", o->request_id);
	if (o->trace_id[0])
		text_printf(&y->log, " trace %s", o->trace_id);
	if (!o->start_ns)
		text_printf(&y->log, " midway");
	else if (y->timed)
		text_printf(&y->log, " start=%.3f", log_ms(o->start_ns));
}

static void log_wire(struct play *y, const struct wire_ev *e)
{
	static const char *const kinds[] = {
		[WIRE_OPEN] = "open", [WIRE_REQUEST] = "request", [WIRE_RESPONSE] = "response", [WIRE_MODEL] = "model",
		[WIRE_TOKENS] = "tokens", [WIRE_USAGE] = "usage", [WIRE_FINISH] = "finish", [WIRE_ERROR] = "error",
		[WIRE_TROUBLE] = "trouble", [WIRE_OVER] = "over", [WIRE_DIALECT] = "dialect",
		[WIRE_HOP] = "hop", [WIRE_TASK] = "task",
	};
	static const char *const hows[] = { "?", "done", "cancel", "cut", "lost" };
	char a[24], b[24], c[24];
	struct text *t = &y->log;

	text_printf(t, "q%llu %s", (unsigned long long)(e->query - y->base_id), kinds[e->kind]);
	if (e->kind == WIRE_OPEN)
		log_open(y, e->open);
	else if (e->kind == WIRE_REQUEST)
		text_printf(t, " %u bytes", e->n);
	else if (e->kind == WIRE_RESPONSE)
		text_printf(t, " %u %s", e->n, e->stream < 0 ? "unknown" : e->stream ? "stream" : "whole");
	else if (e->kind == WIRE_MODEL || e->kind == WIRE_DIALECT || e->kind == WIRE_TASK)
		text_printf(t, " %s", e->str);
	else if (e->kind == WIRE_TOKENS)
		text_printf(t, " %u", e->n);
	else if (e->kind == WIRE_USAGE)
		text_printf(t, " prompt %s cached %s completion %s", log_count(e->usage.prompt, a, sizeof(a)),
			    log_count(e->usage.cached, b, sizeof(b)), log_count(e->usage.completion, c, sizeof(c)));
	else if (e->kind == WIRE_TROUBLE)
		text_printf(t, "%s%s", e->n & WIRE_TRUNCATED ? " truncated" : "", e->n & WIRE_LOST ? " lost" : "");
	else if (e->kind == WIRE_HOP)
		text_printf(t, " of q%llu by %u", (unsigned long long)(e->parent - y->base_id), e->n);
	else if (e->kind == WIRE_OVER)
		text_printf(t, " %s", hows[e->n < 5 ? e->n : 0]);
	if (y->timed)
		text_printf(t, " @%.3f", log_ms(e->ts_ns));
	if (y->timed && e->kind == WIRE_OVER)
		text_printf(t, " end=%.3f", log_ms(e->end_ns));
	text_add(t, "\n", 1);
}

/* --- what became of the queries ----------------------------------------------------------------------------------- */

static struct seen *seen_of(struct play *y, uint64_t id)
{
	size_t i;

	for (i = y->nseen; i-- > 0;)
		if (y->seen[i].id == id)
			return &y->seen[i];
	return NULL;
}

static struct seen *seen_new(struct play *y, uint64_t id)
{
	struct seen *s;

	if (y->nseen == y->capseen) {
		y->capseen = y->capseen ? 2 * y->capseen : 16;
		y->seen = realloc(y->seen, y->capseen * sizeof(*y->seen));
		if (!y->seen)
			abort();
	}
	s = &y->seen[y->nseen++];
	*s = (struct seen){ .id = id };
	return s;
}

static void seen_tokens(struct seen *s, uint64_t ts_ns, uint32_t n)
{
	if (s->ntok == s->captok) {
		s->captok = s->captok ? 2 * s->captok : 16;
		s->tok = realloc(s->tok, s->captok * sizeof(*s->tok));
		if (!s->tok)
			abort();
	}
	s->tok[s->ntok++] = (struct token_ev){ ts_ns, n };
	s->tokens += n;
}

static void on_began(void *ctx, struct query *q) {}
static void on_first(void *ctx, struct query *q) {}
static void on_tokens(void *ctx, struct query *q, uint64_t ts_ns, uint32_t n) {}
static void on_hop(void *ctx, struct query *q, struct query *front) {}

static void on_hop_gone(void *ctx, struct query *q) {}
static void on_inner(void *ctx, struct query *q, struct query *hop) {}

static void on_ended(void *ctx, struct query *q)
{
	struct seen *s = seen_of(ctx, q->id);

	s->q = *q;
	s->q.itl = NULL;
	s->q.hop = NULL;
	s->ended = 1;
	query_free(q);
}

static const struct query_ops query_watch = {
	.began = on_began, .first = on_first, .tokens = on_tokens, .ended = on_ended,
	.hop = on_hop, .inner = on_inner, .hop_gone = on_hop_gone,
};

static void on_wire(struct sink *sink, const struct wire_ev *e)
{
	struct play *y = playing;
	struct seen *s = e->kind == WIRE_OPEN ? seen_new(y, e->query) : seen_of(y, e->query);

	if (!s)
		return; /* of a play before */
	if (y->text)
		log_wire(y, e);
	queries_event(&y->queries, e);
	if (e->kind == WIRE_OPEN)
		s->start_ns = e->open->start_ns;
	else if (e->kind == WIRE_REQUEST)
		s->r_ns = e->ts_ns;
	else if (e->kind == WIRE_TOKENS)
		seen_tokens(s, e->ts_ns, e->n);
	else if (e->kind == WIRE_MODEL)
		snprintf(s->model, sizeof(s->model), "%s", e->str);
	if (!s->first_ns && e->kind >= WIRE_RESPONSE)
		s->first_ns = e->ts_ns;
}

static const struct sink_ops watch_sink = { .name = "watch", .wire = on_wire };

/* A connection was found to be none that we read. */
static void on_mute(void *ctx, uint64_t cookie)
{
	struct play *y = playing;
	int i;

	for (i = 0; i < 8; i++)
		if (y->p->opaque[i] != y->opaque[i] && y->text)
			text_printf(&y->log, "opaque: %s\n", http_why((enum http_opaque)i));
	memcpy(y->opaque, y->p->opaque, sizeof(y->opaque));
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void emit_record(struct play *y, const struct call *c, const void *rec, size_t size)
{
	struct ev_hdr *e;

	if (c->hidden)
		return;
	if (y->nrec++ == y->lose)
		y->lost_call = y->ncall;
	if (y->nrec - 1 == y->lose || c->lost) {
		pipeline_lost(y->p, c->ret_ns); /* the counter of the ring says so */
		return;
	}
	/* Of its own size, so that a read beyond it is found. */
	e = malloc(size);
	if (!e)
		abort();
	memcpy(e, rec, size);
	pipeline_ev(y->p, e);
	if (c->twice)
		pipeline_ev(y->p, e);
	free(e);
}

static void sock_of(const struct play *y, const struct call *c, struct ev_sock *s)
{
	static const uint8_t server4[4] = { 10, 0, 0, 2 }, client4[4] = { 10, 0, 0, 1 };
	static const uint16_t family[] = { [SOCK_IP4] = AF_INET, [SOCK_IP6] = AF_INET6, [SOCK_UNIX] = AF_UNIX };

	*s = (struct ev_sock){ .family = family[c->kind] };
	s->cookie = y->cookie0 + (uint64_t)c->gen * CONNS + (uint64_t)c->conn + 1;
	if (c->kind == SOCK_UNIX)
		return;
	s->lport = 8000;
	s->rport = (uint16_t)(40000 + c->conn);
	if (c->kind == SOCK_IP4) {
		memcpy(s->laddr, server4, 4);
		memcpy(s->raddr, client4, 4);
	} else {
		s->laddr[15] = 1;
		s->raddr[0] = 0xfd;
		s->raddr[15] = 1;
	}
}

static void hdr_of(const struct play *y, const struct call *c, struct ev_hdr *h, enum ev_type type, size_t size)
{
	h->ts_ns = c->ret_ns;
	h->type = (uint8_t)type;
	h->flags = 0;
	h->slot = 1;
	h->size = (uint32_t)size;
	h->tgid = 4242;
	h->tid = c->tid;
}

/* data[at .. at+len) of a call as one record of bytes, with a gap where the call has one, or where it is too long. */
static void emit_data(struct play *y, const struct call *c, enum ev_type type, int flags, size_t at, size_t len,
		      uint32_t seq)
{
	size_t head = len, tail = 0, tail_max = len, from, to;
	struct ev_data *d;

	if (len > y->head_max + y->tail_max) {
		head = y->head_max;
		tail = tail_max = y->tail_max;
	}
	if (c->gap_n && c->gap_at < at + len && c->gap_at + c->gap_n > at) {
		from = c->gap_at > at ? c->gap_at - at : 0;
		to = c->gap_at + c->gap_n - at < len ? c->gap_at + c->gap_n - at : len;
		head = from < head ? from : head;
		tail = len - to < tail_max ? len - to : tail_max;
	}
	d = calloc(1, sizeof(*d) + head + tail);
	if (!d)
		abort();
	hdr_of(y, c, &d->h, type, sizeof(*d) + head + tail);
	sock_of(y, c, &d->s);
	d->h.flags = (uint8_t)flags;
	if (type == EV_RECV && !(flags & EV_WHOLE))
		d->s.cookie = 0;
	d->enter_ns = type == EV_SEND ? c->enter_ns : 0;
	d->seq = seq;
	d->ret = (int32_t)len;
	d->head = (uint32_t)head;
	d->tail = (uint32_t)tail;
	if (len) {
		memcpy((char *)(d + 1), c->data + at, head);
		memcpy((char *)(d + 1) + head, c->data + at + len - tail, tail);
	}
	emit_record(y, c, d, sizeof(*d) + head + tail);
	free(d);
}

static void emit_end(struct play *y, const struct call *c, enum ev_type type, int flags, int ret)
{
	struct ev_data d = { .ret = ret };

	hdr_of(y, c, &d.h, type, sizeof(d));
	sock_of(y, c, &d.s);
	d.h.flags = (uint8_t)flags;
	d.enter_ns = type == EV_SEND ? c->enter_ns : 0;
	d.seq = type == EV_SEND ? y->seq[c->conn][CONN_OUT] : 0;
	emit_record(y, c, &d, sizeof(d));
}

static void emit_state(struct play *y, const struct call *c)
{
	struct ev_state e = { .what = c->what == CALL_CLOSE ? EV_CLOSED : EV_SHUT_OUT };
	struct ev_sock s;

	sock_of(y, c, &s);
	hdr_of(y, c, &e.h, EV_STATE, sizeof(e));
	e.h.slot = 0;
	e.h.flags = c->what == CALL_SHUT_PEER ? EV_PEER_FIRST : 0;
	e.cookie = s.cookie;
	e.seq = y->seq[c->conn][CONN_OUT];
	e.in_seq = y->seq[c->conn][CONN_IN] + (c->what == CALL_SHUT_PEER);
	emit_record(y, c, &e, sizeof(e));
}

/* A receive: its packets one by one, then the end of the call. A unix socket's comes whole. */
static void emit_recv(struct play *y, const struct call *c)
{
	uint32_t seq = y->seq[c->conn][CONN_IN];
	size_t at = 0, i, end;

	if (c->kind == SOCK_UNIX && c->what == CALL_IN) {
		emit_data(y, c, EV_RECV, EV_WHOLE, 0, c->len, seq);
		return;
	}
	for (i = 0; i <= c->ncut && c->len; i++) {
		end = i < c->ncut ? c->cut[i] : c->len;
		if (end > at)
			emit_data(y, c, EV_RECV, 0, at, end - at, seq + (uint32_t)at);
		at = end;
	}
	emit_end(y, c, EV_RECV_END, c->what == CALL_PEEK ? EV_PEEK : 0, (int)c->len);
}

static void play_call(struct play *y, const struct call *c)
{
	if (y->gen[c->conn] != c->gen) {
		y->gen[c->conn] = c->gen;
		y->seq[c->conn][CONN_IN] = SEQ_IN;
		y->seq[c->conn][CONN_OUT] = SEQ_OUT;
	}
	y->last_ns = c->ret_ns;
	switch (c->what) {
	case CALL_IN:
		emit_recv(y, c);
		y->seq[c->conn][CONN_IN] += (uint32_t)c->len;
		break;
	case CALL_OUT:
		emit_data(y, c, EV_SEND, 0, 0, c->len, y->seq[c->conn][CONN_OUT]);
		y->seq[c->conn][CONN_OUT] += (uint32_t)c->len;
		break;
	case CALL_PEEK:
		emit_recv(y, c);
		break;
	case CALL_EOF:
	case CALL_RESET:
		emit_end(y, c, EV_RECV_END, 0, c->what == CALL_EOF ? 0 : -ECONNRESET);
		break;
	case CALL_BROKEN:
		emit_end(y, c, EV_SEND, 0, -EPIPE);
		break;
	default:
		emit_state(y, c);
	}
}

/* --- a play ------------------------------------------------------------------------------------------------------- */

#define PLAYS_MAX 128 /* of one pipeline: what it keeps of queries that have ended is bounded by this */

static struct pipeline the_pipeline;
static int pipeline_up, pipeline_plays;

static void play_pipeline_end(void)
{
	struct run_end end = { .end_ns = 1 };

	if (!pipeline_up)
		return;
	pipeline_close(&the_pipeline, &end);
	pipeline_release(&the_pipeline);
	pipeline_up = pipeline_plays = 0;
}

/* Making one is dear, so it serves for many plays; each has sockets of its own. */
static struct pipeline *play_pipeline(void)
{
	static struct run run = { .nslot = 1 };
	static struct idle idle;
	struct sink sink = { .ops = &watch_sink };

	if (pipeline_plays == PLAYS_MAX)
		play_pipeline_end();
	if (!pipeline_up && pipeline_init(&the_pipeline, &run, NULL, 0, &idle, &sink, 1))
		abort();
	the_pipeline.mute = on_mute;
	pipeline_up = 1;
	pipeline_plays++;
	return &the_pipeline;
}

static void play_begin(struct play *y, int text, int timed)
{
	static uint64_t cookie;
	int i;

	*y = (struct play){ .text = text, .timed = timed, .lose = -1 };
	y->head_max = EV_HEAD_MAX;
	y->tail_max = EV_TAIL_MAX;
	playing = y;
	y->p = play_pipeline();
	queries_init(&y->queries, &query_watch, y);
	y->base_id = y->p->next_id;
	y->base_requests = y->p->requests;
	memcpy(y->opaque, y->p->opaque, sizeof(y->opaque));
	y->cookie0 = cookie += 1u << 20;
	for (i = 0; i < CONNS; i++) {
		y->seq[i][CONN_IN] = SEQ_IN;
		y->seq[i][CONN_OUT] = SEQ_OUT;
	}
}

/* The place of `first` in the stream is before that of the next call; only its records come after. */
static void play_late(struct play *y, const struct call *first, const struct call *next)
{
	uint32_t *seq = &y->seq[first->conn][first->what == CALL_OUT], at = *seq, end;

	*seq += (uint32_t)first->len;
	play_call(y, next);
	end = *seq;
	*seq = at;
	play_call(y, first);
	*seq = end;
}

static void play_calls(struct play *y, const struct call *c, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (c[i].late && i + 1 < n) {
			play_late(y, &c[i], &c[i + 1]);
			i++;
			continue;
		}
		play_call(y, &c[i]);
		y->ncall = i + 1;
	}
}

/* The trace is over. */
static void play_end(struct play *y)
{
	uint64_t t = y->last_ns;
	size_t i;

	for (i = 0; i < y->nseen && y->text; i++)
		if (!y->seen[i].ended)
			text_printf(&y->log, "q%llu still runs\n", (unsigned long long)(y->seen[i].id - y->base_id));
	queries_end(&y->queries, t);
	if (y->text)
		text_printf(&y->log, "%llu requests\n", (unsigned long long)(y->p->requests - y->base_requests));
	y->text = 0;
	conns_release(&y->p->conns);
	queries_release(&y->queries);
	playing = NULL;
}

static void play_free(struct play *y)
{
	size_t i;

	for (i = 0; i < y->nseen; i++)
		free(y->seen[i].tok);
	free(y->seen);
	free(y->log.p);
}

#endif
