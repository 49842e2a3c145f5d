// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What crossed the wire, an event a line: when, which query, what kind, how much; never what it said. So that one can
 * see what the joules rest on, and report what a server does without sending its text.
 */
#include <inttypes.h>

#include "userspace/sink/sink.h"

/* "-" where a server has not said. */
static const char *count(char buf[24], int64_t v)
{
	if (v < 0)
		return "-";
	snprintf(buf, 24, "%" PRId64, v);
	return buf;
}

static void print_open(FILE *f, const struct wire_open *o)
{
	fprintf(f, " %s %s pid %u from %s to %s", o->dialect, *o->path ? o->path : "-", o->pid, o->client, o->server);
	if (*o->request_id)
		fprintf(f, " id %s", o->request_id);
	if (*o->trace_id)
		fprintf(f, " trace %s", o->trace_id);
	if (!o->start_ns)
		fputs(" midway", f);
}

static void print_usage(FILE *f, const struct wire_usage *u)
{
	char a[24], b[24], c[24];

	fprintf(f, " prompt %s cached %s completion %s", count(a, u->prompt), count(b, u->cached),
		count(c, u->completion));
}

static void print_detail(FILE *f, const struct wire_ev *e)
{
	static const char *const how[] = { "?", "done", "cancel", "cut", "lost" };

	switch (e->kind) {
	case WIRE_OPEN:
		print_open(f, e->open);
		break;
	case WIRE_REQUEST:
		fprintf(f, " %u bytes", e->n);
		break;
	case WIRE_RESPONSE:
		fprintf(f, " %u %s", e->n, e->stream < 0 ? "unknown" : e->stream ? "stream" : "whole");
		break;
	case WIRE_MODEL:
	case WIRE_DIALECT:
	case WIRE_TASK:
		fprintf(f, " %s", e->str);
		break;
	case WIRE_TOKENS:
		fprintf(f, " %u", e->n);
		break;
	case WIRE_USAGE:
		print_usage(f, &e->usage);
		break;
	case WIRE_TROUBLE:
		fprintf(f, "%s%s", e->n & WIRE_TRUNCATED ? " truncated" : "", e->n & WIRE_LOST ? " lost" : "");
		break;
	case WIRE_HOP:
		fprintf(f, " of q%" PRIu64 " by %s", e->parent, wire_hop_name(e->n));
		break;
	case WIRE_OVER:
		fprintf(f, " %s", how[e->n < sizeof(how) / sizeof(*how) ? e->n : 0]);
		if (e->end_ns)
			fprintf(f, " last send %.6f", (double)e->end_ns * 1e-9);
		break;
	}
}

static void wire(struct sink *s, const struct wire_ev *e)
{
	static const char *const kinds[] = {
		[WIRE_OPEN] = "open", [WIRE_REQUEST] = "request", [WIRE_RESPONSE] = "response", [WIRE_MODEL] = "model",
		[WIRE_TOKENS] = "tokens", [WIRE_USAGE] = "usage", [WIRE_FINISH] = "finish", [WIRE_ERROR] = "error",
		[WIRE_TROUBLE] = "trouble", [WIRE_OVER] = "over", [WIRE_DIALECT] = "dialect", [WIRE_HOP] = "hop",
		[WIRE_TASK] = "task",
	};

	if (e->kind >= sizeof(kinds) / sizeof(*kinds) || !kinds[e->kind])
		return;
	fprintf(s->out, "%16.6f q%" PRIu64 " %s", (double)e->ts_ns * 1e-9, e->query, kinds[e->kind]);
	print_detail(s->out, e);
	fputc('\n', s->out);
}

static void unread(struct sink *s, const struct wire_unread *u)
{
	char in[24], out[24];

	fprintf(s->out, "%16.6f - unread %s pid %u from %s to %s since %.6f in %s out %s bytes\n",
		(double)u->end_ns * 1e-9, http_why(u->why), u->pid, u->client, u->server, (double)u->start_ns * 1e-9,
		count(in, u->in), count(out, u->out));
}

static void step(struct sink *s, const struct step *p)
{
	char tokens[24];

	fprintf(s->out, "%16.6f - step pid %u since %.6f tokens %s\n", (double)p->end_ns * 1e-9, p->pid,
		(double)p->begin_ns * 1e-9, count(tokens, p->tokens));
}

static void activity(struct sink *s, const struct activity *a)
{
	fflush(s->out);
}

const struct sink_ops sink_script = {
	.name     = "script",
	.doc      = "what crossed the wire, an event a line (ipw-trace script)",
	.wire     = wire,
	.unread   = unread,
	.step     = step,
	.activity = activity,
	.close    = sink_flush,
};
