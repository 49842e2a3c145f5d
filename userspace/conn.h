/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From kernel events to two streams of bytes per connection. Each message that crossed the socket is handed on once, in
 * order, as struct bytes; what was lost on the way is counted there. Peeks, duplicates and receives that came to
 * nothing end here.
 */
#ifndef IPW_CONN_H
#define IPW_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "userspace/util/hash.h"

#define CONN_MAX         65536 /* connections followed at a time; one that was quiet for long makes room */
#define CONN_PENDING_MAX 64    /* pieces of one receive call */
#define CONN_CLOSED_MAX  256   /* closed ones still known: a send that fails may return after the close is seen */

enum conn_dir {
	CONN_IN,  /* to the traced process */
	CONN_OUT, /* from it */
};

/* One message in one direction: what one call moved. */
struct bytes {
	enum conn_dir dir;
	uint64_t enter_ns; /* entry of the call; for CONN_IN the same as ret_ns */
	uint64_t ret_ns;
	uint64_t lost;     /* bytes of the stream that went by unseen just before this message */
	const char *head;  /* its first bytes; after them total - nhead - ntail bytes were not copied; then */
	const char *tail;  /* its last bytes */
	uint32_t nhead, ntail, total;
};

enum conn_over {
	CONN_EOF,    /* the peer sends no more */
	CONN_RESET,  /* the peer is gone, or a send to it failed */
	CONN_SHUT,   /* the traced process sends no more */
	CONN_EVICTED, /* it goes on, but we follow it no more */
	CONN_CLOSED, /* all is over: no bytes follow */
};

struct conn {
	struct ev_sock sock;
	uint32_t tgid, tid, slot; /* of who used it last */
	uint64_t sent_ns;    /* the last send, if its record came */
	uint32_t next[2];    /* by direction: the place of the next byte in the stream */
	uint8_t  started[2]; /* next[] is known */
	uint8_t  eof, shut, closed;
	uint8_t  ended;      /* it was shut or closed: bytes and what was missed are all that there were */
	uint8_t  used;       /* since it was the oldest, or made */
	uint64_t bytes[2];   /* that were seen */
	uint32_t missed[2];  /* that went by unseen, as far as that shows (modulo 2^32) */
	uint64_t first_ns, last_ns; /* when something was heard of it */
	void    *user;       /* of the next stage */
	struct conn *newer, *older;
};

struct conn_ops {
	void (*bytes)(void *ctx, struct conn *c, const struct bytes *b);
	void (*over)(void *ctx, struct conn *c, enum conn_over what, uint64_t ts_ns);
	/* The last call for c: free what is in c->user. */
	void (*gone)(void *ctx, struct conn *c);
};

struct conns {
	const struct conn_ops *ops;
	void       *ctx;
	struct hash by_cookie, pending; /* struct conn; struct recv_call, by thread */
	struct conn *newest, *oldest; /* by when it was made, or was the oldest and had been used */
	struct conn *closed[CONN_CLOSED_MAX]; /* a ring */
	unsigned    nclosed;
	uint64_t    evicted;  /* connections given up because there were too many */
	uint64_t    dropped;  /* receives whose pieces did not add up */
	uint64_t    no_memory;
};

void conns_init(struct conns *cs, const struct conn_ops *ops, void *ctx);
void conns_release(struct conns *cs);

/* ev_data and ev_state; the record has been checked to be as long as it says. */
void conns_data(struct conns *cs, const struct ev_data *e);
void conns_state(struct conns *cs, const struct ev_state *e);

/* A process is gone. Of its unix sockets no other event says that they closed. */
void conns_exit(struct conns *cs, uint32_t tgid, uint64_t ts_ns);

/* "1.2.3.4:5", "[::1]:5" or "unix". remote: of the peer. */
void conn_addr(const struct ev_sock *s, int remote, char *buf, size_t size);

/*
 * A number for a connection as this end sees it, or as the other does (`other`): the same for what is the same, not 0.
 * An IPv4 address counts as IPv6 maps it.
 */
uint64_t conn_tuple(const struct ev_sock *s, int other);
/* FNV-1a over n more bytes; h is what came of those before, 0 at first. */
uint64_t conn_mix(uint64_t h, const void *p, size_t n);

#endif
