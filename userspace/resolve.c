// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/resolve.h"

#include <errno.h>
#include <string.h>

#include "userspace/find.h"
#include "userspace/target.h"

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

int resolve_targets(const struct opts *o, struct run *run)
{
	uint32_t pid[EV_SLOTS], tgid;
	int n = target_pids(o, pid), i, err;

	for (i = 0; i < n; i++) {
		err = target_resolve(pid[i], &tgid, run->target[i + 1].comm);
		if (err) {
			say("cannot trace %u: %s", pid[i], err == -EPERM ? "it is a kernel thread" :
			    err == -ESRCH ? "no such process" : strerror(-err));
			return err;
		}
		run->target[i + 1].pid = tgid;
		if (o->find_by)
			say("found %u (%s)", tgid, run->target[i + 1].comm);
	}
	run->nslot = n > 0 ? (uint32_t)n : 0;
	return n < 0 ? n : 0;
}
