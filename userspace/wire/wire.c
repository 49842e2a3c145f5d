// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What all dialects share: which one it is, the framing of the answer, and what is made of an event's fields. */
#include "userspace/wire/wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/str.h"

#define DIALECT_MAX 32

static struct {
	struct json_tree request, answer;
} trees[DIALECT_MAX];

int wire_setup(void)
{
	static int done;
	int i, err;

	for (i = 0; !done && dialects[i]; i++) {
		err = json_tree_init(&trees[i].request, dialects[i]->request, dialects[i]->nrequest);
		if (!err)
			err = json_tree_init(&trees[i].answer, dialects[i]->answer, dialects[i]->nanswer);
		if (err)
			return err;
	}
	done = 1;
	return 0;
}

/* --- which dialect ------------------------------------------------------------------------------------------------ */

static size_t ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end) ? m : 0;
}

const struct wire_ops *wire_match(const struct http_head *request)
{
	const struct wire_ops *best = NULL;
	size_t len = 0, m;
	int i, j;

	if (strcmp(request->method, "POST"))
		return NULL;
	for (i = 0; dialects[i]; i++)
		for (j = 0; dialects[i]->paths[j]; j++) {
			m = ends_with(request->path, dialects[i]->paths[j]);
			if (m > len) {
				len = m;
				best = dialects[i];
			}
		}
	return best;
}

static const struct wire_ops *sniff(const char *p, size_t n)
{
	int i;

	for (i = 0; dialects[i]; i++)
		if (dialects[i]->sniff && memmem(p, n, dialects[i]->sniff, strlen(dialects[i]->sniff)))
			return dialects[i];
	return NULL;
}

/* --- events out --------------------------------------------------------------------------------------------------- */

static void emit(struct wire *w, enum wire_kind kind, uint64_t ts_ns, uint32_t n)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = kind, .n = n };

	w->emit(w->ctx, &e);
}

static void emit_model(struct wire *w, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_MODEL, .str = w->f.model };

	w->emit(w->ctx, &e);
	w->has_model = 1;
}

/*
 * Where the stream itself says how many tokens there are by now, an event's are the difference, which is nothing for the
 * second half of a token. Else it is one for each part; so too with several choices, which are often counted apart.
 */
static uint32_t tokens_of(struct wire *w)
{
	int64_t said = w->f.usage.completion, n = w->f.tokens ? w->f.tokens : w->f.parts;

	if (said > w->counted)
		n = said - w->counted;
	else if (said > 0 && !w->several)
		n = 0;
	w->counted += n;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void usage_merge(struct wire_usage *to, const struct wire_usage *from)
{
	to->prompt = from->prompt >= 0 ? from->prompt : to->prompt;
	to->cached = from->cached >= 0 ? from->cached : to->cached;
	to->completion = from->completion >= 0 ? from->completion : to->completion;
}

static void fields_init(struct wire_fields *f)
{
	f->parts = f->tokens = 0;
	f->finish = f->error = f->part_said = f->several = 0;
	f->stream = WIRE_STREAM_UNKNOWN;
	f->usage = (struct wire_usage){ -1, -1, -1 };
	f->model[0] = 0;
}

/* An event, or a whole answer, has been read. */
static void fields_out(struct wire *w)
{
	struct wire_fields *f = &w->f;

	if (w->ops->fix)
		w->ops->fix(f);
	if (f->model[0] && !w->has_model)
		emit_model(w, w->out_enter_ns);
	usage_merge(&w->usage, &f->usage);
	w->several |= f->several;
	if (w->framing == FRAME_SSE && (f->parts || f->tokens))
		emit(w, WIRE_TOKENS, w->out_enter_ns, tokens_of(w));
	if (w->framing == FRAME_SSE && f->finish) {
		w->finished = 1;
		emit(w, WIRE_FINISH, w->out_enter_ns, 0);
	}
	if (f->error)
		emit(w, WIRE_ERROR, w->out_enter_ns, 0);
	fields_init(f);
}

/* --- fields in ---------------------------------------------------------------------------------------------------- */

static int64_t to_count(const struct json_val *v)
{
	return v->type == JSON_NUM && v->num >= 0 && v->num < 1e15 && v->num == floor(v->num) ? (int64_t)v->num : -1;
}

static void on_part(struct wire_fields *f)
{
	f->parts += !f->part_said;
	f->part_said = 1;
}

static void on_field(void *ctx, int id, const struct json_val *v)
{
	struct wire_fields *f = &((struct wire *)ctx)->f;

	switch (id) {
	case WF_MODEL:
		if (v->type == JSON_STRING)
			str_clean(f->model, sizeof(f->model), v->str, v->len);
		break;
	case WF_TEXT:
		if (v->type == JSON_STRING && v->total)
			on_part(f);
		break;
	case WF_PART:
		on_part(f);
		break;
	case WF_CHOICE:
		f->part_said = 0;
		break;
	case WF_INDEX:
		f->several |= v->type == JSON_NUM && v->num > 0;
		break;
	case WF_TOKEN:
		f->tokens++;
		break;
	case WF_FINISH:
		f->finish |= (v->type == JSON_STRING && v->total) || v->type == JSON_TRUE;
		break;
	case WF_ERROR:
		f->error |= v->type != JSON_NULL && v->type != JSON_FALSE;
		break;
	case WF_PROMPT:
		f->usage.prompt = to_count(v);
		break;
	case WF_CACHED:
		f->usage.cached = to_count(v);
		break;
	case WF_COMPLETION:
		f->usage.completion = to_count(v);
		break;
	case WF_STREAM:
		f->stream = v->type == JSON_TRUE ? WIRE_STREAMED : WIRE_WHOLE;
		break;
	}
}

static void scan_begin(struct wire *w, const struct json_tree *t)
{
	json_init(&w->scan, t, on_field, w);
	w->scanning = 1;
}

/* From now on this text is known only by its end. */
static void scan_gap(struct wire *w)
{
	w->scanning = 0;
	w->ntail = 0;
	if (!w->tail)
		w->tail = malloc(WIRE_TAIL);
}

static void tail_keep(struct wire *w, const char *p, size_t n)
{
	size_t drop;

	if (!w->tail)
		return;
	if (n >= WIRE_TAIL) {
		p += n - WIRE_TAIL;
		n = WIRE_TAIL;
	}
	drop = w->ntail + n > WIRE_TAIL ? w->ntail + n - WIRE_TAIL : 0;
	memmove(w->tail, w->tail + drop, w->ntail - drop);
	w->ntail -= (uint32_t)drop;
	memcpy(w->tail + w->ntail, p, n);
	w->ntail += (uint32_t)n;
}

static void scan_feed(struct wire *w, const char *p, size_t n)
{
	if (w->scanning)
		json_feed(&w->scan, p, n);
	else
		tail_keep(w, p, n);
}

/*
 * The text is over. Of one with a gap the last members of the top-level object can still be read; but not when it broke
 * off (!whole): what was kept is then not its end.
 */
static int scan_end(struct wire *w, int whole)
{
	size_t from;

	if (w->scanning)
		return json_end(&w->scan);
	from = whole && w->tail ? json_tail_start(w->tail, w->ntail) : w->ntail;
	if (from < w->ntail) {
		json_init_members(&w->scan, w->scan.tree, on_field, w);
		json_feed(&w->scan, w->tail + from, w->ntail - from);
	}
	free(w->tail);
	w->tail = NULL;
	w->ntail = 0;
	return 0;
}

/* --- server-sent events (WHATWG HTML, 9.2.6) ---------------------------------------------------------------------- */

enum line { LINE_NAME, LINE_SPACE, LINE_DATA, LINE_SKIP, LINE_LOST };

static void sse_begin(struct wire *w)
{
	w->line = LINE_NAME;
	w->nname = 0;
	scan_begin(w, w->answer);
}

static void sse_event(struct wire *w)
{
	fields_out(w);
	scan_begin(w, w->answer);
}

/* "[DONE]" and keep-alives are no JSON and mean nothing here; an event may have several data lines. */
static void sse_line_end(struct wire *w, int whole)
{
	if (!w->scanning) {
		scan_end(w, whole);
		sse_event(w);
	} else if (w->line == LINE_DATA) {
		if (!json_end(&w->scan))
			sse_event(w);
		else
			json_feed(&w->scan, "\n", 1);
	} else if (w->line == LINE_NAME && !w->nname) {
		fields_init(&w->f);
		scan_begin(w, w->answer);
	}
	w->line = LINE_NAME;
	w->nname = 0;
}

static void sse_name(struct wire *w, char c)
{
	if (c == ':') {
		w->line = w->nname == 4 && !memcmp(w->name, "data", 4) ? LINE_SPACE : LINE_SKIP;
	} else if (w->nname < sizeof(w->name)) {
		w->name[w->nname++] = c;
	}
}

static void sse_feed(struct wire *w, const char *p, size_t n)
{
	const char *end = p + n, *stop;

	while (p < end) {
		if (*p == '\n' || *p == '\r') {
			if (*p == '\r' || !w->cr)
				sse_line_end(w, 1);
			w->cr = *p++ == '\r';
			continue;
		}
		w->cr = 0;
		if (w->line == LINE_NAME) {
			sse_name(w, *p++);
		} else if (w->line == LINE_SPACE) {
			p += *p == ' ';
			w->line = LINE_DATA;
		} else {
			for (stop = p; stop < end && *stop != '\n' && *stop != '\r'; stop++)
				;
			if (w->line != LINE_SKIP)
				scan_feed(w, p, (size_t)(stop - p));
			p = stop;
		}
	}
}

/* What was read of the event before the gap stands. */
static void sse_gap(struct wire *w)
{
	fields_out(w);
	scan_gap(w);
	w->line = LINE_LOST;
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

void wire_begin(struct wire *w, const struct wire_ops *ops, const struct wire_open *open, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_OPEN, .open = open };
	int i;

	for (i = 0; dialects[i] != ops; i++)
		;
	w->ops = ops;
	w->answer = &trees[i].answer;
	w->usage = (struct wire_usage){ -1, -1, -1 };
	fields_init(&w->f);
	scan_begin(w, &trees[i].request);
	w->emit(w->ctx, &e);
}

void wire_release(struct wire *w)
{
	free(w->tail);
	w->tail = NULL;
}

void wire_request_body(struct wire *w, const char *p, size_t n)
{
	w->body_bytes += n;
	if (w->requested)
		return; /* the answer has begun before the request was complete: that is what is scanned now */
	if (!p && w->scanning)
		scan_gap(w);
	else if (!p)
		w->ntail = 0;
	else
		scan_feed(w, p, n);
}

/* whole: its last byte has passed. */
static void request_over(struct wire *w, uint64_t ts_ns, int whole)
{
	uint64_t n = w->body_bytes;

	if (w->requested)
		return;
	w->requested = 1;
	scan_end(w, whole);
	if (w->f.model[0])
		emit_model(w, ts_ns);
	fields_init(&w->f);
	emit(w, WIRE_REQUEST, ts_ns, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX);
}

void wire_request_end(struct wire *w, uint64_t ts_ns)
{
	request_over(w, ts_ns, 1);
}

static enum wire_framing framing_of(const struct http_head *h)
{
	if (h->encoding[0] && strcmp(h->encoding, "identity"))
		return FRAME_NONE;
	return str_ihas(h->type, strlen(h->type), "text/event-stream") ? FRAME_SSE : FRAME_WHOLE;
}

static void response_begin(struct wire *w)
{
	struct wire_ev e = { .ts_ns = w->out_enter_ns, .query = w->query, .kind = WIRE_RESPONSE, .n = (uint32_t)w->status };

	/* An answer to a request whose end we did not see: it was complete by now. */
	request_over(w, w->out_enter_ns, 0);
	w->has_model = 0; /* the answer's model is the one that ran; an alias may have been asked for */
	e.stream = w->framing == FRAME_NONE ? WIRE_STREAM_UNKNOWN : w->framing == FRAME_SSE;
	w->emit(w->ctx, &e);
	if (w->framing == FRAME_NONE)
		wire_trouble(w, WIRE_TRUNCATED, w->out_enter_ns);
	sse_begin(w);
}

void wire_response(struct wire *w, const struct http_head *h, const struct bytes *b)
{
	if (w->over)
		return;
	w->out_enter_ns = b->enter_ns;
	w->out_ns = b->ret_ns;
	w->framing = h ? framing_of(h) : FRAME_SSE;
	w->status = h ? h->status : 0;
	if (w->ops)
		response_begin(w);
}

/* A gap cannot be read over before it is known what it is in: then what was kept is thrown away. */
const struct wire_ops *wire_guess(struct wire *w, const char *p, size_t n)
{
	const struct wire_ops *ops = NULL;

	if (w->over || w->framing == FRAME_NONE)
		return NULL;
	w->guess_gap |= !p;
	if (!p)
		w->ntail = 0;
	w->nguess = w->ntail;
	if (!w->tail)
		w->tail = malloc(WIRE_TAIL);
	n = n < WIRE_TAIL - w->ntail ? n : WIRE_TAIL - w->ntail;
	if (p && w->tail) {
		memcpy(w->tail + w->ntail, p, n);
		w->ntail += (uint32_t)n;
		ops = sniff(w->tail, w->ntail);
	}
	w->over = !ops && w->ntail == WIRE_TAIL;
	return ops;
}

void wire_begin_answer(struct wire *w, const struct wire_ops *ops, const struct wire_open *open, const struct bytes *b)
{
	char *kept = w->tail;

	w->tail = NULL;
	w->ntail = 0;
	w->out_enter_ns = b->enter_ns;
	w->out_ns = b->ret_ns;
	wire_begin(w, ops, open, b->enter_ns);
	response_begin(w);
	if (w->guess_gap)
		wire_response_body(w, NULL, 0, b);
	wire_response_body(w, kept, w->nguess, b);
	free(kept);
}

void wire_response_body(struct wire *w, const char *p, size_t n, const struct bytes *b)
{
	if (w->over)
		return;
	w->out_enter_ns = b->enter_ns;
	w->out_ns = b->ret_ns;
	if (w->framing == FRAME_SSE && p) {
		sse_feed(w, p, n);
	} else if (w->framing == FRAME_SSE) {
		wire_trouble(w, WIRE_TRUNCATED, b->enter_ns);
		sse_gap(w);
	} else if (w->framing == FRAME_WHOLE && p) {
		scan_feed(w, p, n);
	} else if (w->framing == FRAME_WHOLE) {
		scan_gap(w);
	}
}

void wire_trouble(struct wire *w, enum wire_trouble t, uint64_t ts_ns)
{
	if (w->over || !w->ops)
		return;
	emit(w, WIRE_TROUBLE, ts_ns, t);
}

void wire_over(struct wire *w, enum http_over how, uint64_t enter_ns, uint64_t ret_ns)
{
	struct wire_ev e = { .ts_ns = ret_ns, .query = w->query, .kind = WIRE_USAGE };

	if (w->over || !w->ops)
		return;
	w->over = 1;
	request_over(w, ret_ns, 0);
	if (w->framing == FRAME_WHOLE) {
		scan_end(w, how == HTTP_DONE);
		fields_out(w);
	} else if (w->framing == FRAME_SSE) {
		sse_line_end(w, how == HTTP_DONE); /* a last line without a line end */
	}
	if (w->usage.prompt >= 0 || w->usage.completion >= 0 || w->usage.cached >= 0) {
		e.usage = w->usage;
		w->emit(w->ctx, &e);
	}
	if (how == HTTP_DONE && !w->finished)
		emit(w, WIRE_FINISH, w->out_enter_ns ? w->out_enter_ns : enter_ns, 0);
	e = (struct wire_ev){ .ts_ns = ret_ns, .query = w->query, .kind = WIRE_OVER, .n = how };
	e.end_ns = how == HTTP_DONE && ret_ns ? ret_ns : w->out_ns;
	if (!e.ts_ns)
		e.ts_ns = e.end_ns;
	w->emit(w->ctx, &e);
}
