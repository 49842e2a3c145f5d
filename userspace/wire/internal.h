/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What wire.c (the calls), text.c (the bytes of a body) and fields.c (what they say) share. */
#ifndef IPW_WIRE_INTERNAL_H
#define IPW_WIRE_INTERNAL_H

#include "userspace/wire/wire.h"

/* --- wire.c ------------------------------------------------------------------------------------------------------- */

/* What was just read says that the dialect is ops->twin: then it is from now on. */
void wire_twin(struct wire *w, uint64_t ts_ns);

/* --- fields.c ----------------------------------------------------------------------------------------------------- */

void wire_emit(struct wire *w, enum wire_kind kind, uint64_t ts_ns, uint32_t n);
void wire_emit_model(struct wire *w, uint64_t ts_ns);
void wire_fields_init(struct wire_fields *f);
/* An event, or a whole answer, has been read. */
void wire_fields_out(struct wire *w);
/* A json_fn: one field of it. ctx: struct wire. */
void wire_field_in(void *ctx, int id, const struct json_val *v);

/* --- task.c ------------------------------------------------------------------------------------------------------- */

/* The dialect's paths of a request and those of the tasks. 0 or -E2BIG. */
int  wire_task_tree(struct json_tree *t, const struct wire_ops *ops);
/* Place `i` of the body, from 0. */
void wire_task_field(struct wire *w, int i, const struct json_val *v);
/* The request has been read: WIRE_TASK, if it says one. */
void wire_task_out(struct wire *w, uint64_t ts_ns);

/* --- again.c ------------------------------------------------------------------------------------------------------ */

/*
 * An event begins at p. If it is one that is known, but for its text and numbers, and its line end is there: bytes till
 * then, and w->f has what it says. Else 0, and w->f is as at the beginning.
 */
size_t wire_again(struct wire *w, const char *p, size_t n);
/* p is all of an event that was read into w->f just now: it may be the pattern for others. */
void wire_again_keep(struct wire *w, const char *p, size_t n);

/* --- text.c ------------------------------------------------------------------------------------------------------- */

/* A JSON text begins. */
void wire_scan(struct wire *w, const struct json_tree *t);
void wire_scan_feed(struct wire *w, const char *p, size_t n);
/* From now on this text is known only by its end. */
void wire_scan_gap(struct wire *w);
/*
 * The text is over. Of one with a gap the last members of the top-level object can still be read; but not when it broke
 * off (!whole): what was kept is then not its end.
 */
int  wire_scan_end(struct wire *w, int whole);

/* The same for server-sent events; a line that broke off at the end of the stream is ended by hand. */
void wire_sse(struct wire *w);
void wire_sse_feed(struct wire *w, const char *p, size_t n);
void wire_sse_gap(struct wire *w);
void wire_sse_line_end(struct wire *w, int whole);

#endif
