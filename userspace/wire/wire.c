// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which dialect a query is in, and the calls that bring its bytes; text.c reads them, fields.c says what they mean. */
#include "userspace/wire/internal.h"

#include <stdlib.h>
#include <string.h>

#include "userspace/util/str.h"

#define DIALECT_MAX 32
#define SNIFF_MAX   32 /* length of any wire_ops.sniff */

static struct {
	struct json_tree request, answer;
} trees[DIALECT_MAX];

int wire_setup(void)
{
	static int done;
	int i, err;

	for (i = 0; !done && dialects[i]; i++) {
		err = wire_task_tree(&trees[i].request, dialects[i]);
		if (!err)
			err = json_tree_init(&trees[i].answer, dialects[i]->answer, dialects[i]->nanswer);
		if (err)
			return err;
	}
	done = 1;
	return 0;
}

/* --- which dialect ------------------------------------------------------------------------------------------------ */

/* How many bytes of the end of a path are literally those of a pattern; 0 if it does not end so. */
static size_t ends_with(const char *path, const char *pattern)
{
	size_t n = strlen(path), m = strlen(pattern), same = 0;

	for (; m && n; m--) {
		if (pattern[m - 1] != '*') {
			if (path[--n] != pattern[m - 1])
				return 0;
			same++;
			continue;
		}
		if (path[n - 1] == '/')
			return 0;
		while (n && path[n - 1] != '/')
			n--;
	}
	return m ? 0 : same;
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

/* The dialect whose mark ends first, so that it makes no difference in what pieces the bytes come. */
static const struct wire_ops *sniff(const char *p, size_t n)
{
	const struct wire_ops *best = NULL;
	const char *at;
	size_t len;
	int i;

	for (i = 0; dialects[i]; i++) {
		len = dialects[i]->sniff ? strlen(dialects[i]->sniff) : 0;
		at = len ? memmem(p, n, dialects[i]->sniff, len) : NULL;
		if (at) {
			best = dialects[i];
			n = (size_t)(at - p) + len - 1;
		}
	}
	return best;
}

/* Returns its place in the list. */
static int use_dialect(struct wire *w, const struct wire_ops *ops)
{
	int i;

	for (i = 0; dialects[i] != ops; i++)
		;
	w->ops = ops;
	w->answer = &trees[i].answer;
	return i;
}

void wire_twin(struct wire *w, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_DIALECT };

	if (!w->f.twin || !w->ops->twin)
		return;
	use_dialect(w, w->ops->twin);
	free(w->again); /* it was read as the other's */
	w->again = NULL;
	e.str = w->ops->name;
	w->emit(w->ctx, &e);
}

const char *wire_hop_name(uint32_t by)
{
	static const char *const names[] = {
		[HOP_ONLY] = "only", [HOP_ID] = "id", [HOP_BODY] = "body", [HOP_TEXT] = "text",
		[HOP_THREAD] = "thread", [HOP_ORDER] = "order",
	};

	return by < sizeof(names) / sizeof(*names) && names[by] ? names[by] : "?";
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

void wire_begin(struct wire *w, const struct wire_ops *ops, const struct wire_open *open, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_OPEN, .open = open };
	int i;

	i = use_dialect(w, ops);
	w->usage = (struct wire_usage){ -1, -1, -1 };
	wire_fields_init(&w->f);
	wire_scan(w, &trees[i].request);
	w->emit(w->ctx, &e);
}

static void coding_end(struct wire *w)
{
	inflate_free(w->inflate);
	w->inflate = NULL;
	w->coded = 0;
}

void wire_release(struct wire *w)
{
	free(w->tail);
	free(w->again);
	w->tail = NULL;
	w->again = NULL;
	coding_end(w);
}

/* A piece of a coded body. False: nothing more can be read of it. */
static int decode(struct wire *w, const char *p, size_t n)
{
	if (p && w->inflate && !inflate_feed(w->inflate, p, n))
		return 1;
	inflate_free(w->inflate);
	w->inflate = NULL;
	return 0;
}

static void on_request_text(void *ctx, const char *p, size_t n)
{
	wire_scan_feed(ctx, p, n);
}

void wire_request_coding(struct wire *w, const char *coding)
{
	w->coded = 1;
	w->inflate = inflate_new(coding, on_request_text, w);
}

void wire_request_body(struct wire *w, const char *p, size_t n)
{
	w->body_bytes += n;
	if (w->requested)
		return; /* the answer has begun before the request was complete: that is what is scanned now */
	if (w->coded && (!w->scanning || decode(w, p, n)))
		return;
	if (w->coded || (!p && w->scanning))
		wire_scan_gap(w);
	else if (!p)
		w->ntail = 0;
	else
		wire_scan_feed(w, p, n);
}

/* whole: its last byte has passed. */
static void request_over(struct wire *w, uint64_t ts_ns, int whole)
{
	uint64_t n = w->body_bytes;

	if (w->requested)
		return;
	w->requested = 1;
	wire_scan_end(w, whole);
	coding_end(w);
	wire_twin(w, ts_ns);
	if (w->f.model[0])
		wire_emit_model(w, ts_ns);
	wire_task_out(w, ts_ns);
	wire_fields_init(&w->f);
	w->gap = 0;
	wire_emit(w, WIRE_REQUEST, ts_ns, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX);
}

void wire_request_end(struct wire *w, uint64_t ts_ns)
{
	request_over(w, ts_ns, 1);
}

static int is_coded(const struct http_head *h)
{
	return h->encoding[0] && strcmp(h->encoding, "identity");
}

static enum wire_framing framing_of(const struct http_head *h)
{
	static const char *const lines[] = { "ndjson", "jsonl", "jsonlines", "stream+json" };
	size_t i;

	if (str_ihas(h->type, strlen(h->type), "text/event-stream"))
		return FRAME_SSE;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (str_ihas(h->type, strlen(h->type), lines[i]))
			return FRAME_LINES;
	return FRAME_WHOLE;
}

static void on_answer_text(void *ctx, const char *p, size_t n)
{
	struct wire *w = ctx;

	if (w->framing == FRAME_WHOLE)
		wire_scan_feed(w, p, n);
	else
		wire_sse_feed(w, p, n);
}

static void response_begin(struct wire *w)
{
	struct wire_ev e = { .ts_ns = w->out_enter_ns, .query = w->query, .kind = WIRE_RESPONSE };

	e.n = (uint32_t)w->status;
	/* An answer to a request whose end we did not see: it was complete by now. */
	request_over(w, w->out_enter_ns, 0);
	w->has_model = 0; /* the answer's model is the one that ran; an alias may have been asked for */
	e.stream = w->framing == FRAME_NONE ? WIRE_STREAM_UNKNOWN : w->framing != FRAME_WHOLE;
	w->emit(w->ctx, &e);
	if (w->framing == FRAME_NONE)
		wire_trouble(w, WIRE_TRUNCATED, w->out_enter_ns);
	wire_sse(w);
}

void wire_response(struct wire *w, const struct http_head *h, const struct bytes *b)
{
	struct inflate *z = NULL;

	if (w->over)
		return;
	w->out_enter_ns = b->enter_ns;
	w->out_ns = b->ret_ns;
	w->framing = h ? framing_of(h) : FRAME_SSE;
	if (h && is_coded(h)) {
		z = w->ops ? inflate_new(h->encoding, on_answer_text, w) : NULL;
		w->framing = z ? w->framing : FRAME_NONE;
	}
	w->status = h ? h->status : 0;
	if (h && h->prompt_tokens >= 0)
		w->usage.prompt = h->prompt_tokens;
	if (h && h->generated_tokens >= 0)
		w->usage.completion = h->generated_tokens;
	if (!w->ops)
		return;
	response_begin(w);
	w->inflate = z; /* that of the request is no longer there */
	w->coded = z != NULL;
}

/* A gap cannot be read over before it is known what it is in: then what was kept is thrown away. */
const struct wire_ops *wire_guess(struct wire *w, const char *p, size_t n)
{
	const struct wire_ops *ops = NULL;
	uint32_t from;

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
		from = w->ntail > SNIFF_MAX ? w->ntail - SNIFF_MAX : 0;
		w->ntail += (uint32_t)n;
		ops = sniff(w->tail + from, w->ntail - from);
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
	if (ops->lines && !w->status)
		w->framing = FRAME_LINES; /* its head was not seen */
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
	if (w->framing == FRAME_NONE || (w->coded && decode(w, p, n)))
		return;
	if (w->coded) {
		wire_trouble(w, WIRE_TRUNCATED, b->enter_ns);
		w->framing = FRAME_NONE;
	} else if (p) {
		on_answer_text(w, p, n);
	} else if (w->framing == FRAME_WHOLE) {
		wire_scan_gap(w);
	} else {
		wire_trouble(w, WIRE_TRUNCATED, b->enter_ns);
		wire_sse_gap(w);
	}
}

void wire_trouble(struct wire *w, enum wire_trouble t, uint64_t ts_ns)
{
	if (w->over || !w->ops || (w->trouble & t))
		return;
	w->trouble |= t;
	wire_emit(w, WIRE_TROUBLE, ts_ns, t);
}

void wire_over(struct wire *w, enum http_over how, uint64_t enter_ns, uint64_t ret_ns)
{
	uint64_t ts_ns = ret_ns ? ret_ns : w->out_ns;
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_USAGE };

	if (w->over || !w->ops)
		return;
	request_over(w, ts_ns, 0);
	if (w->inflate && how == HTTP_DONE && !inflate_whole(w->inflate))
		wire_trouble(w, WIRE_TRUNCATED, ts_ns);
	w->over = 1;
	if (w->framing == FRAME_WHOLE) {
		wire_scan_end(w, how == HTTP_DONE);
		wire_fields_out(w);
		if (w->gap && (w->usage.prompt < 0 || w->usage.completion < 0))
			wire_emit(w, WIRE_TROUBLE, ts_ns, WIRE_TRUNCATED);
	} else if (w->framing != FRAME_NONE) {
		wire_sse_line_end(w, how == HTTP_DONE); /* a last line without a line end */
	}
	if (w->ops->no_output && how == HTTP_DONE && w->status / 100 == 2)
		w->usage.completion = 0;
	if (w->usage.prompt >= 0 || w->usage.completion >= 0 || w->usage.cached >= 0) {
		e.usage = w->usage;
		w->emit(w->ctx, &e);
	}
	if (how == HTTP_DONE && !w->finished)
		wire_emit(w, WIRE_FINISH, w->out_enter_ns ? w->out_enter_ns : enter_ns, 0);
	e = (struct wire_ev){ .ts_ns = ts_ns, .query = w->query, .kind = WIRE_OVER, .n = how };
	e.end_ns = how == HTTP_DONE && ret_ns ? ret_ns : w->out_ns;
	w->emit(w->ctx, &e);
}
