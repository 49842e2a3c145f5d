// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/steps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/opts.h"
#include "userspace/target.h"
#include "userspace/util/clock.h"
#include "userspace/util/elf.h"
#include "userspace/util/fmt.h"

#define FDS        24                 /* attachments of one process */
#define SETTLE_NS  (150 * NS_PER_MS)  /* after a fork or an exec, until its libraries are mapped */
#define ALL_NS     NS_PER_S
#define WAIT_MIN   NS_PER_S           /* between two looks at a process: a part of its age here, within these */
#define WAIT_MAX   (30 * NS_PER_S)
#define WAIT_PART  16
#define TRIES      64                 /* calls to measure a hit by */

struct step_proc {
	uint32_t slot;
	uint64_t seen_ns, next_ns;
	uint64_t vsize, sig;              /* its memory, and which files it had mapped, when it was looked at last */
	int      fd[FDS], nfd;
};

/* --- what a hit costs --------------------------------------------------------------------------------------------- */

/* Its first instruction is a return, which the kernel has to step over, as an endbr64: the dearer kind of hit. */
static __attribute__((noinline)) void nothing(void)
{
	asm volatile("" ::: "memory");
}

/* Place in our own file of a function of ours. 0: not found. */
static uint64_t offset_here(uintptr_t addr)
{
	uint64_t start, end, off, ret = 0;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");

	while (f && !ret && fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &off) == 3 && addr >= start &&
		    addr < end)
			ret = addr - start + off;
	if (f)
		fclose(f);
	return ret;
}

/* Nanoseconds of one call, the best of several rounds. */
static double call_ns(void)
{
	double best = 1e18, ns;
	uint64_t t;
	int i, round;

	for (round = 0; round < 4; round++) {
		t = clock_mono_ns();
		for (i = 0; i < TRIES; i++)
			nothing();
		ns = (double)(clock_mono_ns() - t) / TRIES;
		best = ns < best ? ns : best;
	}
	return best;
}

/* The same programs on a function of our own, entry and return: two hits a call. 0 or -errno. */
static int measure(struct live *live, double *ret_ns)
{
	uint64_t off = offset_here((uintptr_t)nothing);
	uint32_t self = (uint32_t)getpid();
	double plain = call_ns();
	int in, out = -EINVAL;

	in = uprobe_attach(live_prog(live, "engine_call"), "/proc/self/exe", off, UPROBE_ENTRY, self);
	if (in >= 0)
		out = uprobe_attach(live_prog(live, "engine_return"), "/proc/self/exe", off, UPROBE_RETURN, self);
	if (out >= 0)
		*ret_ns = (call_ns() - plain) / 2;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return in < 0 ? in : out < 0 ? out : live_step_hits(live) ? 0 : -ENOTSUP;
}

/* --- one process -------------------------------------------------------------------------------------------------- */

static void detach(struct step_proc *p, int from)
{
	while (p->nfd > from)
		close(p->fd[--p->nfd]);
}

static void drop(struct steps *s, uint32_t tgid)
{
	struct step_proc *p = hash_del(&s->procs, tgid);

	if (p)
		detach(p, 0);
	free(p);
}

/* Pages of its address space: what is mapped since changes them. 0: it is gone. */
static uint64_t vsize(uint32_t pid)
{
	unsigned long long pages = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages;
}

static uint64_t signature(const struct engine_module *m, int n)
{
	uint64_t sig = (uint64_t)n + 1;

	while (n--)
		sig = (sig ^ m[n].dev ^ m[n].ino << 16) * 0x9e3779b97f4a7c15u;
	return sig;
}

static const char *base_of(const char *path)
{
	const char *base = strrchr(path, '/');

	return base ? base + 1 : path;
}

/* Why a file of an engine says nothing of steps. */
static const char *why_not(const struct engine_module *m)
{
	if (m->err == -ESTALE || m->err == -ENOENT)
		return "it was replaced on disk since it was loaded, and what is loaded cannot be read";
	return m->err ? elf_why(m->err) : "it has none of the functions that tell (stripped, or a version not known)";
}

static int already_said(struct steps *s, const struct engine_module *m)
{
	int i;

	for (i = 0; i < s->nsaid && (s->said[i].dev != m->dev || s->said[i].ino != m->ino); i++)
		;
	if (i < s->nsaid || s->nsaid == (int)(sizeof(s->said) / sizeof(*s->said)))
		return 1;
	s->said[s->nsaid].dev = m->dev;
	s->said[s->nsaid++].ino = m->ino;
	return 0;
}

/* All points of a way in one file, or none. 0 or -errno. */
static int attach_module(struct steps *s, struct step_proc *p, uint32_t pid, const struct engine_module *m, int way)
{
	const struct engine_point *at;
	int i, fd = 0, had = p->nfd;
	char path[320];

	engine_path(pid, m, path, sizeof(path));
	for (i = 0; i < ENGINE_POINTS && p->nfd < FDS && fd >= 0; i++) {
		at = &engine_ways[way].at[i];
		if (!at->symbol || !m->at[way][i])
			continue;
		fd = at->edge == UPROBE_RETURN && uprobe_return_breaks(pid) ? -EUSERS :
		     uprobe_attach(live_prog(s->live, at->program), path, m->at[way][i], at->edge, pid);
		live_step_state(s->live, at->program, fd < 0 ? fd : 0);
		if (fd >= 0)
			p->fd[p->nfd++] = fd;
	}
	if (fd < 0)
		detach(p, had);
	return fd < 0 ? fd : 0;
}

static void say_attached(struct steps *s, uint32_t pid, const struct engine_module *m, int way, int err)
{
	const struct engine_way *w = &engine_ways[way];
	const char *why = err == -EUSERS ? "this kernel's return probes would break it under its seccomp filter" :
			  strerror(-err);

	if (err && err != -ESRCH && !already_said(s, m))
		say("engine steps of %u are not seen: %s: %s", pid, base_of(m->path), why);
	else if (!err && s->verbose)
		say("engine steps of %u: %s in %s%s, each %s", pid, w->engine, m->path,
		    m->deleted ? " (replaced on disk since)" : "", w->what);
}

static void attach(struct steps *s, struct step_proc *p, uint32_t pid, struct engine_module *m, int n)
{
	int i, k, way, err, any = 0;

	for (k = 0; engine_ways[k].engine; k++) {
		if (k && !strcmp(engine_ways[k].engine, engine_ways[k - 1].engine))
			continue;
		way = engine_choose(engine_ways[k].engine, m, n);
		for (i = 0; i < n && way >= 0; i++) {
			if (!engine_has(&m[i], way))
				continue;
			any = 1;
			err = attach_module(s, p, pid, &m[i], way);
			s->attached += !err;
			say_attached(s, pid, &m[i], way, err);
		}
	}
	for (i = 0; i < n && !any; i++)
		if (m[i].named && !already_said(s, &m[i]))
			say("engine steps of %u are not seen in %s: %s", pid, base_of(m[i].path), why_not(&m[i]));
}

/* Looks at one process, unless nothing has changed there. */
static void look(struct steps *s, struct step_proc *p, uint32_t pid)
{
	static struct engine_module m[ENGINE_MODULES];
	uint64_t size = vsize(pid), sig;
	int n, i;

	if (size == p->vsize)
		return;
	p->vsize = size;
	n = engine_tells_again(pid) ? 0 : engine_modules(pid, m, ENGINE_MODULES); /* it may say so only after a while */
	sig = signature(m, n > 0 ? n : 0);
	if (n < 0 || sig == p->sig)
		return;
	p->sig = sig;
	detach(p, 0);
	for (i = 0; i < n; i++)
		engine_look(pid, &m[i]);
	if (vsize(pid)) /* of one that has just ended nothing could be read, and nothing is to be said */
		attach(s, p, pid, m, n);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static void due(struct steps *s, struct step_proc *p, uint64_t at_ns)
{
	p->next_ns = at_ns;
	if (at_ns < s->next_ns)
		s->next_ns = at_ns;
}

static struct step_proc *note(struct steps *s, uint32_t tgid, uint32_t slot, uint64_t now)
{
	struct step_proc *p = hash_get(&s->procs, tgid);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p || hash_put(&s->procs, tgid, p)) {
		free(p);
		return NULL;
	}
	p->slot = slot;
	p->seen_ns = now;
	due(s, p, s->begun ? now + SETTLE_NS : now);
	return p;
}

void steps_event(struct steps *s, const struct ev_hdr *e)
{
	struct step_proc *p;

	if (!s->on)
		return;
	if (e->type == EV_FORK) {
		(void)note(s, ((const struct ev_task *)e)->child, e->slot, e->ts_ns);
	} else if (e->type == EV_EXIT) {
		drop(s, e->tgid);
	} else if (e->type == EV_EXEC) {
		drop(s, e->tgid); /* another program, with other files */
		p = note(s, e->tgid, e->slot, e->ts_ns);
		if (p)
			due(s, p, e->ts_ns + SETTLE_NS);
	}
}

/* Events may be lost, and some processes come without one. */
static void compare(struct steps *s, uint64_t now)
{
	uint32_t tgid, slot, gone[64];
	size_t i = 0;
	int n = 0;

	while (follow_next(s->follow, &i, &tgid, &slot))
		(void)note(s, tgid, slot, now);
	for (i = 0; i < s->procs.cap && n < 64; i++)
		if (s->procs.slots[i].val && !follow_slot(s->follow, (uint32_t)s->procs.slots[i].key))
			gone[n++] = (uint32_t)s->procs.slots[i].key;
	while (n)
		drop(s, gone[--n]);
	s->all_ns = now;
}

static void off(struct steps *s)
{
	struct step_proc *p;
	size_t i = 0;

	while ((p = hash_next(&s->procs, &i))) {
		detach(p, 0);
		free(p);
	}
	hash_release(&s->procs);
	s->on = 0;
}

static void keep_budget(struct steps *s, uint64_t now)
{
	uint64_t hits = live_step_hits(s->live), ns = now - s->hits_ns;
	double rate, part;
	char cost[16];

	if (ns < STEPS_BUDGET_NS)
		return;
	rate = (double)(hits - s->hits) * 1e9 / (double)ns;
	part = rate * s->hit_ns * 1e-9;
	s->hits = hits;
	s->hits_ns = now;
	if (part <= STEPS_BUDGET)
		return;
	off(s);
	s->off_ns = now;
	s->off_rate = rate;
	say("engine steps are off from now on: %.0f hits a second at %s us each take %.1f %% of a CPU, more than %g %%",
	    rate, fmt3(cost, sizeof(cost), s->hit_ns * 1e-3), part * 100, STEPS_BUDGET * 100);
}

void steps_check(struct steps *s, uint64_t now)
{
	struct step_proc *p;
	uint64_t wait;
	size_t i;

	if (!s->on)
		return;
	if (now - s->all_ns >= ALL_NS || !s->begun)
		compare(s, now);
	s->begun = 1;
	if (now >= s->next_ns) {
		s->next_ns = UINT64_MAX;
		for (i = 0; i < s->procs.cap; i++) {
			p = s->procs.slots[i].val;
			if (!p)
				continue;
			wait = (now - p->seen_ns) / WAIT_PART;
			if (now >= p->next_ns) {
				look(s, p, (uint32_t)s->procs.slots[i].key);
				p->next_ns = now + (wait < WAIT_MIN ? WAIT_MIN : wait > WAIT_MAX ? WAIT_MAX : wait);
			}
			due(s, p, p->next_ns);
		}
	}
	keep_budget(s, now);
}

int steps_init(struct steps *s, struct live *live, const struct follow *f, int verbose, char *why, size_t size)
{
	int err;

	*s = (struct steps){ .live = live, .follow = f, .verbose = verbose, .hits_ns = clock_mono_ns() };
	if (live_prog(live, "engine_call") < 0) {
		snprintf(why, size, "%s", live_step_why(live));
		return -ENOTSUP;
	}
	err = measure(live, &s->hit_ns);
	if (err) {
		snprintf(why, size, "the kernel refuses a probe in user space: %s", strerror(-err));
		return err;
	}
	s->hits = live_step_hits(live);
	s->on = 1;
	return 0;
}

void steps_release(struct steps *s)
{
	off(s);
}

int steps_explain(uint32_t pid, char *buf, size_t size)
{
	static struct engine_module m[ENGINE_MODULES];
	int n = engine_modules(pid, m, ENGINE_MODULES), i, k, way, named = -1;

	for (i = 0; i < n; i++)
		engine_look(pid, &m[i]);
	for (k = 0; engine_ways[k].engine && n > 0 && !engine_tells_again(pid); k++) {
		way = engine_choose(engine_ways[k].engine, m, n);
		for (i = 0; i < n && way >= 0; i++)
			if (engine_has(&m[i], way)) {
				snprintf(buf, size, "%s in %s%s, each %s", engine_ways[way].engine, m[i].path,
					 m[i].deleted ? " (replaced on disk since)" : "", engine_ways[way].what);
				return 1;
			}
	}
	for (i = 0; i < n; i++)
		named = m[i].named && named < 0 ? i : named;
	if (n > 0 && engine_tells_again(pid))
		snprintf(buf, size, "the first rank of its engine tells of the same steps");
	else if (named >= 0)
		snprintf(buf, size, "%s: %s", base_of(m[named].path), why_not(&m[named]));
	else
		snprintf(buf, size, "%s", n < 0 ? strerror(-n) : "no engine that is known here is loaded");
	return 0;
}
