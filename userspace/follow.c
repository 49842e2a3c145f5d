// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/opts.h"
#include "userspace/target.h"
#include "userspace/util/clock.h"

#define CHECK_NS  NS_PER_S
#define CHECK_MAX 64 /* processes whose life is checked; more cost more than a lost event does harm */

void follow_init(struct follow *f)
{
	*f = (struct follow){ .go = -1 };
}

void follow_release(struct follow *f)
{
	if (f->go >= 0)
		close(f->go); /* a command that was never told to begin ends */
	hash_release(&f->alive);
}

uint32_t follow_slot(const struct follow *f, uint32_t tgid)
{
	return (uint32_t)(uintptr_t)hash_get(&f->alive, tgid);
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void become(char **argv, int wait_fd, const sigset_t *mask)
{
	char c;

	if (read(wait_fd, &c, 1) != 1)
		_exit(127);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	say("cannot run '%s': %s", argv[0], strerror(errno));
	_exit(127);
}

int follow_command(struct follow *f, char **argv, const sigset_t *mask)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	f->child = fork();
	if (!f->child) {
		close(fds[1]);
		become(argv, fds[0], mask);
	}
	close(fds[0]);
	f->go = fds[1];
	if (f->child < 0) {
		f->child = 0;
		return -errno;
	}
	return 0;
}

int follow_go(struct follow *f)
{
	return f->go >= 0 && write(f->go, "", 1) != 1 ? -errno : 0;
}

int follow_reap(struct follow *f)
{
	if (!f->child || waitpid(f->child, &f->status, WNOHANG) != f->child)
		return 0;
	f->child = 0;
	return 1;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

static int add(struct follow *f, uint32_t tgid, uint32_t slot)
{
	int err = live_add(f->live, tgid, slot);

	return err ? err : hash_put(&f->alive, tgid, (void *)(uintptr_t)slot);
}

/* Twice, for children that come while we look; those that come later are caught by the fork probe. */
int follow_tree(struct follow *f, uint32_t tgid, uint32_t slot)
{
	static uint32_t pids[TARGET_PIDS_MAX];
	int n, i, again, err = add(f, tgid, slot);

	for (again = 0; !err && again < 2; again++) {
		n = target_descendants(tgid, pids, TARGET_PIDS_MAX);
		for (i = 0; !err && i < n; i++)
			err = add(f, pids[i], slot);
	}
	return err;
}

void follow_event(struct follow *f, const struct ev_hdr *e)
{
	if (e->type == EV_FORK)
		(void)hash_put(&f->alive, ((const struct ev_task *)e)->child, (void *)(uintptr_t)e->slot);
	else if (e->type == EV_EXIT)
		(void)hash_del(&f->alive, e->tgid);
}

/* A unix socket that listens takes the other network tier beside; it may begin to listen at any time. */
static void check_unix(struct follow *f)
{
	const struct hash_slot *h;
	uint64_t sig = 0;
	int n_unix = 0, err;
	char buf[2];
	size_t i;

	if (f->unix_on || live_tier(f->live) == NET_SYS)
		return;
	for (i = 0; i < f->alive.cap && !sig; i++)
		if (f->alive.slots[i].val)
			sig = target_unix_signature((uint32_t)f->alive.slots[i].key);
	if (sig == f->unix_sig)
		return;
	f->unix_sig = sig;
	for (i = 0; i < f->alive.cap && n_unix <= 0; i++) {
		h = &f->alive.slots[i];
		if (h->val && target_listens((uint32_t)h->key, buf, sizeof(buf), &n_unix) < 0)
			n_unix = 0;
	}
	if (!n_unix)
		return;
	f->unix_on = 1;
	err = live_watch_unix(f->live);
	say("the target listens on a unix socket: %s%s", err ? "it is not seen: " : "its system calls are traced too",
	    err ? strerror(-err) : "");
}

/* A lost exit event must not keep us here for ever. */
static void check_alive(struct follow *f)
{
	uint64_t gone[CHECK_MAX];
	int n = 0;
	size_t i;

	for (i = 0; i < f->alive.cap && f->alive.used <= CHECK_MAX; i++)
		if (f->alive.slots[i].val && kill((pid_t)f->alive.slots[i].key, 0) && errno == ESRCH)
			gone[n++] = f->alive.slots[i].key;
	while (n)
		hash_del(&f->alive, gone[--n]);
}

void follow_check(struct follow *f, uint64_t now)
{
	if (f->checked_ns && now - f->checked_ns < CHECK_NS)
		return;
	f->checked_ns = now;
	check_unix(f);
	check_alive(f);
}
