/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processes that are traced: those named, their descendants, those that come later, a command of our own, the
 * servers that they ask in their turn, and what comes after them under the same supervisor.
 */
#ifndef IPW_FOLLOW_H
#define IPW_FOLLOW_H

#include <signal.h>
#include <sys/types.h>

#include "userspace/live.h"
#include "userspace/opts.h"
#include "userspace/target.h"
#include "userspace/util/hash.h"

#define FOLLOW_ASKED_MAX 64 /* addresses that are asked; those of more are not looked up */

struct asked_at {
	struct ev_sock sock;  /* as the asker sees it */
	uint64_t when_ns;     /* looked up last; 0: not yet */
	uint32_t tgid, slot;  /* who asks */
	uint32_t pid;         /* who answers; 0: nobody here */
};

struct follow {
	struct live *live;
	const struct opts *o;
	struct hash  alive;      /* tgid -> struct alive */
	pid_t        child;      /* the command; 0 none, or it has ended */
	int          go;         /* write end of a pipe: the command may begin; -1 none */
	int          status;     /* of the command, as waitpid() gives it */
	int          unix_on;    /* unix sockets are seen */
	uint64_t     unix_sig, checked_ns;
	uint64_t     seen;       /* queries, at the last check */
	size_t       running;    /* of them, then */
	struct target_id root[EV_SLOTS]; /* by slot: what was traced there first */
	uint8_t      waiting[EV_SLOTS];  /* it is gone, and that was said */
	struct asked_at asked[FOLLOW_ASKED_MAX];
	int          nasked;
};

void follow_init(struct follow *f, const struct opts *o);
void follow_release(struct follow *f);

/* Forks a child that waits for follow_go() and then becomes the command. 0 or -errno. */
int  follow_command(struct follow *f, char **argv, const sigset_t *mask);
int  follow_go(struct follow *f);
/* Traces a process and all its descendants. 0 or -errno. */
int  follow_tree(struct follow *f, uint32_t tgid, uint32_t slot);

/* EV_FORK and EV_EXIT; others are ignored. */
void follow_event(struct follow *f, const struct ev_hdr *e);
/* SIGCHLD: 1 when the command has ended. */
int  follow_reap(struct follow *f);
/*
 * Looks for unix sockets that listen: they take the other network tier beside. Before the user is told that we are
 * attached, or the first queries after that are not seen.
 */
void follow_unix(struct follow *f);
/* A traced process sends a query to another one. follow_join() traces that one too, if it is here. */
void follow_asks(struct follow *f, const struct ev_sock *s, uint32_t tgid, uint32_t slot);
void follow_join(struct follow *f, uint64_t now);
/*
 * Once a second: forgets processes whose exit event was lost, looks for unix sockets that listen, for who uses a CPU
 * though no query runs (`seen` counts all, `running` those that run now), and, with --follow, for what comes after what
 * is gone.
 */
void follow_check(struct follow *f, uint64_t now, uint64_t seen, size_t running);
/* Nothing is traced any more, and nothing is awaited. */
int  follow_over(const struct follow *f);

/* Slot of a process; 0: it is not traced. */
uint32_t follow_slot(const struct follow *f, uint32_t tgid);
/* One traced process after the other, from *i = 0 on. 0: that was all. */
int  follow_next(const struct follow *f, size_t *i, uint32_t *ret_tgid, uint32_t *ret_slot);

#endif
