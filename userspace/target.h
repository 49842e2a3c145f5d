/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Processes, as /proc shows them. */
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

/* By what a process can be known again when it has been started anew. */
struct target_id {
	uint32_t parent;      /* 0: nothing is known */
	uint64_t dev, ino;    /* of its program */
	char     script[128]; /* that an interpreter runs, or the program's name */
	char     cgroup[256];
};

void target_identify(uint32_t pid, struct target_id *ret);
int  target_is(uint32_t pid, const struct target_id *id);

/* PID of its parent; 0: there is none, or it is gone. */
uint32_t target_parent(uint32_t pid);

/*
 * How a process shows to run the same program as its parent: it was forked and has executed nothing since, it is a
 * child of Python's multiprocessing, or both run the same file with the same script. NULL: it does not.
 */
const char *target_same_program(uint32_t pid, uint32_t parent);

/*
 * It starts servers and is none: an init system, a shell, a container's runtime. It may hold sockets of theirs, too.
 * Also when there is no such process.
 */
int target_is_starter(uint32_t pid);

/* The readers of what /proc says: of stat; of a command line, whose words end with NUL (see target_id.script). */
int  target_stat(const char *buf, uint32_t *ret_parent, uint32_t *ret_flags);
const char *target_script(const char *buf, size_t n);

#endif
