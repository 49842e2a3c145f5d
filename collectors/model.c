// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A model, for machines without a meter: power is idle watts plus so many watts for each busy CPU, busy as /proc/stat
 * counts it. It knows nothing of clocks, instructions, memory or accelerators, and is marked as estimated wherever it
 * shows. Unlike other collectors it has to do its own arithmetic: what it reports is the counter of a meter that is not
 * there.
 */
#include "collectors/collector.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/model_table.h"
#include "collectors/sysfs.h"
#include "collectors/why.h"

#define MODEL_PERIOD_US 100000 /* ten ticks of /proc/stat */

struct model {
	int      fd;             /* of /proc/stat; open once c->nch is set */
	double   idle_w, busy_w; /* with nothing running; added by one busy CPU */
	double   energy_uj;
	double   tick_ns;
	uint64_t t_ns, busy;     /* ticks */
	unsigned ncpu;
};

/* CPU time spent on work since boot, in ticks. Guests are in user and nice already; iowait and steal are no work. */
static int parse_busy(const char *line, uint64_t *ret)
{
	static const char works[] = { 1, 1, 1, 0, 0, 1, 1 }; /* user, nice, system, idle, iowait, irq, softirq */
	const char *p = line + 3;
	uint64_t sum = 0, v;
	char *end;
	size_t i;

	for (i = 0; i < sizeof(works) && !strncmp(line, "cpu ", 4); i++, p = end) {
		v = strtoull(p, &end, 10);
		if (end == p)
			break;
		sum += works[i] ? v : 0;
	}
	if (i < sizeof(works))
		return -EBADMSG;
	*ret = sum;
	return 0;
}

/* The first line has the sum of all; those of the CPUs follow. False: this is none of them. */
static int take_line(const char *line, uint64_t *busy, unsigned *ncpu, int *err)
{
	if (*err)
		*err = parse_busy(line, busy);
	else
		*ncpu += !!isdigit((unsigned char)line[3]);
	return !*err && !strncmp(line, "cpu", 3);
}

/* The file stays open, and is read without stdio, which would read what it has once more. */
static int read_stat(int fd, uint64_t *ret_busy, unsigned *ret_ncpu)
{
	char buf[2048], *line, *end;
	unsigned ncpu = 0;
	uint64_t busy = 0;
	size_t n = 0;
	off_t at = 0;
	ssize_t got;
	int err = -EBADMSG, more = 1;

	while (more && (got = pread(fd, buf + n, sizeof(buf) - n, at)) > 0) {
		at += got;
		n += (size_t)got;
		for (line = buf; more && (end = memchr(line, '\n', n)); line = end + 1) {
			*end = 0;
			more = take_line(line, &busy, &ncpu, &err);
			n -= (size_t)(end + 1 - line);
		}
		memmove(buf, line, n);
	}
	if (!err && !ncpu)
		err = -EBADMSG;
	if (err)
		return err;
	*ret_busy = busy;
	*ret_ncpu = ncpu;
	return 0;
}

static long cpu_number(const char *procfs, const char *key)
{
	char text[64];

	return cpuinfo_get(procfs, key, text, sizeof(text)) ? 0 : strtol(text, NULL, 0);
}

/* Index in uarchs[], or UARCH_COUNT. */
static enum uarch find_uarch(const char *procfs)
{
	long family = cpu_number(procfs, "cpu family"), stepping = cpu_number(procfs, "stepping"), model;
	const char *model_key = "model";
	char vendor[32];
	size_t i;

	if (cpuinfo_get(procfs, "vendor_id", vendor, sizeof(vendor))) {
		if (cpuinfo_get(procfs, "CPU implementer", vendor, sizeof(vendor)))
			return UARCH_COUNT;
		model_key = "CPU part";
	}
	model = cpu_number(procfs, model_key);
	for (i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
		if (!strcmp(cpus[i].vendor, vendor) && cpus[i].family == family && cpus[i].model_lo <= model &&
		    model <= cpus[i].model_hi && cpus[i].stepping_lo <= stepping && stepping <= cpus[i].stepping_hi)
			return cpus[i].uarch;
	return UARCH_COUNT;
}

/* Watts of one thread; of a CPU that is not in the table the mean of its rows. */
static void thread_watts(enum uarch u, double *ret_idle, double *ret_max)
{
	int i;

	*ret_idle = *ret_max = 0;
	if (u != UARCH_COUNT) {
		*ret_idle = uarchs[u].idle_w;
		*ret_max = uarchs[u].max_w;
		return;
	}
	for (i = 0; i < UARCH_COUNT; i++) {
		*ret_idle += uarchs[i].idle_w / UARCH_COUNT;
		*ret_max += uarchs[i].max_w / UARCH_COUNT;
	}
}

static int find_watts(struct collector *c, double *ret_idle, double *ret_max)
{
	enum uarch u = find_uarch(c->opts->procfs);
	struct model *m = c->state;

	thread_watts(u, ret_idle, ret_max);
	*ret_idle *= m->ncpu;
	*ret_max *= m->ncpu;
	if (c->opts->model_idle_w >= 0)
		*ret_idle = c->opts->model_idle_w;
	if (c->opts->model_max_w >= 0)
		*ret_max = c->opts->model_max_w;
	if (c->opts->model_idle_w >= 0 && c->opts->model_max_w >= 0)
		why_add(c->why, sizeof(c->why), "estimated: %.1f W idle, %.1f W at most, as given", *ret_idle,
			*ret_max);
	else
		why_add(c->why, sizeof(c->why), "estimated: %.1f W idle, %.1f W at most; %s", *ret_idle, *ret_max,
			u == UARCH_COUNT ? "unknown CPU: average of the table" : uarchs[u].name);
	if (*ret_idle <= *ret_max)
		return 0;
	why_add(c->why, sizeof(c->why), "idle must not be more than the most");
	return -EINVAL;
}

static int model_open(struct collector *c)
{
	struct channel *ch = &c->ch[0];
	struct model *m = c->state;
	double idle, max;
	int err;

	m->fd = sysfs_open(c->opts->procfs, "stat");
	err = m->fd < 0 ? m->fd : read_stat(m->fd, &m->busy, &m->ncpu);
	if (err) {
		why_add(c->why, sizeof(c->why), "%s/stat: %s", c->opts->procfs, strerror(-err));
		err = err == -ENOENT ? -ENODEV : err;
		goto out;
	}
	err = find_watts(c, &idle, &max);
	if (err)
		goto out;
	m->t_ns = c->now_ns();
	m->tick_ns = 1e9 / (double)sysconf(_SC_CLK_TCK);
	m->idle_w = idle;
	m->busy_w = (max - idle) / m->ncpu;
	snprintf(ch->name, sizeof(ch->name), "package_estimated");
	(void)cpuinfo_get(c->opts->procfs, "model name", ch->device, sizeof(ch->device));
	printable(ch->device);
	ch->domain = DOMAIN_PACKAGE;
	ch->scale = 1;
	ch->period_us = MODEL_PERIOD_US;
	ch->made_when_read = 1;
	ch->unit = -1;
	ch->idle_w = idle;
	ch->estimated = 1;
	c->nch = 1;
out:
	if (err && m->fd >= 0)
		close(m->fd);
	return err;
}

/*
 * How long CPUs were busy in dt_ns. The total goes on counting what an offline CPU did, but in a container (lxcfs) it
 * may be the sum of the lines that are there, and then it falls and leaps as CPUs go and come: it is held between
 * nothing and all that the CPUs can do, with two ticks' grace for each, since a tick is counted as a whole.
 */
static double busy_ns(const struct model *m, uint64_t busy, unsigned ncpu, double dt_ns)
{
	double ns = busy > m->busy ? (double)(busy - m->busy) * m->tick_ns : 0;
	double most = (dt_ns + 2 * m->tick_ns) * (ncpu > m->ncpu ? ncpu : m->ncpu);

	return ns < most ? ns : most;
}

static int model_read(struct collector *c, struct raw *val)
{
	struct model *m = c->state;
	uint64_t busy, now;
	unsigned ncpu;
	double dt_ns;
	int err = read_stat(m->fd, &busy, &ncpu);

	if (err)
		return err;
	now = c->now_ns();
	dt_ns = (double)(now - m->t_ns);
	m->energy_uj += (m->idle_w * dt_ns + m->busy_w * busy_ns(m, busy, ncpu, dt_ns)) * 1e-3;
	m->t_ns = now;
	m->busy = busy;
	m->ncpu = ncpu;
	val[0].value = (uint64_t)m->energy_uj;
	val[0].valid = 1;
	return 0;
}

static void model_close(struct collector *c)
{
	struct model *m = c->state;

	if (c->nch)
		close(m->fd);
	c->nch = 0;
}

const struct collector_ops model_collector = {
	.name       = "model",
	.doc        = "no meter: an estimate from CPU time and the watts of servers with such a CPU (--power-model)",
	.state_size = sizeof(struct model),
	.open       = model_open,
	.read       = model_read,
	.close      = model_close,
};
