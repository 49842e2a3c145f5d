/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The processes that are traced: those named, their descendants, those that come later, and a command of our own. */
#ifndef IPW_FOLLOW_H
#define IPW_FOLLOW_H

#include <signal.h>
#include <sys/types.h>

#include "userspace/live.h"
#include "userspace/util/hash.h"

struct follow {
	struct live *live;
	struct hash  alive;      /* tgid -> slot */
	pid_t        child;      /* the command; 0 none, or it has ended */
	int          go;         /* write end of a pipe: the command may begin; -1 none */
	int          status;     /* of the command, as waitpid() gives it */
	int          unix_on;    /* unix sockets are seen */
	uint64_t     unix_sig, checked_ns;
};

void follow_init(struct follow *f);
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
/* Once a second: forgets processes whose exit event was lost, and looks for unix sockets that listen. */
void follow_check(struct follow *f, uint64_t now);

/* Slot of a process; 0: it is not traced. */
uint32_t follow_slot(const struct follow *f, uint32_t tgid);

#endif
