/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1.0 and 1.1 on one connection (RFC 9112), from both sides, for an onlooker.
 *
 * Our own parser, because of what an onlooker meets and no library takes: bytes that are missing. A gap of known
 * length is skipped where it lies inside a body of known length or inside one chunk; anywhere else the framing is lost,
 * said so, and found again only where the bytes prove it: at a message that begins with a start line, or at a chunk
 * boundary from which the chunk sizes add up exactly to the end of the message. It keeps no body and no header that is
 * not named below; of a line longer than HTTP_LINE_MAX the beginning and the last few bytes are kept.
 */
#ifndef IPW_HTTP_H
#define IPW_HTTP_H

#include "userspace/conn.h"
#include "userspace/util/str.h"

#define HTTP_LINE_MAX     2048
#define HTTP_START_MAX    65536 /* a start line longer than this is no HTTP */
#define HTTP_PIPELINE_MAX 64    /* requests waiting for their response on one connection */
#define HTTP_STRANGE_MAX  (1u << 20) /* bytes without a start line: then it is no HTTP. Till then it may be a body */

/* What a request says of the task that it is a part of, in one of several places. */
struct http_task {
	char     id[STR_IDENT + 1];
	uint8_t  place;           /* from 1, the better ones first; 0: it says nothing */
	uint8_t  unsure;          /* it cannot be said what: said twice and not the same, or too long to be read */
};

/* The parts of a head that anyone here asks for. All strings are clean to print (util/str.h). */
struct http_head {
	char     method[16];
	char     path[128];       /* without query and fragment */
	char     request_id[64];  /* X-Request-Id */
	char     trace_id[33];    /* of W3C traceparent */
	char     type[64];        /* Content-Type */
	char     encoding[32];    /* Content-Encoding */
	int      status;          /* responses */
	int64_t  length;          /* Content-Length; -1: not given */
	int64_t  prompt_tokens, generated_tokens; /* X-Prompt-Tokens, X-Generated-Tokens; -1: not given */
	uint8_t  chunked, minor, upgrade, expect;
	uint8_t  bad;             /* a head that two readers could read differently: its framing is not trusted */
	uint8_t  framing;         /* the header line that was read last says how the body is framed */
	struct http_task task;    /* filled by http_ops.header */
};

enum http_over {
	HTTP_DONE   = 1, /* the response is complete */
	HTTP_CANCEL = 2, /* the client went away */
	HTTP_CUT    = 3, /* the server closed before the response was complete */
	HTTP_LOST   = 4, /* we lost sight of it */
};

enum http_trouble {
	HTTP_UNREADABLE  = 1, /* bytes are missing where that matters, or the head says nothing that can be relied on */
	HTTP_EVENTS_LOST = 2, /* records of this connection never came */
};

/* One request and its response. */
struct http_x {
	struct http_x *next;
	struct conn   *conn;
	void          *user;     /* of the next stage */
	uint64_t       start_ns; /* first byte of the request; 0 when it came before we looked */
	uint8_t        head, connect; /* its method is HEAD, CONNECT */
	uint8_t        req_done, resp_begun, over;
};

struct http_ops {
	/* A line of a request's head, for what this file does not read itself; as http_header_line(). May be NULL. */
	void (*header)(void *ctx, struct http_head *h, const char *p, size_t n, int cut);
	/* A request head is complete. */
	void (*request)(void *ctx, struct http_x *x, const struct http_head *h);
	/* p NULL: n bytes of the body were not seen; n 0: nobody knows how many. */
	void (*request_body)(void *ctx, struct http_x *x, const char *p, size_t n);
	void (*request_end)(void *ctx, struct http_x *x, uint64_t ts_ns);
	/* The first call for an exchange whose request was not seen; h NULL: we came in the middle of its body. */
	void (*response)(void *ctx, struct http_x *x, const struct http_head *h, const struct bytes *b);
	void (*response_body)(void *ctx, struct http_x *x, const char *p, size_t n, const struct bytes *b);
	/* Counts may be short from here on. */
	void (*trouble)(void *ctx, struct http_x *x, enum http_trouble t);
	/*
	 * ret_ns 0: complete because the connection ended, so with the last send. May come more than once, the first
	 * counts: some servers go on to finish an answer that was cancelled.
	 */
	void (*over)(void *ctx, struct http_x *x, enum http_over how, uint64_t enter_ns, uint64_t ret_ns);
	/* The last call for x. */
	void (*gone)(void *ctx, struct http_x *x);
};

/* One direction. */
struct http_side {
	uint8_t   state;
	uint8_t   cut;         /* the line that was read last is longer than what was kept of it */
	uint8_t   chunked;     /* the body whose framing was lost is a chunked one */
	uint8_t   bad;         /* its head was: no chunk in it proves anything */
	uint32_t  nline, seen; /* bytes kept of a line that is not complete; bytes it had so far */
	uint64_t  left;        /* of a body of known length, or of a chunk */
	uint64_t  start_ns;    /* when the first byte of this message passed */
	char     *line;        /* HTTP_LINE_MAX, only while a line is cut by the end of the input */
	struct http_head *head; /* only while a head is being read */
};

struct http {
	const struct http_ops *ops;
	void            *ctx;
	struct conn     *conn;
	struct http_x   *first, *last; /* exchanges under way, oldest first: `first` is being answered */
	struct http_x   *reading;      /* whose request is being read */
	uint64_t         req_end_ns;   /* when the last request was complete */
	int              depth;
	uint8_t          opaque;       /* no HTTP that we read: see http_why() */
	uint8_t          known;        /* a start line was read here */
	uint8_t          pipelined;    /* this client sends requests before it has the answers */
	uint8_t          server_done;  /* the server shut its side: what it still reads it throws away */
	struct http_side side[2];      /* by conn_dir */
};

enum http_opaque { HTTP_READABLE = 0, HTTP_TLS, HTTP_H2, HTTP_UPGRADED, HTTP_CLIENT, HTTP_OTHER, HTTP_PIPELINED };

void http_init(struct http *h, const struct http_ops *ops, void *ctx, struct conn *c);
void http_release(struct http *h);
void http_bytes(struct http *h, const struct bytes *b);
void http_conn_over(struct http *h, enum conn_over what, uint64_t ts_ns);

/* "METHOD target HTTP/1.x", without its line end. Whether it is one; ret, if not NULL, gets what it says. */
int http_request_line(const char *p, size_t n, struct http_head *ret);

/* Why a connection is opaque, in words. */
const char *http_why(enum http_opaque o);

#endif
