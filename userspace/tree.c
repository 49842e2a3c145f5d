// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/target.h"
#include "userspace/util/hash.h"

static const char *const role_names[] = {
	[ROLE_SERVER] = "server", [ROLE_FRONT] = "front", [ROLE_ENGINE] = "engine",
	[ROLE_SUPERVISOR] = "supervisor", [ROLE_HELPER] = "helper",
};

const char *role_name(enum role r)
{
	return role_names[r];
}

/* Libraries that compute for models, by a part of their file's name. */
static const char *const libraries[] = {
	"libllama", "libggml", "xllamacpp", "llama_cpp", "libtorch_cpu", "libtorch_cuda", "libcuda.so", "libamdhip64",
	"libonnxruntime", "libtensorrt", "libnvinfer", "libmlc_llm", "libopenvino", "libctranslate2",
};

const char *tree_computes(uint32_t pid)
{
	const char *hit = NULL, *name;
	char path[64], line[4096];
	size_t i;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	f = fopen(path, "re");
	while (f && !hit && fgets(line, sizeof(line), f)) {
		name = strrchr(line, '/');
		for (i = 0; name && !hit && i < sizeof(libraries) / sizeof(*libraries); i++)
			hit = strstr(name, libraries[i]) ? libraries[i] : NULL;
	}
	if (f)
		fclose(f);
	return hit;
}

/* --- the way up --------------------------------------------------------------------------------------------------- */

/* The tracer was started from below it. */
static int is_above_us(uint32_t pid)
{
	uint32_t up;

	for (up = (uint32_t)getpid(); up > 1; up = target_parent(up))
		if (up == pid)
			return 1;
	return 0;
}

/* Sockets of several processes, less those by which they talk to who started them: inode -> PID of a holder. */
static void add_held(struct hash *h, uint32_t pid)
{
	uint64_t *held = NULL, std[3];
	int n = sockets_held(pid, &held), i;

	sockets_stdio(pid, std);
	for (i = 0; i < n; i++)
		if (held[i] != std[0] && held[i] != std[1] && held[i] != std[2])
			(void)hash_put(h, held[i], (void *)(uintptr_t)pid);
	free(held);
}

/* Whoever listens asks nothing of its own accord: the other one is its client, and a client is none of a server. */
static int is_listening(const struct hash *held, const struct sockets *s, uint16_t port)
{
	const struct sock_one *k;
	size_t i;

	for (i = 0; i < held->cap; i++) {
		k = held->slots[i].val ? sockets_get(s, held->slots[i].key) : NULL;
		if (k && k->listens && k->ends.family != AF_UNIX && k->ends.lport == port)
			return 1;
	}
	return 0;
}

/* What the two sets of processes have to do with each other by sockets. */
static int talk(const struct hash *below, const struct hash *beside, const struct sockets *s, char *why, size_t size)
{
	const struct sock_one *k, *o;
	const struct hash_slot *h;
	size_t i;

	for (i = 0; i < below->cap; i++) {
		h = &below->slots[i];
		k = h->val ? sockets_get(s, h->key) : NULL;
		if (!k)
			continue;
		o = sockets_other_end(s, k);
		if (k->listens && hash_get(beside, k->inode))
			return snprintf(why, size, "both hold the listening socket %s", k->name);
		if (!o || (k->ends.family != AF_UNIX && !is_listening(beside, s, o->ends.lport)))
			continue;
		if (hash_get(beside, o->inode))
			return snprintf(why, size, "%u talks to %u over a %s socket", (uint32_t)(uintptr_t)h->val,
					(uint32_t)(uintptr_t)hash_get(beside, o->inode),
					k->ends.family == AF_UNIX ? "unix" : "TCP");
	}
	return 0;
}

/* The processes in `all` but not below `top` hold sockets in beside, the others in below. */
static void split_held(uint32_t top, uint32_t parent, struct hash *below, struct hash *beside)
{
	static uint32_t mine[TARGET_PIDS_MAX], all[TARGET_PIDS_MAX];
	int nmine, nall, i, k;

	mine[0] = top;
	nmine = 1 + target_descendants(top, mine + 1, TARGET_PIDS_MAX - 1);
	all[0] = parent;
	nall = 1 + target_descendants(parent, all + 1, TARGET_PIDS_MAX - 1);
	for (i = 0; i < nall; i++) {
		for (k = 0; k < nmine && mine[k] != all[i]; k++)
			;
		add_held(k < nmine ? below : beside, all[i]);
	}
}

/* Whether it listens, on whichever address or on the loopback one alone. */
static int listens_only_inside(uint32_t pid, const struct sockets *s, int *ret_listens)
{
	const struct sock_one *k;
	uint64_t *held = NULL;
	int n = sockets_held(pid, &held), i, inside = 1;

	for (i = *ret_listens = 0; i < n; i++) {
		k = sockets_get(s, held[i]);
		if (!k || !k->listens)
			continue;
		++*ret_listens;
		inside &= k->ends.family == AF_UNIX || !strncmp(k->name, "127.", 4) || !strncmp(k->name, "[::1]", 5);
	}
	free(held);
	return inside && *ret_listens;
}

/* A server for one other process: a runner that its front has started, and asks by TCP when it has a query. */
static int is_inner(uint32_t pid, uint32_t parent, const struct sockets *s)
{
	int n, up;

	if (!tree_computes(pid) || !listens_only_inside(pid, s, &n))
		return 0;
	(void)listens_only_inside(parent, s, &up);
	return up > 0;
}

/* Whether the parent belongs to the same server, and why. */
static int is_one_with(uint32_t top, uint32_t parent, const struct sockets *s, char *why, size_t size)
{
	struct hash below = { 0 }, beside = { 0 };
	const char *how = target_same_program(top, parent);
	int yes;

	if (how)
		return snprintf(why, size, "%s", how);
	if (is_inner(top, parent, s))
		return snprintf(why, size, "it computes for its parent, and listens on this machine only");
	split_held(top, parent, &below, &beside);
	yes = talk(&below, &beside, s, why, size);
	hash_release(&below);
	hash_release(&beside);
	return yes;
}

static uint32_t climb_from(uint32_t pid, const struct sockets *s, char *up, size_t size)
{
	char why[96];
	uint32_t parent;

	for (;;) {
		parent = target_parent(pid);
		if (target_is_starter(parent) || is_above_us(parent) || !is_one_with(pid, parent, s, why, sizeof(why)))
			return pid;
		snprintf(up, size, "%s", why);
		pid = parent;
	}
}

/* --- what each is ------------------------------------------------------------------------------------------------- */

static int children_of(const struct tree *t, int of)
{
	int i, n = 0;

	for (i = of + 1; i < t->n; i++)
		n += t->v[i].up == of;
	return n;
}

/* A process is below itself. */
static int is_below(const struct tree *t, int i, int of)
{
	while (i > of)
		i = t->v[i].up;
	return i == of;
}

/* What is known of one's sockets. */
struct listening {
	char text[64];
	int  n;       /* sockets that listen */
	int  below;   /* of these, that a child holds too: it accepts there */
	int  own;     /* that no process above it holds */
	int  over;    /* what those above it listen on and it does not */
};

/* Inodes that listen, of each member, in the order of the tree. */
struct held {
	uint64_t *ino;
	int       n;
};

/* Names that do not fit are "..."; a part of an address would look like another one. */
static void add_name(struct listening *l, const char *name)
{
	static const char more[] = ", ...";
	size_t n = strlen(l->text), left = sizeof(l->text) - n;

	if (n + strlen(name) + 2 + sizeof(more) <= sizeof(l->text))
		snprintf(l->text + n, left, "%s%s", n ? ", " : "", name);
	else if (n < 3 || strcmp(l->text + n - 3, "..."))
		snprintf(l->text + n, left, "%s", n ? more : more + 2);
}

static struct listening listening(const struct tree *t, const struct held *held, int i, const struct sockets *s)
{
	struct listening l = { .text = "" };
	const struct sock_one *k;
	int j, m, above, shared;

	for (j = 0; j < held[i].n; j++) {
		k = sockets_get(s, held[i].ino[j]);
		l.n++;
		if (k)
			add_name(&l, k->name);
		for (m = above = shared = 0; m < t->n; m++) {
			if (m == i || !sockets_holds(held[m].ino, held[m].n, held[i].ino[j]))
				continue;
			above |= is_below(t, i, m);
			shared |= is_below(t, m, i);
		}
		l.below += shared;
		l.own += !above;
	}
	for (m = 0; m < i; m++)
		l.over |= held[m].n && is_below(t, i, m);
	return l;
}

static void set_role(struct tree *t, struct member *m, const struct listening *l, int several)
{
	int started = children_of(t, (int)(m - t->v));
	const char *lib = m->lib;

	if (l->n && l->below == l->n) {
		m->role = ROLE_SUPERVISOR;
		snprintf(m->why, sizeof(m->why), "those below it accept on %s", l->text);
	} else if (l->n && !(l->over && l->own == l->n)) {
		m->role = lib && !several ? ROLE_SERVER : ROLE_FRONT;
		snprintf(m->why, sizeof(m->why), "listens on %s%s%s", l->text,
			 lib && !several ? ", computes with " : "", lib && !several ? lib : "");
	} else if (lib) {
		m->role = ROLE_ENGINE;
		snprintf(m->why, sizeof(m->why), "computes with %s%s%s", lib, l->n ? ", listens on " : "",
			 l->text);
	} else if (l->n) {
		m->role = ROLE_HELPER;
		snprintf(m->why, sizeof(m->why), "listens on %s, behind one that listens too", l->text);
	} else if (started) {
		m->role = ROLE_SUPERVISOR;
		snprintf(m->why, sizeof(m->why), "listens on nothing, has started %d", started);
	} else {
		m->role = ROLE_HELPER;
		snprintf(m->why, sizeof(m->why), "neither listens nor computes");
	}
}

/* Keeps of what a process holds that which listens. */
static void keep_listening(struct held *h, const struct sockets *s)
{
	const struct sock_one *k;
	int i, n = 0;

	for (i = 0; i < h->n; i++) {
		k = sockets_get(s, h->ino[i]);
		if (k && k->listens)
			h->ino[n++] = h->ino[i];
	}
	h->n = n;
}

static int set_roles(struct tree *t, const struct sockets *s)
{
	struct held *held = calloc((size_t)t->n, sizeof(*held));
	struct listening l;
	int i, engines = 0;

	if (!held)
		return -ENOMEM;
	for (i = 0; i < t->n; i++) {
		held[i].n = sockets_held(t->v[i].pid, &held[i].ino);
		keep_listening(&held[i], s);
		t->v[i].lib = tree_computes(t->v[i].pid);
		engines += i > 0 && t->v[i].lib;
	}
	for (i = 0; i < t->n; i++) {
		l = listening(t, held, i, s);
		set_role(t, &t->v[i], &l, engines > 0);
	}
	for (i = 0; i < t->n; i++)
		free(held[i].ino);
	free(held);
	return 0;
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static int fill(struct tree *t, uint32_t top)
{
	static uint32_t pids[TARGET_PIDS_MAX];
	uint32_t tgid, parent;
	struct member *m;
	int n, i;

	pids[0] = top;
	n = 1 + target_descendants(top, pids + 1, TARGET_PIDS_MAX - 1);
	t->v = calloc((size_t)n, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		m = &t->v[t->n];
		*m = (struct member){ .pid = pids[i], .up = t->n };
		if (target_resolve(pids[i], &tgid, m->comm))
			continue; /* gone */
		for (parent = target_parent(pids[i]); m->up-- > 0 && t->v[m->up].pid != parent; )
			;
		m->depth = m->up >= 0 ? t->v[m->up].depth + 1 : 0;
		t->n++;
	}
	return t->n ? 0 : -ESRCH;
}

int tree_find(struct tree *t, uint32_t pid, int climb, struct sockets *s)
{
	int err = sockets_load(s, pid);

	*t = (struct tree){ 0 };
	if (err && err != -EACCES && err != -EPERM) /* who may not see sockets is told so when it comes to tracing */
		return err;
	err = fill(t, climb ? climb_from(pid, s, t->up, sizeof(t->up)) : pid);
	return err ? err : set_roles(t, s);
}

void tree_release(struct tree *t)
{
	free(t->v);
	*t = (struct tree){ 0 };
}
