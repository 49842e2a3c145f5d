// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "userspace/find.h"
#include "userspace/target.h"
#include "userspace/tree.h"

#define MEMBERS_SAID 24 /* of a tree, without -v */

/* The PIDs to trace: those given, or found. Returns how many, or -errno once it has been said. */
static int target_pids(const struct opts *o, uint32_t pid[EV_SLOTS])
{
	int n;

	if (!o->find_by) {
		memcpy(pid, o->pid, sizeof(o->pid));
		return o->npid;
	}
	n = find_processes(o->find_by, o->find, pid, EV_SLOTS - 1);
	if (n < 0)
		say("cannot look for processes: %s", strerror(-n));
	else if (!n)
		say("cannot find a process that fits '%s'", o->find);
	else if (n >= EV_SLOTS)
		say("too many processes fit '%s': %d, of which %d can be traced; name them with -p", o->find, n,
		    EV_SLOTS - 1);
	return n < 0 ? n : !n ? -ESRCH : n >= EV_SLOTS ? -E2BIG : n;
}

/* The members of a server of several processes, and what they are there for. */
static void say_tree(const struct tree *t, uint32_t named, int verbose)
{
	const struct member *m;
	int i, most = verbose ? t->n : MEMBERS_SAID;

	if (t->v[0].pid != named)
		say("%u belongs to the server of %u (%s): %s (--only leaves the rest out)", named, t->v[0].pid,
		    t->v[0].comm, t->up);
	if (t->n == 1)
		return;
	say("the server is %d processes:", t->n);
	for (i = 0; i < t->n && i < most; i++) {
		m = &t->v[i];
		fprintf(stderr, "  %*s%-*u %-15s  %-10s  %s\n", 2 * m->depth, "", 10 - 2 * m->depth, m->pid, m->comm,
			role_name(m->role), m->why);
	}
	if (i < t->n)
		fprintf(stderr, "  and %d more (-v names them)\n", t->n - i);
}

/* Adds the server that a process belongs to, unless it is there already. 0, or -errno once it has been said. */
static int resolve_one(const struct opts *o, uint32_t pid, struct run *run, struct sockets *sockets)
{
	char comm[16];
	struct tree t;
	uint32_t tgid, i;
	int err = target_resolve(pid, &tgid, comm);

	if (!err)
		err = tree_find(&t, tgid, !o->only, sockets);
	if (err) {
		say("cannot trace %u: %s", pid, err == -EPERM ? "it is a kernel thread" :
		    err == -ESRCH ? "no such process" : strerror(-err));
		return err;
	}
	if (o->find_by)
		say("found %u (%s)", tgid, comm);
	for (i = 1; i <= run->nslot && run->target[i].pid != t.v[0].pid; i++)
		;
	if (i > run->nslot) {
		say_tree(&t, tgid, o->verbose);
		run->target[i].pid = t.v[0].pid;
		memcpy(run->target[i].comm, t.v[0].comm, sizeof(run->target[i].comm));
		run->nslot = i;
	}
	tree_release(&t);
	return 0;
}

int resolve_targets(const struct opts *o, struct run *run)
{
	struct sockets sockets = { 0 };
	uint32_t pid[EV_SLOTS];
	int n = target_pids(o, pid), i, err = n < 0 ? n : 0;

	for (i = 0; i < n && !err; i++)
		err = resolve_one(o, pid[i], run, &sockets);
	sockets_release(&sockets);
	return err;
}
