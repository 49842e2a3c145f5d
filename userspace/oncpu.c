// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/oncpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/host.h"

/* Of CPUs that have not run yet: one that was offline had no package. */
static void find_packages(struct oncpu *o)
{
	int i;

	for (i = 0; i < o->n; i++)
		if (!o->cpu[i].last_ns)
			o->unit[i] = host_package(i);
}

int oncpu_init(struct oncpu *o, int n)
{
	memset(o, 0, sizeof(*o));
	online_init(&o->online, open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC));
	o->cpu = calloc((size_t)n, sizeof(*o->cpu));
	o->unit = calloc((size_t)n, sizeof(*o->unit));
	if (!o->cpu || !o->unit)
		return -ENOMEM;
	o->n = n;
	find_packages(o);
	return 0;
}

void oncpu_release(struct oncpu *o)
{
	free(o->cpu);
	free(o->unit);
	online_release(&o->online);
}

int oncpu_is_torn(const struct oncpu *o)
{
	int i, torn = 0;

	for (i = 0; i < o->n; i++)
		torn |= o->cpu[i].begin != o->cpu[i].end;
	return torn;
}

static int group_of(struct activity *a, int32_t unit)
{
	uint32_t g;

	for (g = 0; g < a->ngroup && a->group[g].unit != unit; g++)
		;
	if (g == GROUP_MAX)
		return GROUP_MAX - 1;
	if (g == a->ngroup) {
		memset(&a->group[g], 0, sizeof(a->group[g]));
		a->group[g].unit = unit;
		a->ngroup++;
	}
	return (int)g;
}

static void never_back(uint64_t *now, uint64_t *last)
{
	if (*now < *last)
		*now = *last;
	*last = *now;
}

static uint64_t running_ns(const struct oncpu *o, int cpu, uint64_t now)
{
	const struct ev_cpu *c = &o->cpu[cpu];

	return c->busy && c->last_ns && now > c->last_ns && online_has(&o->online, cpu) ? now - c->last_ns : 0;
}

void oncpu_sum(struct oncpu *o, uint64_t t_ns, struct activity *ret)
{
	const struct ev_cpu *c;
	uint64_t running;
	int i, g, k, s;

	if (online_look(&o->online)) {
		find_packages(o);
		o->changes++;
	}
	ret->t_ns = t_ns;
	ret->ngroup = 0;
	for (i = 0; i < o->n; i++) {
		c = &o->cpu[i];
		g = group_of(ret, o->unit[i]);
		running = running_ns(o, i, t_ns);
		ret->group[g].busy_ns += c->busy_ns + running;
		for (s = 1; s < EV_SLOTS; s++)
			ret->group[g].slot_ns[s] += c->slot_ns[s];
		ret->group[g].slot_ns[c->slot & (EV_SLOTS - 1)] += running;
	}
	for (g = 0; g < (int)ret->ngroup; g++) {
		k = group_of(&o->last, ret->group[g].unit);
		never_back(&ret->group[g].busy_ns, &o->last.group[k].busy_ns);
		for (s = 0; s < EV_SLOTS; s++)
			never_back(&ret->group[g].slot_ns[s], &o->last.group[k].slot_ns[s]);
	}
}

uint32_t oncpu_groups(const struct oncpu *o, uint8_t *to)
{
	struct activity a = { .ngroup = 0 };
	int i;

	for (i = 0; i < o->n; i++)
		to[i] = (uint8_t)group_of(&a, o->unit[i]) | (online_has(&o->online, i) ? 0 : EV_CPU_OFFLINE);
	return a.ngroup;
}
