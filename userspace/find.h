/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Processes by what people call them: a port, a name, a cgroup, a systemd unit; and the servers that run here. */
#ifndef IPW_FIND_H
#define IPW_FIND_H

#include <stdint.h>

#include "bpf/event.h"
#include "userspace/target.h"

enum find_by {
	FIND_PID,    /* nothing to be found: PIDs are given */
	FIND_PORT,   /* listens on this TCP port */
	FIND_COMM,   /* has this name, as ps -o comm shows it */
	FIND_CGROUP, /* is in this cgroup or below it: "/system.slice/x.service", with or without /sys/fs/cgroup */
	FIND_UNIT,   /* belongs to this systemd unit; ".service" may be left out */
};

/*
 * Of the processes that fit, those that are no descendants of others that fit: their trees are all of them. Returns how
 * many, at most max are left in ret; or -errno. what of FIND_PORT has been checked to be a number.
 */
int find_processes(enum find_by by, const char *what, uint32_t *ret, int max);

/* A line of /proc/PID/cgroup is of this cgroup, or of this unit. */
int find_cgroup_line(char *line, enum find_by by, const char *what);

/* A process that is like this one was and is not known yet; 0: there is none. */
uint32_t find_like(const struct target_id *id, int (*is_known)(void *ctx, uint32_t pid), void *ctx);

/* Who holds the other end of a socket of this process, or listens there; 0: nobody that can be seen here. */
uint32_t find_answerer(uint32_t pid, const struct ev_sock *s);

/* A process that listens on TCP and in whose tree something that computes for models is loaded. */
struct find_server {
	uint32_t pid;
	int      processes; /* in its tree */
	char     comm[16];
	char     listens[96];
	char     why[32];   /* the library that was found */
};

int find_servers(struct find_server *ret, int max);

#endif
