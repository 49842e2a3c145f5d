// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/sockets.h"
#include "userspace/target.h"
#include "userspace/tree.h"
#include "userspace/util/clock.h"

#define CHECK_NS  NS_PER_S
#define CHECK_MAX 64              /* processes that are looked at; more cost more than a lost event does harm */
#define ASK_AGAIN_NS (2 * NS_PER_S) /* who answers is looked for again, if nobody was found or could be traced */
#define SPIN_NS   (3 * NS_PER_S)  /* without a query, until one is said to spin */
#define SPIN      0.2             /* of a CPU: on a busy machine one that spins does not get a whole one */

/* A traced process. */
struct alive {
	uint32_t slot;
	uint8_t  said_spins;
	uint64_t cpu_ns, quiet_ns, quiet_cpu_ns; /* at the last check; while no query ran: time, and of it on a CPU */
};

void follow_init(struct follow *f, const struct opts *o)
{
	*f = (struct follow){ .go = -1, .o = o };
}

void follow_release(struct follow *f)
{
	struct alive *a;
	size_t i = 0;

	if (f->go >= 0)
		close(f->go); /* a command that was never told to begin ends */
	while ((a = hash_next(&f->alive, &i)))
		free(a);
	hash_release(&f->alive);
}

uint32_t follow_slot(const struct follow *f, uint32_t tgid)
{
	const struct alive *a = hash_get(&f->alive, tgid);

	return a ? a->slot : 0;
}

int follow_next(const struct follow *f, size_t *i, uint32_t *ret_tgid, uint32_t *ret_slot)
{
	const struct hash_slot *h;

	while (*i < f->alive.cap) {
		h = &f->alive.slots[(*i)++];
		if (!h->val)
			continue;
		*ret_tgid = (uint32_t)h->key;
		*ret_slot = ((const struct alive *)h->val)->slot;
		return 1;
	}
	return 0;
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

static int note(struct follow *f, uint32_t tgid, uint32_t slot)
{
	struct alive *a = hash_get(&f->alive, tgid);
	int err;

	if (!a) {
		a = calloc(1, sizeof(*a));
		err = a ? hash_put(&f->alive, tgid, a) : -ENOMEM;
		if (err) {
			free(a);
			return err;
		}
	}
	a->slot = slot;
	return 0;
}

static int add(struct follow *f, uint32_t tgid, uint32_t slot)
{
	int err = live_add(f->live, tgid, slot);

	return err ? err : note(f, tgid, slot);
}

/* Twice, for children that come while we look; those that come later are caught by the fork probe. */
int follow_tree(struct follow *f, uint32_t tgid, uint32_t slot)
{
	static uint32_t pids[TARGET_PIDS_MAX];
	int n, i, again, err = add(f, tgid, slot);

	if (!f->root[slot].parent)
		target_identify(tgid, &f->root[slot]);
	f->unix_sig = 0; /* it may listen on one that we have passed over */
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
		(void)note(f, ((const struct ev_task *)e)->child, e->slot);
	else if (e->type == EV_EXIT)
		free(hash_del(&f->alive, e->tgid));
}

/* A unix socket that listens takes the other network tier beside; it may begin to listen at any time. */
void follow_unix(struct follow *f)
{
	struct sockets sockets = { 0 };
	const struct hash_slot *h;
	uint64_t sig = 0;
	int n_unix = 0, err;
	char buf[2];
	size_t i;

	if (f->unix_on || live_tier(f->live) == NET_SYS)
		return;
	for (i = 0; i < f->alive.cap && !sig; i++)
		if (f->alive.slots[i].val)
			sig = sockets_unix_signature((uint32_t)f->alive.slots[i].key);
	if (sig == f->unix_sig)
		return;
	f->unix_sig = sig;
	for (i = 0; i < f->alive.cap && n_unix <= 0; i++) {
		h = &f->alive.slots[i];
		if (h->val && sockets_listens(&sockets, (uint32_t)h->key, buf, sizeof(buf), &n_unix) < 0)
			n_unix = 0;
	}
	sockets_release(&sockets);
	if (!n_unix)
		return;
	f->unix_on = 1;
	err = live_watch_unix(f->live);
	say("the target listens on a unix socket: %s%s", err ? "it is not seen: " : "its system calls are traced too",
	    err ? strerror(-err) : "");
}

/* Over, and perhaps not yet waited for: it has no memory any more. */
static int is_over(uint32_t pid)
{
	uint32_t tgid;
	char comm[16];
	int err = target_resolve(pid, &tgid, comm);

	return err == -ESRCH || err == -EPERM;
}

/* A lost exit event, or an exit just before we looked for such, must not keep us here for ever. */
static void check_alive(struct follow *f)
{
	uint64_t gone[CHECK_MAX];
	int n = 0;
	size_t i;

	for (i = 0; i < f->alive.cap && f->alive.used <= CHECK_MAX; i++)
		if (f->alive.slots[i].val && is_over((uint32_t)f->alive.slots[i].key))
			gone[n++] = f->alive.slots[i].key;
	while (n)
		free(hash_del(&f->alive, gone[--n]));
}

/*
 * Some members poll for work without ever sleeping (an engine's scheduler does): busy is not working, and what that
 * costs is in the books as the server without a query, where one would look for it in vain without a word.
 */
static void check_spins(struct follow *f, uint64_t ns, int quiet)
{
	struct alive *a;
	uint64_t cpu = 0;
	uint32_t tgid;
	char comm[16];
	size_t i;

	for (i = 0; i < f->alive.cap && f->alive.used <= CHECK_MAX; i++) {
		a = f->alive.slots[i].val;
		if (!a || live_cpu(f->live, (uint32_t)f->alive.slots[i].key, &cpu))
			continue;
		if (quiet && a->cpu_ns) {
			a->quiet_ns += ns;
			a->quiet_cpu_ns += cpu - a->cpu_ns;
		}
		a->cpu_ns = cpu;
		if (a->said_spins || a->quiet_ns < SPIN_NS || (double)a->quiet_cpu_ns < SPIN * (double)a->quiet_ns ||
		    target_resolve((uint32_t)f->alive.slots[i].key, &tgid, comm))
			continue;
		a->said_spins = 1;
		say("%u (%s) takes %.2f of a CPU while no query runs: it is the server's cost without a query", tgid,
		    comm, (double)a->quiet_cpu_ns / (double)a->quiet_ns);
	}
}

/* --- servers that are asked --------------------------------------------------------------------------------------- */

/* Of unix sockets there is no address: all of a process count as one. */
static int same_address(const struct asked_at *a, const struct ev_sock *s, uint32_t tgid)
{
	if (a->sock.family != s->family)
		return 0;
	if (s->family == AF_UNIX)
		return a->tgid == tgid;
	return a->sock.rport == s->rport && !memcmp(a->sock.raddr, s->raddr, sizeof(s->raddr));
}

void follow_asks(struct follow *f, const struct ev_sock *s, uint32_t tgid, uint32_t slot)
{
	int i;

	for (i = 0; i < f->nasked && !same_address(&f->asked[i], s, tgid); i++)
		;
	if (i == FOLLOW_ASKED_MAX)
		return;
	/* Who answered may have been replaced; then he is looked up again. */
	if (i < f->nasked && (follow_slot(f, f->asked[i].pid) || clock_mono_ns() - f->asked[i].when_ns < ASK_AGAIN_NS))
		return;
	f->asked[i] = (struct asked_at){ .sock = *s, .tgid = tgid, .slot = slot };
	f->nasked += i == f->nasked;
}

static void join(struct follow *f, struct asked_at *a)
{
	struct sockets sockets = { 0 };
	char from[16] = "?", listens[128];
	struct tree t = { 0 };
	uint32_t tgid;
	int n_unix;

	a->pid = find_answerer(a->tgid, &a->sock);
	if (!a->pid || follow_slot(f, a->pid) || tree_find(&t, a->pid, 1, &sockets))
		goto out;
	(void)target_resolve(a->tgid, &tgid, from);
	if (sockets_listens(&sockets, a->pid, listens, sizeof(listens), &n_unix) <= 0)
		listens[0] = 0;
	if (!follow_tree(f, t.v[0].pid, a->slot))
		say("%u (%s) asks %u (%s)%s%s: that is traced too", a->tgid, from, a->pid, t.v[0].comm,
		    listens[0] ? ", on " : "", listens);
out:
	tree_release(&t);
	sockets_release(&sockets);
}

void follow_join(struct follow *f, uint64_t now)
{
	int i;

	for (i = 0; i < f->nasked && !f->o->only; i++) {
		if (f->asked[i].when_ns)
			continue;
		f->asked[i].when_ns = now;
		join(f, &f->asked[i]);
	}
}

/* --- what comes after --------------------------------------------------------------------------------------------- */

static int any_alive(const struct follow *f, uint32_t slot)
{
	const struct alive *a;
	size_t i = 0;

	while ((a = hash_next(&f->alive, &i)))
		if (a->slot == slot)
			return 1;
	return 0;
}

static int is_followed(void *ctx, uint32_t pid)
{
	return follow_slot(ctx, pid) != 0;
}

/* As it was found at first: by what was asked for, or the same program under the same parent. */
static uint32_t successor(struct follow *f, uint32_t slot)
{
	uint32_t pid[EV_SLOTS];
	int n, i;

	if (!f->o->find_by)
		return find_like(&f->root[slot], is_followed, f);
	n = find_processes(f->o->find_by, f->o->find, pid, EV_SLOTS);
	for (i = 0; i < n && i < EV_SLOTS; i++)
		if (!follow_slot(f, pid[i]))
			return pid[i];
	return 0;
}

/* Traces what came after the server of this slot, if it is there. */
static void succeed(struct follow *f, uint32_t slot)
{
	struct sockets sockets = { 0 };
	struct tree t = { 0 };
	uint32_t pid = successor(f, slot);

	if (pid && !tree_find(&t, pid, !f->o->only, &sockets) && !follow_slot(f, t.v[0].pid) &&
	    !follow_tree(f, t.v[0].pid, slot)) {
		say("it is back: %u (%s)", t.v[0].pid, t.v[0].comm);
		f->waiting[slot] = 0;
	}
	tree_release(&t);
	sockets_release(&sockets);
}

static void check_gone(struct follow *f)
{
	uint32_t slot;

	for (slot = 1; slot < EV_SLOTS && f->o->follow; slot++) {
		if (!f->root[slot].parent || any_alive(f, slot))
			continue;
		if (!f->waiting[slot])
			say("the server is gone: waiting for it to come again");
		f->waiting[slot] = 1;
		succeed(f, slot);
	}
}

int follow_over(const struct follow *f)
{
	return !f->alive.used && !f->child && !f->o->follow;
}

void follow_check(struct follow *f, uint64_t now, uint64_t seen, size_t running)
{
	int quiet = f->checked_ns && f->seen == seen && !f->running && !running;

	if (f->checked_ns && now - f->checked_ns < CHECK_NS)
		return;
	check_spins(f, now - f->checked_ns, quiet);
	f->checked_ns = now;
	f->seen = seen;
	f->running = running;
	follow_unix(f);
	check_alive(f);
	check_gone(f);
}
