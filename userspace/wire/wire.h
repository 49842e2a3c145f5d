/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the body of an exchange to what happened to a query: the arrow struct wire_ev, and the dialects.
 *
 * A dialect is a table: the paths it answers on, and where in the JSON of its events the things are that a query is
 * made of. The framing (one JSON text, or server-sent events: text.c) and the counting (fields.c) are the same for all.
 * To add one: a file with a struct wire_ops, and a row in registry.c.
 */
#ifndef IPW_WIRE_H
#define IPW_WIRE_H

#include "userspace/http.h"
#include "userspace/util/inflate.h"
#include "userspace/util/json_scan.h"

#define WIRE_TAIL 8192 /* bytes kept after a gap, to read the end of a text whose middle was not seen */

/* --- the arrow ---------------------------------------------------------------------------------------------------- */

enum wire_kind {
	WIRE_OPEN     = 1,  /* a query has begun; `open` */
	WIRE_REQUEST  = 2,  /* its request is complete: R. n: bytes of the request's body */
	WIRE_RESPONSE = 3,  /* the response's head. n: status */
	WIRE_MODEL    = 4,  /* `str` */
	WIRE_TOKENS   = 5,  /* a part of the answer. n: tokens in it; ts_ns: entry of the send that completed it */
	WIRE_USAGE    = 6,  /* `usage`; the last one holds */
	WIRE_FINISH   = 7,  /* the server says that generation ended; ts_ns: entry of the send */
	WIRE_ERROR    = 8,  /* the server says that it failed */
	WIRE_TROUBLE  = 9,  /* n: enum wire_trouble; bits */
	WIRE_OVER     = 10, /* n: enum http_over; ts_ns: when that was noticed; end_ns: return of the last send, or 0 */
	WIRE_DIALECT  = 11, /* `str`: the dialect is another one than WIRE_OPEN said */
	WIRE_HOP      = 12, /* the query is a hop of query `parent`; n: enum wire_hop */
	WIRE_TASK     = 13, /* `str`: the task that it is a part of, see wire_tasks(); just before WIRE_REQUEST */
};

/* How it is known which of its queries a process asks another for. */
enum wire_hop {
	HOP_ONLY   = 1, /* it had no other in hand */
	HOP_ID     = 2, /* both carry the same X-Request-Id, or are of one trace */
	HOP_BODY   = 3, /* the request has the same body */
	HOP_TEXT   = 4, /* more of its words are in the request than of any other's */
	HOP_THREAD = 5, /* the thread that asks is the one that read it */
	HOP_ORDER  = 6, /* of those without a hop the one that had waited for longest: a guess */
};

/* "only", "id", ...; "?" for a number that is none of them. */
const char *wire_hop_name(uint32_t by);

enum wire_trouble {
	WIRE_TRUNCATED = 1 << 0, /* part of the stream was not copied, or its framing was lost: counts may be short */
	WIRE_LOST      = 1 << 1, /* events of this connection were lost in the ring */
};

enum wire_stream { WIRE_STREAM_UNKNOWN = -1, WIRE_WHOLE = 0, WIRE_STREAMED = 1 };

struct wire_open {
	uint64_t start_ns;  /* first byte of the request; 0: it came before we looked */
	uint32_t pid;       /* of the process that read it */
	uint32_t slot;      /* of the -p that it belongs to */
	char dialect[24];
	char path[128];
	char client[64], server[64]; /* conn_addr() */
	char request_id[64], trace_id[33];
};

struct wire_usage {
	int64_t prompt, cached, completion; /* tokens; -1: not said */
};

struct wire_ev {
	uint64_t ts_ns;
	uint64_t end_ns;
	uint64_t query;   /* id, from 1 */
	uint64_t parent;  /* WIRE_HOP */
	uint32_t kind;    /* enum wire_kind */
	uint32_t n;
	int32_t  stream;  /* WIRE_RESPONSE: enum wire_stream */
	struct wire_usage usage;
	const struct wire_open *open;
	const char *str;
};

/* A connection that is none we read, when it is over or the run is. */
struct wire_unread {
	uint64_t start_ns, end_ns; /* something was first and last heard of it */
	int64_t  in, out;          /* bytes from and to the peer since then; -1: it goes on, so they are not known */
	uint32_t pid, slot;
	uint32_t why;              /* enum http_opaque */
	char client[64], server[64];
};

/* --- dialects ----------------------------------------------------------------------------------------------------- */

/* What a path in a dialect's tables leads to. */
enum wire_field {
	WF_MODEL = 0,   /* string */
	WF_TEXT,        /* string: a part of the answer if it is not empty */
	WF_PART,        /* anything there: a part of the answer (an element of tool_calls) */
	WF_CHOICE,      /* an object: the parts in it are one part, said in several ways */
	WF_INDEX,       /* number: which of the answers asked for */
	WF_TOKEN,       /* anything there: one token, for dialects that list them */
	WF_FINISH,      /* string or true: generation ended */
	WF_ERROR,       /* anything but null and false: the server failed */
	WF_PROMPT,      /* number: prompt tokens, cached ones included */
	WF_PROMPT_NEW,  /* number: prompt tokens that were computed; for who does not say WF_PROMPT */
	WF_PROMPT_MADE, /* number: more of those, which were written to a cache */
	WF_CACHED,      /* number */
	WF_COMPLETION,  /* number: tokens generated so far, or in all */
	WF_TYPE,        /* string: what kind of event this is, for `fix` */
	WF_TWIN,        /* anything there: this is not the dialect but its `twin` */
	WF_TASK,        /* string or number: the task; this one and those after it, one for each place */
};

/* What one event of an answer (or one whole answer) said. */
struct wire_fields {
	uint32_t parts, tokens;
	uint8_t  finish, error;
	uint8_t  part_said;  /* of the choice being read */
	uint8_t  several;    /* of a choice that is not the first */
	uint8_t  choice;     /* there is a choice */
	uint8_t  twin;
	struct wire_usage usage;
	int64_t  prompt_new, prompt_made; /* -1: not said */
	char     type[40];
	char     model[128];
};

struct wire_ops {
	const char *name, *doc;
	/* Ends of the request path, NULL-terminated; '*' is one part between slashes. The longest of all wins. */
	const char *const *paths;
	const char *sniff;        /* text near the start of an answer that tells it when its request was not seen */
	const struct json_path *request, *answer;
	size_t nrequest, nanswer;
	/* Mends what the table cannot say; may be NULL. */
	void (*fix)(struct wire_fields *f);
	const struct wire_ops *twin; /* on the same paths: what has a WF_TWIN in it is that one's */
	uint8_t no_output;           /* it generates no tokens: embeddings */
	uint8_t lines;               /* its streams are lines of JSON, not server-sent events */
};

#define WIRE_PATHS(field) .field = field##_paths, .n##field = sizeof(field##_paths) / sizeof(*(field##_paths))

/* Ends with NULL. */
extern const struct wire_ops *const dialects[];

/* --- one query ---------------------------------------------------------------------------------------------------- */

enum wire_framing { FRAME_NONE, FRAME_WHOLE, FRAME_SSE, FRAME_LINES };

/* As in struct query, what each event touches comes first. */
struct wire {
	const struct wire_ops  *ops;
	struct again *again;               /* what most events look like */
	void (*emit)(void *ctx, const struct wire_ev *e);
	void       *ctx;
	uint64_t    query;
	uint64_t    out_enter_ns, out_ns;  /* of the last send that carried body: entry, return */
	int64_t     counted;               /* completion tokens already emitted */
	struct wire_usage  usage;          /* so far */
	uint8_t     framing, line, nname, cr;
	uint8_t     trouble;               /* enum wire_trouble, as far as it was said */
	uint8_t     finished, over, requested, has_model, scanning, several, guess_gap, gap, usage_apart, torn, says;
	uint8_t     known;                 /* the data line was compared, and needed no reading */
	uint8_t     coded;                 /* what comes is in a content coding */
	char        name[8];               /* of the SSE field being read */
	struct wire_fields f;              /* of the event being read */
	struct json_scan scan;
	const struct json_tree *answer;    /* of ops, compiled */
	uint64_t    body_bytes;            /* of the request */
	char       *tail;                  /* after a gap: the last bytes */
	struct inflate *inflate;           /* of a coded body */
	uint32_t    ntail, nguess;         /* nguess: kept before the piece that wire_guess() was given last */
	int         status;                /* of the answer */
	struct http_task task;
};

/* Whether a request is a query, and in which dialect; NULL if not. */
const struct wire_ops *wire_match(const struct http_head *request);

/*
 * Where clients say which task a query is a part of: "header:NAME", "json:PATH" (of the request's body, keys joined by
 * '.'), "trace" (the trace of W3C traceparent), or "auto", a list of those that are in use; joined by commas. The first
 * place that says something holds. Not called: nowhere is looked. Before wire_setup(); the last call holds. 0, or
 * -EINVAL with the reason in ret_why: a place that may hold a text or a secret is refused.
 */
#define WIRE_TASKS 16 /* places */
int  wire_tasks(const char *spec, char *ret_why, size_t size);

/* The first wire_* call compiles the dialects' tables; -E2BIG if one is too large (a unit test makes sure of it). */
int  wire_setup(void);

/* Emits WIRE_OPEN. */
void wire_begin(struct wire *w, const struct wire_ops *ops, const struct wire_open *open, uint64_t ts_ns);
void wire_release(struct wire *w);
/* A line of a request's head, as http_ops.header has it. */
void wire_task_line(struct http_head *h, const char *p, size_t n, int cut);
/* What its head said of the task. */
void wire_task_head(struct wire *w, const struct http_head *h);
/* The request's body is in this content coding. */
void wire_request_coding(struct wire *w, const char *coding);

/*
 * The same for an answer whose request was not seen, so that its body has to say what it is. wire_guess() is given the
 * body until it returns a dialect, or has read enough to know that it is none; wire_begin_answer() then emits all that
 * was due before that last piece, which is read next.
 */
const struct wire_ops *wire_guess(struct wire *w, const char *p, size_t n);
void wire_begin_answer(struct wire *w, const struct wire_ops *ops, const struct wire_open *open, const struct bytes *b);

/* The calls of struct http_ops, in their order. Before wire_begin() only wire_response() means anything. */
void wire_request_body(struct wire *w, const char *p, size_t n);
void wire_request_end(struct wire *w, uint64_t ts_ns);
void wire_response(struct wire *w, const struct http_head *h, const struct bytes *b);
void wire_response_body(struct wire *w, const char *p, size_t n, const struct bytes *b);
/* Says each trouble once. */
void wire_trouble(struct wire *w, enum wire_trouble t, uint64_t ts_ns);
void wire_over(struct wire *w, enum http_over how, uint64_t enter_ns, uint64_t ret_ns);

#endif
