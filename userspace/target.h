/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which processes are the target, as /proc shows them. */
#ifndef IPW_TARGET_H
#define IPW_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/util/hash.h"

#define TARGET_PIDS_MAX 8192

/*
 * The process that a PID or TID names: its tgid, and its comm. -ESRCH: there is none. -EPERM: a kernel thread.
 */
int target_resolve(uint32_t pid, uint32_t *ret_tgid, char comm[16]);

/* All descendants of tgid, itself not; at most max. Returns how many. */
int target_descendants(uint32_t tgid, uint32_t *ret, int max);

/*
 * What a process listens on, for people: "127.0.0.1:8080, unix /run/x.sock". Returns how many sockets, 0 with an empty
 * text, -errno when it cannot be read. ret_unix: how many of them are unix sockets.
 */
int target_listens(uint32_t tgid, char *buf, size_t size, int *ret_unix);

/* Whether it listens on this TCP port. */
int target_listens_on(uint32_t tgid, unsigned port);

/* A number that changes when a unix stream socket begins to listen in the process's network namespace. Cheap. */
uint64_t target_unix_signature(uint32_t tgid);

#endif
