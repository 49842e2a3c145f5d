/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client of OpenAI's chat completions, for many queries at a time: libcurl's multi interface on an epoll, HTTP/1.1.
 * All times are CLOCK_MONOTONIC, taken where the bytes arrive.
 */
#ifndef IPW_CLIENT_H
#define IPW_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#define REPLY_TEXT_MAX (16u << 20) /* of an answer; what is more is dropped, and the reply says so */
#define REPLY_LINE_MAX (4u << 20)  /* of one event; a longer one is garbage */

/* What became of a query. */
enum reply_end {
	REPLY_COMPLETE, /* the server said that generation ended */
	REPLY_ERROR,    /* it said that it failed: by status, or in the answer */
	REPLY_GARBAGE,  /* what it sent is no answer */
	REPLY_CUT,      /* it ended in the middle */
	REPLY_TIMEOUT,
	REPLY_CLOSED,   /* the connection ended without an answer */
	REPLY_REFUSED,  /* there was none */
	REPLY_CANCELLED,
};

struct reply {
	enum reply_end end;
	int      status;             /* HTTP's; 0: none came */
	double   retry_after_s;      /* the server's Retry-After, of either form; 0: not said, or now */
	char     why[96];            /* for people, if it is not complete */
	char     local[64];          /* this end of the connection, as conn_addr() writes it */
	char     model[128], finish[24];
	uint64_t start_ns, end_ns;
	uint64_t first_ns;           /* first part of the answer of any kind; 0: none */
	uint64_t visible_ns;         /* first part that is no thought */
	int64_t  prompt, cached, completion; /* the server's usage; -1: not said */
	uint64_t parts;              /* events with a part of the answer */
	char    *text;               /* the answer without its thoughts, terminated; never NULL once it is over */
	size_t   ntext;
	double   logprob;            /* sum over nlogprob tokens */
	uint64_t nlogprob;
	/* of the reader */
	char    *line;
	size_t   nline, line_cap, text_cap;
	uint8_t  form, finished, failed, events, cut_text;
};

const char *reply_end_name(enum reply_end e);

/* The bytes of a body, cut anywhere. reply_over() judges what came; the transfer itself was good. */
void reply_init(struct reply *r);
void reply_feed(struct reply *r, const char *p, size_t n, uint64_t now_ns);
void reply_over(struct reply *r);
void reply_release(struct reply *r);

struct client;

struct client_opts {
	const char *url;       /* as given: "http://host:port", ".../v1", or all of ".../chat/completions" */
	const char *key;       /* for "Authorization: Bearer"; NULL: none */
	double      timeout_s; /* of a query */
	int         max;       /* connections kept */
	int         direct;    /* whatever http_proxy says */
};

/* The reply is the callee's to look at, and gone after it. */
typedef void (*client_done)(void *ctx, void *user, struct reply *r);

/* 0, -EINVAL: that is no URL; -ENOMEM, -errno. */
int  client_new(const struct client_opts *o, client_done done, void *ctx, struct client **ret);
void client_free(struct client *c);
/* Readable when there is something to do: client_work(). */
int  client_fd(const struct client *c);
void client_work(struct client *c);
int  client_running(const struct client *c);
/* Body and id are copied. 0 or -errno; done() is called later, never from in here. */
int  client_post(struct client *c, const char *body, const char *request_id, void *user);
/* All that run end, as REPLY_CANCELLED. */
void client_cancel(struct client *c);

/* The first model that the server says it has (GET .../models); waits for it. 0, or -errno with the reason. */
int  client_model(const struct client_opts *o, char *ret, size_t size, char *why, size_t why_size);

/* Host and port of a URL. 0 or -EINVAL. */
int  client_host(const char *url, char *host, size_t size, unsigned *ret_port);
/* The address is one of this machine. */
int  client_is_local(const char *host);

#endif
