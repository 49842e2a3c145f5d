// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * RAPL through the kernel's PMU `power`: one system-wide counting event per package or die and domain. A read is one
 * system call and one rdmsr, without text.
 *
 * The kernel keeps its 64-bit count from losing a wrap by a timer that assumes 200 W, and it sign-extends differences
 * from 32 bits: at 400 W and a unit of 2^-16 J half the register has passed in 82 s. The sampler reads every second at
 * the latest, and each read folds the register into the count.
 */
#include "collectors/rapl_perf.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/rapl.h"
#include "collectors/sysfs.h"
#include "collectors/why.h"

#define PMU "bus/event_source/devices/power"

#define APART_READS 64     /* to number the two counts of one register alike */
#define APART_EACH  1000   /* readings */

struct rapl_perf {
	struct rapl_event ev[CHANNEL_MAX]; /* of c->ch, up to c->nch */
	int      fd[CHANNEL_MAX];
	/*
	 * The same again for edge_fd(); -1: not asked for. The kernel adds to an event's count without a lock, as it
	 * expects all its readers on one CPU. BPF programs read it on any, so theirs may lose a step, and is not the
	 * one that the books are made of.
	 */
	int      edge_fd[CHANNEL_MAX];
	uint64_t apart[CHANNEL_MAX]; /* what edge_fd's count lacks */
	unsigned reads;
};

static const struct {
	const char *name;
	enum domain domain;
} events[] = {
	{ "energy-psys", DOMAIN_PLATFORM }, { "energy-pkg", DOMAIN_PACKAGE }, { "energy-cores", DOMAIN_CORE },
	{ "energy-gpu", DOMAIN_UNCORE },    { "energy-ram", DOMAIN_DRAM },
};

uint64_t rapl_perf_raw(uint64_t count, uint64_t range)
{
	int64_t rest;

	if (!range)
		return count;
	rest = (int64_t)count % (int64_t)range;
	return (uint64_t)(rest < 0 ? rest + (int64_t)range : rest);
}

uint64_t rapl_perf_range(double max_energy_range_uj)
{
	double unit_nj = round(max_energy_range_uj * 1000 / UINT32_MAX);
	uint64_t counts = (uint64_t)(unit_nj * 4294967296.0 / 1e9);

	/* A unit of half a joule or more (the platform counter of Sapphire Rapids: 1 J) wraps in no one's life. */
	return counts >> 31 ? 0 : counts << 32;
}

static uint64_t domain_range(const struct rapl_zone *zone, int n, enum domain domain)
{
	while (n--)
		if (zone[n].domain == domain)
			return rapl_perf_range(zone[n].wrap);
	return 0;
}

/* An event as its files describe it: "event=0x02", "2.3283064365386962890625e-10", "Joules". */
static int event_describe(const struct meter_opts *opts, const char *name, struct rapl_event *ev)
{
	char text[64];
	double joule;
	int err;

	err = sysfs_text(text, sizeof(text), opts->sysfs, PMU "/events/%s", name);
	if (err)
		return err;
	if (sscanf(text, "event=%" SCNx64, &ev->config) != 1)
		return -EBADMSG;
	err = sysfs_text(text, sizeof(text), opts->sysfs, PMU "/events/%s.unit", name);
	if (err || strcmp(text, "Joules"))
		return err ? err : -EBADMSG;
	err = sysfs_text(text, sizeof(text), opts->sysfs, PMU "/events/%s.scale", name);
	if (err)
		return err;
	joule = strtod(text, NULL);
	if (!(joule > 0 && joule < 1))
		return -EBADMSG;
	ev->scale = joule * 1e6;
	return 0;
}

/* The package and die of each CPU that the PMU names; a CPU without a package is left out. */
static int read_cpus(const struct meter_opts *opts, struct rapl_event *at, int max)
{
	int cpu[CHANNEL_MAX], i, n, amd = rapl_is_amd(opts), len = 0;
	uint64_t id;
	char text[4096];

	if (sysfs_text(text, sizeof(text), opts->sysfs, PMU "/cpumask"))
		return 0;
	n = sysfs_cpulist(text, cpu, CHANNEL_MAX);
	for (i = 0; i < n && i < CHANNEL_MAX && len < max; i++) {
		if (sysfs_u64(&id, opts->sysfs, "devices/system/cpu/cpu%d/topology/physical_package_id", cpu[i]))
			continue;
		at[len].cpu = cpu[i];
		at[len].unit = (int)id;
		at[len].die = -1;
		if (!amd && !sysfs_u64(&id, opts->sysfs, "devices/system/cpu/cpu%d/topology/die_id", cpu[i]))
			at[len].die = (int)id;
		len++;
	}
	return len;
}

/* A die's number is part of the name only where a package has several, as in powercap. */
static void drop_lone_dies(struct rapl_event *at, int n)
{
	int i, j, several = 0;

	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++)
			several |= at[i].unit == at[j].unit && at[i].die != at[j].die;
	for (i = 0; i < n && !several; i++)
		at[i].die = -1;
}

static int is_planned(const struct rapl_event *ev, int n, const struct rapl_event *e)
{
	while (n--)
		if (ev[n].domain == e->domain && ev[n].unit == e->unit && ev[n].die == e->die)
			return 1;
	return 0;
}

struct tree {
	const struct meter_opts *opts;
	struct rapl_event at[CHANNEL_MAX]; /* only unit, die and cpu are set */
	struct rapl_zone  zone[CHANNEL_MAX];
	int               nat, nzone;
};

/* The platform register counts in one package only and stands at 0 in the others; powercap knows in which. */
static int platform_at(const struct tree *t)
{
	int i, z;

	for (z = 0; z < t->nzone; z++)
		for (i = 0; i < t->nat && t->zone[z].domain == DOMAIN_PLATFORM; i++)
			if (t->at[i].unit == t->zone[z].unit)
				return i;
	return 0;
}

/* Adds one event on each package or die that it counts for. */
static int plan_event(const struct tree *t, const struct rapl_event *what, struct rapl_event *ev, int n, int max)
{
	int only = what->domain == DOMAIN_PLATFORM ? platform_at(t) : -1, i;
	struct rapl_event e;

	for (i = 0; i < t->nat && n < max; i++) {
		e = *what;
		e.cpu = t->at[i].cpu;
		e.unit = t->at[i].unit;
		e.die = t->at[i].die;
		if (!is_planned(ev, n, &e) && (only < 0 || only == i))
			ev[n++] = e;
	}
	return n;
}

static int plan_events(const struct tree *t, uint32_t type, struct rapl_event *ev, int max, char *why, size_t size)
{
	int n = 0, err, amd = rapl_is_amd(t->opts);
	struct rapl_event what;
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (amd && events[i].domain != DOMAIN_PACKAGE)
			continue;
		memset(&what, 0, sizeof(what));
		what.domain = events[i].domain;
		what.type = type;
		err = event_describe(t->opts, events[i].name, &what);
		if (err && err != -ENOENT)
			why_add(why, size, "%s: %s", events[i].name, strerror(-err));
		if (err)
			continue;
		what.range = domain_range(t->zone, t->nzone, what.domain);
		n = plan_event(t, &what, ev, n, max);
	}
	return n;
}

int rapl_perf_plan(const struct meter_opts *opts, struct rapl_event *ev, int max, char *why, size_t size)
{
	struct tree t = { .opts = opts };
	char ignored[8] = "";
	uint64_t type;
	int n;

	if (sysfs_u64(&type, opts->sysfs, PMU "/type")) {
		why_add(why, size, "the kernel has no PMU 'power'");
		return -ENODEV;
	}
	t.nat = read_cpus(opts, t.at, CHANNEL_MAX);
	drop_lone_dies(t.at, t.nat);
	n = rapl_zones(opts, t.zone, CHANNEL_MAX, ignored, sizeof(ignored));
	t.nzone = n < 0 ? 0 : n;
	n = plan_events(&t, (uint32_t)type, ev, max, why, size);
	if (n)
		return n;
	why_add(why, size, "the PMU 'power' has no energy events: unknown CPU, or a guest");
	return -ENODEV;
}

static int event_open(const struct rapl_event *ev)
{
	struct perf_event_attr attr = { .type = ev->type, .size = sizeof(attr), .config = ev->config };
	long fd = syscall(SYS_perf_event_open, &attr, -1, ev->cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

int rapl_perf_start(struct collector *c, const struct rapl_event *ev, int n)
{
	struct rapl_perf *p = c->state;
	int i, fd, refused = 0;

	for (i = 0; i < n; i++) {
		fd = event_open(&ev[i]);
		if (fd < 0) {
			if (!refused)
				why_add(c->why, sizeof(c->why), "perf_event_open: %s%s", strerror(-fd),
					fd == -EACCES || fd == -EPERM ?
						": needs CAP_PERFMON or kernel.perf_event_paranoid <= 0" : "");
			refused = refused ? refused : fd;
			continue;
		}
		rapl_channel(&c->ch[c->nch], ev[i].domain, ev[i].unit, ev[i].die);
		c->ch[c->nch].scale = ev[i].scale;
		c->ch[c->nch].wrap = (double)ev[i].range;
		c->ch[c->nch].resolution = (double)ev[i].range / 4294967296.0 * ev[i].scale; /* see rapl_perf_range() */
		p->ev[c->nch] = ev[i];
		p->edge_fd[c->nch] = -1;
		p->fd[c->nch++] = fd;
	}
	return c->nch ? 0 : refused;
}

static int perf_open(struct collector *c)
{
	struct rapl_event ev[CHANNEL_MAX];
	struct statfs fs;
	int n = rapl_perf_plan(c->opts, ev, CHANNEL_MAX, c->why, sizeof(c->why));

	if (n < 0)
		return n;
	if (statfs(c->opts->sysfs, &fs) || fs.f_type != SYSFS_MAGIC) {
		why_add(c->why, sizeof(c->why), "'%s' is not the sysfs of the running kernel", c->opts->sysfs);
		return -ENODEV;
	}
	return rapl_perf_start(c, ev, n);
}

static int count_of(int fd, uint64_t *ret)
{
	return read(fd, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret) ? 0 : -EIO;
}

/* The register did not move between two readings of the one event: the other, read between them, saw the same. */
static int find_apart(struct rapl_perf *p, int ch)
{
	uint64_t before, edge, after;
	int i;

	for (i = 0; i < APART_READS; i++) {
		if (count_of(p->fd[ch], &before) || count_of(p->edge_fd[ch], &edge) || count_of(p->fd[ch], &after))
			return -EIO;
		p->apart[ch] = before + (after - before) / 2 - edge;
		if (before == after)
			break;
	}
	return 0;
}

static int perf_read(struct collector *c, struct raw *val)
{
	struct rapl_perf *p = c->state;
	int i, again = p->reads++ % APART_EACH == 0;
	uint64_t count;

	for (i = 0; i < c->nch; i++) {
		val[i].valid = !count_of(p->fd[i], &count);
		if (val[i].valid)
			val[i].value = rapl_perf_raw(count, p->ev[i].range);
		if (again && p->edge_fd[i] >= 0)
			(void)find_apart(p, i);
	}
	return 0;
}

static int perf_edge_fd(struct collector *c, int ch)
{
	struct rapl_perf *p = c->state;
	int err;

	if (p->ev[ch].die >= 0) /* kernels let any CPU of the package read it, also those of another die */
		return -ENOTSUP;
	if (p->edge_fd[ch] < 0)
		p->edge_fd[ch] = event_open(&p->ev[ch]);
	if (p->edge_fd[ch] < 0)
		return p->edge_fd[ch];
	err = find_apart(p, ch);
	return err ? err : p->edge_fd[ch];
}

static void perf_edge_raw(struct collector *c, int ch, uint64_t count, struct raw *ret)
{
	const struct rapl_perf *p = c->state;

	*ret = (struct raw){ .value = rapl_perf_raw(count + p->apart[ch], p->ev[ch].range), .valid = 1 };
}

static void perf_close(struct collector *c)
{
	struct rapl_perf *p = c->state;

	while (c->nch) {
		close(p->fd[--c->nch]);
		if (p->edge_fd[c->nch] >= 0)
			close(p->edge_fd[c->nch]);
	}
}

const struct collector_ops rapl_perf_collector = {
	.name       = "rapl_perf",
	.doc        = "RAPL counters of CPU packages, DRAM and platform, from the kernel's PMU 'power'",
	.state_size = sizeof(struct rapl_perf),
	.open       = perf_open,
	.read       = perf_read,
	.edge_fd    = perf_edge_fd,
	.edge_raw   = perf_edge_raw,
	.close      = perf_close,
};
