// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/sockets.h"
#include "userspace/target.h"
#include "userspace/tree.h"
#include "userspace/util/str.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Opens /proc/PID/FILE; NULL if the process is gone. */
static FILE *proc_open(uint32_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	return fopen(path, "re");
}

/* --- what fits ---------------------------------------------------------------------------------------------------- */

static int is_below(const char *path, const char *what)
{
	size_t n = strlen(what);

	while (n > 1 && what[n - 1] == '/')
		n--;
	return !strncmp(path, what, n) && (!path[n] || path[n] == '/' || n == 1);
}

/* One part of the path is the unit's name. */
static int has_part(const char *path, const char *unit)
{
	size_t n = strlen(unit), len;

	for (; *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len < n || memcmp(path, unit, n))
			continue;
		if (len == n || (len == n + 8 && !memcmp(path + n, ".service", 8)))
			return 1;
	}
	return 0;
}

int find_cgroup_line(char *line, enum find_by by, const char *what)
{
	char *path;

	if (by == FIND_CGROUP && !strncmp(what, CGROUP_ROOT "/", sizeof(CGROUP_ROOT)))
		what += sizeof(CGROUP_ROOT) - 1;
	line[strcspn(line, "\n")] = 0;
	path = strchr(line, ':');
	path = path ? strchr(path + 1, ':') : NULL;
	if (!path)
		return 0;
	return by == FIND_UNIT ? has_part(path + 1, what) : is_below(path + 1, what);
}

static int in_cgroup(uint32_t pid, enum find_by by, const char *what)
{
	FILE *f = proc_open(pid, "cgroup");
	char line[4096];
	int hit = 0;

	while (f && !hit && fgets(line, sizeof(line), f))
		hit = find_cgroup_line(line, by, what);
	if (f)
		fclose(f);
	return hit;
}

struct finding {
	enum find_by by;
	const char  *what;
	uint32_t    *pid;
	int          n;
	struct sockets sockets;
};

static int fits(uint32_t pid, struct finding *f)
{
	char comm[16];
	uint32_t tgid;

	if (target_resolve(pid, &tgid, comm))
		return 0; /* a kernel thread, or gone */
	switch (f->by) {
	case FIND_PORT:
		return sockets_listens_on(&f->sockets, pid, (unsigned)strtoul(f->what, NULL, 10));
	case FIND_COMM:
		return !strncmp(comm, f->what, sizeof(comm) - 1);
	default:
		return in_cgroup(pid, f->by, f->what);
	}
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static int each_process(int (*fn)(uint32_t pid, void *ctx), void *ctx)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir)))
		if (isdigit((unsigned char)d->d_name[0]))
			err = fn((uint32_t)strtoul(d->d_name, NULL, 10), ctx);
	closedir(dir);
	return err;
}

static int take(uint32_t pid, void *ctx)
{
	struct finding *f = ctx;

	/* Of a socket that is opened before its server is there the init system holds an end too. */
	if (f->by == FIND_PORT && target_is_starter(pid))
		return 0;
	if (pid != (uint32_t)getpid() && f->n < TARGET_PIDS_MAX && fits(pid, f))
		f->pid[f->n++] = pid;
	return 0;
}

static int among(const struct finding *f, uint32_t pid)
{
	int i;

	for (i = 0; i < f->n; i++)
		if (f->pid[i] == pid)
			return 1;
	return 0;
}

int find_processes(enum find_by by, const char *what, uint32_t *ret, int max)
{
	struct finding f = { .by = by, .what = what, .pid = malloc(TARGET_PIDS_MAX * sizeof(uint32_t)) };
	int i, n = 0, err = f.pid ? each_process(take, &f) : -ENOMEM;
	uint32_t up;

	for (i = 0; !err && i < f.n; i++) {
		for (up = target_parent(f.pid[i]); up > 1 && !among(&f, up); up = target_parent(up))
			;
		if (up > 1)
			continue; /* in the tree of another */
		if (n < max)
			ret[n] = f.pid[i];
		n++;
	}
	free(f.pid);
	sockets_release(&f.sockets);
	return err ? err : n;
}

struct likeness {
	const struct target_id *id;
	int (*is_known)(void *ctx, uint32_t pid);
	void *ctx;
};

static int take_like(uint32_t pid, void *ctx)
{
	const struct likeness *l = ctx;

	return target_is(pid, l->id) && !l->is_known(l->ctx, pid) ? (int)pid : 0;
}

uint32_t find_like(const struct target_id *id, int (*is_known)(void *ctx, uint32_t pid), void *ctx)
{
	struct likeness l = { id, is_known, ctx };
	int pid = each_process(take_like, &l);

	return pid > 0 ? (uint32_t)pid : 0;
}

/* --- who answers -------------------------------------------------------------------------------------------------- */

struct answerer {
	struct hash inodes; /* one of these he holds */
	uint32_t    asker;
};

static int take_answerer(uint32_t pid, void *ctx)
{
	struct answerer *a = ctx;
	uint64_t *held = NULL;
	int n, i, hit = 0;

	n = pid == a->asker || target_is_starter(pid) ? 0 : sockets_held(pid, &held);
	for (i = 0; i < n && !hit; i++)
		hit = hash_get(&a->inodes, held[i]) != NULL;
	free(held);
	return hit ? (int)pid : 0;
}

/* To one's own address, or to the loopback one. */
static int is_local(const struct ev_sock *s)
{
	static const uint8_t ip6[16] = { [15] = 1 }, mapped[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };

	return !memcmp(s->laddr, s->raddr, sizeof(s->laddr)) || (s->family == AF_INET && s->raddr[0] == 127) ||
	       !memcmp(s->raddr, ip6, sizeof(ip6)) || !memcmp(s->raddr, mapped, sizeof(mapped));
}

/* Of TCP who listens there: the connection may not have been accepted yet. */
static void add_listeners(const struct sockets *s, const struct ev_sock *sock, struct hash *inodes)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].listens && s->v[i].ends.family != AF_UNIX && s->v[i].ends.lport == sock->rport)
			(void)hash_put(inodes, s->v[i].inode, inodes);
}

/* A unix socket has no name here that the kernel's lists have too: all that the asker is connected to, but its log. */
static void add_unix_peers(const struct sockets *s, uint32_t asker, struct hash *inodes)
{
	const struct sock_one *k;
	uint64_t *held = NULL, std[3];
	int n = sockets_held(asker, &held), i;

	sockets_stdio(asker, std);
	for (i = 0; i < n; i++) {
		k = held[i] == std[0] || held[i] == std[1] || held[i] == std[2] ? NULL : sockets_get(s, held[i]);
		if (k && k->ends.family == AF_UNIX && k->peer && !sockets_holds(held, n, k->peer))
			(void)hash_put(inodes, k->peer, inodes);
	}
	free(held);
}

uint32_t find_answerer(uint32_t pid, const struct ev_sock *sock)
{
	struct sock_one mine = { .ends = *sock };
	struct answerer a = { .asker = pid };
	const struct sock_one *other;
	struct sockets s = { 0 };
	int found = 0;

	if (sockets_load(&s, pid))
		return 0;
	other = sock->family == AF_UNIX ? NULL : sockets_other_end(&s, &mine);
	if (sock->family == AF_UNIX)
		add_unix_peers(&s, pid, &a.inodes);
	else if (other && other->inode)
		(void)hash_put(&a.inodes, other->inode, &a);
	found = a.inodes.used ? each_process(take_answerer, &a) : 0;
	if (found <= 0 && sock->family != AF_UNIX && (other || is_local(sock))) {
		add_listeners(&s, sock, &a.inodes);
		found = each_process(take_answerer, &a);
	}
	hash_release(&a.inodes);
	sockets_release(&s);
	return found > 0 ? (uint32_t)found : 0;
}

/* --- servers ------------------------------------------------------------------------------------------------------ */

struct servers {
	struct find_server *ret;
	int n, max;
	struct sockets sockets;
};

static int take_server(uint32_t pid, void *ctx)
{
	static uint32_t tree[TARGET_PIDS_MAX];
	struct servers *s = ctx;
	struct find_server *to = &s->ret[s->n];
	const char *why;
	uint32_t tgid;
	int i, n, nunix;

	if (s->n == s->max || target_resolve(pid, &tgid, to->comm))
		return 0;
	if (sockets_listens(&s->sockets, pid, to->listens, sizeof(to->listens), &nunix) <= 0)
		return 0;
	tree[0] = pid;
	n = 1 + target_descendants(pid, tree + 1, TARGET_PIDS_MAX - 1);
	for (i = 0, why = NULL; i < n && !why; i++)
		why = tree_computes(tree[i]);
	if (!why || pid == (uint32_t)getpid())
		return 0;
	to->pid = pid;
	to->processes = n;
	snprintf(to->why, sizeof(to->why), "%s", why);
	s->n++;
	return 0;
}

int find_servers(struct find_server *ret, int max)
{
	struct servers s = { .ret = ret, .max = max };
	int i, j, kept = 0, err = each_process(take_server, &s);
	uint32_t up;

	sockets_release(&s.sockets);
	if (err)
		return err;
	/* A worker that listens too is in the tree of its front. */
	for (i = 0; i < s.n; i++) {
		for (up = target_parent(ret[i].pid), j = s.n; up > 1 && j == s.n; up = target_parent(up))
			for (j = 0; j < s.n && ret[j].pid != up; j++)
				;
		if (j == s.n)
			ret[kept++] = ret[i];
	}
	return kept;
}
