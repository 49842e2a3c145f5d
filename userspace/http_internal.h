/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What http.c (the messages and the exchanges), http_head.c (lines) and http_sync.c (framing that was lost) share. */
#ifndef IPW_HTTP_INTERNAL_H
#define IPW_HTTP_INTERNAL_H

#include "userspace/http.h"

/* struct http_side.state */
enum state {
	START,      /* a start line comes */
	HEADER,
	FIXED,      /* body of known length */
	CHUNK_SIZE,
	CHUNK_DATA,
	CHUNK_END,  /* the line end after a chunk's data */
	TRAILER,
	UNTIL_EOF,  /* body that ends with the connection */
	LOST,       /* framing unknown until something proves it */
};

/* --- http.c ------------------------------------------------------------------------------------------------------- */

/* A new last exchange; NULL: no memory. */
struct http_x *http_x_new(struct http *h, uint64_t start_ns);
/*
 * An answer that was found again belongs to one of the last `most` exchanges under way, for a client that waits for
 * each answer before it asks again: so the others are over. False: this one does not wait, so nobody knows.
 */
int  http_only_last(struct http *h, int most, uint64_t ts_ns);
/* The request that is being read is complete. */
void http_request_read(struct http *h, uint64_t ts_ns);
/* From here on a message begins. */
void http_side_reset(struct http_side *s);
void http_become_opaque(struct http *h, enum http_opaque why, const struct bytes *b);
/* A piece of body, as http_ops has it. */
void http_body(struct http *h, const struct bytes *b, const char *p, size_t n);

/* --- http_head.c -------------------------------------------------------------------------------------------------- */

/*
 * Takes input up to and with the next '\n'. 1: a line is in *ret_line, without its line end. 0: it goes on in the next
 * input, and what there is of it is kept in s->line.
 */
int http_line_take(struct http_side *s, const char **p, const char *end, const char **ret_line, size_t *ret_len);
/*
 * The same for what nearly all lines are: a chunk's size or end, all there, with nothing else in it. Then the state has
 * gone on. False: it is no such line, and nothing was taken.
 */
int http_chunk_line(struct http_side *s, const char **p, const char *end);
/* A number of at most 15 digits. Returns how many there are. */
size_t http_hex(const char *p, size_t n, uint64_t *ret);
/* "HTTP/1.x DDD reason". Whether it is one; ret, if not NULL, gets what it says. */
int http_status_line(const char *p, size_t n, struct http_head *ret);
/* A start line may begin so: with a version in an answer, with a method in a request. */
int http_may_start(const char *p, size_t n, enum conn_dir dir, int request);
/* Not empty. cut: only its first bytes and its last ones are here. */
void http_header_line(struct http_head *h, const char *p, size_t n, int cut);

/* --- http_sync.c -------------------------------------------------------------------------------------------------- */

/* At the start of a message, with the framing lost: whether its bytes can be read from here on. */
int http_resync_start(struct http *h, const struct bytes *b);
/* In the copied end of a message: the first place from which it can be read; ntail if there is none. */
uint32_t http_resync_tail(struct http *h, const struct bytes *b);

#endif
