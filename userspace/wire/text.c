// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The text of a body: JSON, of which the middle may be missing, alone or in server-sent events. */
#include "userspace/wire/internal.h"

#include <stdlib.h>
#include <string.h>

/* --- JSON --------------------------------------------------------------------------------------------------------- */

void wire_scan(struct wire *w, const struct json_tree *t)
{
	json_init(&w->scan, t, wire_field_in, w);
	w->scanning = 1;
	w->known = 0;
}

void wire_scan_gap(struct wire *w)
{
	w->scanning = 0;
	w->gap = 1;
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

void wire_scan_feed(struct wire *w, const char *p, size_t n)
{
	if (w->scanning)
		json_feed(&w->scan, p, n);
	else
		tail_keep(w, p, n);
}

int wire_scan_end(struct wire *w, int whole)
{
	size_t from;

	if (w->scanning)
		return json_end(&w->scan);
	from = whole && w->tail ? json_tail_start(w->tail, w->ntail) : w->ntail;
	if (from < w->ntail) {
		json_init_members(&w->scan, w->scan.tree, wire_field_in, w);
		json_feed(&w->scan, w->tail + from, w->ntail - from);
	}
	free(w->tail);
	w->tail = NULL;
	w->ntail = 0;
	return 0;
}

/* --- server-sent events (WHATWG HTML, 9.2.6), and lines of JSON --------------------------------------------------- */

enum line { LINE_NAME, LINE_SPACE, LINE_DATA, LINE_SKIP, LINE_LOST };

static void line_begin(struct wire *w)
{
	w->line = w->framing == FRAME_LINES ? LINE_DATA : LINE_NAME;
	w->nname = 0;
}

void wire_sse(struct wire *w)
{
	line_begin(w);
	wire_scan(w, w->answer);
}

static void sse_event(struct wire *w)
{
	wire_fields_out(w);
	wire_scan(w, w->answer);
}

/*
 * "[DONE]" and keep-alives are no JSON and mean nothing here. An event may have several data lines; where each line is
 * an event, it ends there.
 */
void wire_sse_line_end(struct wire *w, int whole)
{
	if (!w->scanning) {
		/* What was read before the gap, and what is read after it, may be of two events. */
		w->torn = w->f.choice = 1;
		wire_fields_out(w);
		wire_scan_end(w, whole);
		w->f.choice = 1;
		sse_event(w);
		w->torn = 0;
	} else if (w->line == LINE_DATA && w->known) {
		w->known = 0; /* and nothing was scanned */
		wire_fields_out(w);
	} else if (w->line == LINE_DATA && !json_end(&w->scan)) {
		sse_event(w);
	} else if (w->framing == FRAME_LINES || (w->line == LINE_NAME && !w->nname)) {
		if (json_begun(&w->scan)) {
			wire_fields_init(&w->f);
			wire_scan(w, w->answer);
		}
	} else if (w->line == LINE_DATA) {
		json_feed(&w->scan, "\n", 1);
	}
	line_begin(w);
}

static void sse_name(struct wire *w, char c)
{
	if (c == ':') {
		w->line = w->nname == 4 && !memcmp(w->name, "data", 4) ? LINE_SPACE : LINE_SKIP;
	} else if (w->nname < sizeof(w->name)) {
		w->name[w->nname++] = c;
	}
}

static const char *line_end(const char *p, const char *end)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p)), *cr;

	end = nl ? nl : end;
	cr = memchr(p, '\r', (size_t)(end - p));
	return cr ? cr : end;
}

/* Data up to the line end, or what there is of it. Returns bytes consumed. */
static size_t sse_data(struct wire *w, const char *p, const char *end)
{
	int fresh = w->scanning && !json_begun(&w->scan);
	size_t n = fresh ? wire_again(w, p, (size_t)(end - p)) : 0;

	w->known = n > 0;
	if (n)
		return n;
	n = (size_t)(line_end(p, end) - p);
	wire_scan_feed(w, p, n);
	if (fresh && p + n < end && !json_end(&w->scan))
		wire_again_keep(w, p, n);
	return n;
}

void wire_sse_feed(struct wire *w, const char *p, size_t n)
{
	const char *end = p + n, *stop;

	while (p < end) {
		if (*p == '\n' || *p == '\r') {
			if (*p == '\r' || !w->cr)
				wire_sse_line_end(w, 1);
			w->cr = *p++ == '\r';
			continue;
		}
		w->cr = 0;
		if (w->line == LINE_DATA) {
			p += sse_data(w, p, end);
		} else if (w->line == LINE_NAME && !w->nname && end - p >= 6 && !memcmp(p, "data: ", 6)) {
			w->line = LINE_DATA;
			p += 6;
		} else if (w->line == LINE_NAME && !w->nname && *p != 'd') {
			w->line = LINE_SKIP; /* a comment, or no "data" */
		} else if (w->line == LINE_NAME) {
			sse_name(w, *p++);
		} else if (w->line == LINE_SPACE) {
			p += *p == ' ';
			w->line = LINE_DATA;
		} else {
			stop = line_end(p, end);
			if (w->line != LINE_SKIP)
				wire_scan_feed(w, p, (size_t)(stop - p));
			p = stop;
		}
	}
}

/* What was read of the event before the gap stands. */
void wire_sse_gap(struct wire *w)
{
	wire_scan_gap(w);
	w->line = LINE_LOST;
}
