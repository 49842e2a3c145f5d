// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/edges.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "userspace/opts.h"

int edges_find(struct edges *e, struct sampler *sampler, const struct meter *meters, int nmeter)
{
	int i, fd, n = 0, err = -ENOTSUP;

	for (i = 0; i < EV_GROUPS * EV_EDGE_METERS; i++)
		e->channel[i] = CHANNEL_NONE;
	e->sampler = sampler;
	e->room = EDGES_BURST * EDGES_LOOKS;
	for (i = 0; i < nmeter; i++) {
		fd = meters[i].ch.unit >= 0 ? sampler_edge_fd(sampler, i) : -ENOTSUP;
		n += fd >= 0;
		err = fd < 0 && fd != -ENOTSUP ? fd : err;
	}
	if (!n)
		snprintf(e->why, sizeof(e->why), "%s",
			 err == -ENOTSUP ? "no meter here can be read in a probe" : strerror(-err));
	return n ? 0 : -ENODEV;
}

void edges_attach(struct edges *e, struct live *live, const struct meter *meters, int nmeter)
{
	int i, fd, place;

	if (!e->why[0])
		snprintf(e->why, sizeof(e->why), "%s", live_edges_why(live));
	for (i = 0; i < nmeter && !e->why[0]; i++) {
		fd = meters[i].ch.unit >= 0 ? sampler_edge_fd(e->sampler, i) : -ENOTSUP;
		if (fd < 0)
			continue;
		place = live_edge_meter(live, fd, meters[i].ch.unit);
		if (place < 0) {
			snprintf(e->why, sizeof(e->why), "%s: %s", meters[i].ch.name, strerror(-place));
			continue;
		}
		e->channel[place] = i;
		e->n++;
	}
}

void edges_say(const struct edges *e, const struct live *live)
{
	if (!e->n)
		return;
	say("%" PRIu64 " edges: meters read %" PRIu64 " times, refused %" PRIu64 "; of no use: %" PRIu64 " just "
	    "before a look, %" PRIu64 " late, %" PRIu64 " too many, %" PRIu64 " while a CPU switched, %" PRIu64
	    " within a phase", e->used, e->read, e->refused, e->near, e->late, e->many, live_edges_torn(live),
	    e->idle);
}

/* --- in the order of time ----------------------------------------------------------------------------------------- */

/* CPUs are read one after the other: what one look had a few microseconds too much of, the next has not too little. */
static void never_back(struct activity *a, const struct activity *last)
{
	uint32_t g;
	int s;

	for (g = 0; g < a->ngroup && g < last->ngroup; g++) {
		if (a->group[g].busy_ns < last->group[g].busy_ns)
			a->group[g].busy_ns = last->group[g].busy_ns;
		for (s = 0; s < EV_SLOTS; s++)
			if (a->group[g].slot_ns[s] < last->group[g].slot_ns[s])
				a->group[g].slot_ns[s] = last->group[g].slot_ns[s];
	}
}

void edges_look(struct edges *e, const struct activity *a)
{
	edges_flush(e);
	e->look = *a;
	e->nsample = e->given = 0;
	e->room += e->room < EDGES_BURST * EDGES_LOOKS;
}

void edges_sample(struct edges *e, const struct sample *m)
{
	if (e->nsample < CHANNEL_MAX)
		e->sample[e->nsample++] = *m;
}

static void give_until(struct edges *e, uint64_t t_ns)
{
	if (e->look.t_ns > t_ns)
		return;
	if (e->look.t_ns) {
		never_back(&e->look, &e->pipeline->timeline.last);
		pipeline_activity(e->pipeline, &e->look);
	}
	e->look.t_ns = 0;
	for (; e->given < e->nsample && e->sample[e->given].t_ns <= t_ns; e->given++)
		pipeline_sample(e->pipeline, &e->sample[e->given]);
}

void edges_flush(struct edges *e)
{
	give_until(e, UINT64_MAX);
	e->nsample = e->given = 0; /* more may come without a look: at the end of a run */
}

/* --- edges -------------------------------------------------------------------------------------------------------- */

static void take_meters(struct edges *e, const struct ev_edge *ev)
{
	const struct timeline *tl = &e->pipeline->timeline;
	struct sample m;
	int k, ch;

	for (k = 0; k < EV_EDGE_METERS; k++) {
		ch = e->channel[ev->group % EV_GROUPS * EV_EDGE_METERS + (uint32_t)k];
		if (ch == CHANNEL_NONE)
			continue;
		if (!(ev->read >> k & 1) || sampler_edge(e->sampler, ch, ev->count[k], ev->h.ts_ns, &m) ||
		    m.t_ns <= tl->ch[ch].t_ns || m.energy_uj < tl->ch[ch].energy_uj) {
			e->refused++;
			continue;
		}
		e->read++;
		pipeline_sample(e->pipeline, &m);
	}
}

/* More CPU time than at the look after it, and by more than the reading of the CPUs takes: a record that was spoilt. */
static int is_spoilt(const struct edges *e, const struct ev_edge *ev)
{
	uint32_t g;

	for (g = 0; g < ev->ngroup && e->look.t_ns; g++)
		if (ev->cpu[g].busy_ns > e->look.group[g].busy_ns + EDGES_APART_NS)
			return 1;
	return 0;
}

static void take_edge(struct edges *e, const struct ev_edge *ev)
{
	const struct activity *last = &e->pipeline->timeline.last;
	struct activity a = { .t_ns = ev->h.ts_ns, .ngroup = ev->ngroup };
	uint32_t g;

	if (e->phases == e->pipeline->phases)
		e->idle++;
	else if (ev->h.ts_ns <= last->t_ns || ev->ngroup != last->ngroup || is_spoilt(e, ev))
		e->late++;
	else if (e->look.t_ns && e->look.t_ns - ev->h.ts_ns < EDGES_APART_NS)
		e->near++;
	else if (e->room < EDGES_LOOKS)
		e->many++;
	else {
		for (g = 0; g < ev->ngroup; g++) {
			a.group[g].unit = last->group[g].unit;
			a.group[g].busy_ns = ev->cpu[g].busy_ns;
			memcpy(a.group[g].slot_ns, ev->cpu[g].slot_ns, sizeof(a.group[g].slot_ns));
		}
		never_back(&a, last);
		pipeline_edge(e->pipeline, &a);
		take_meters(e, ev);
		e->room -= EDGES_LOOKS;
		e->used++;
	}
	e->phases = e->pipeline->phases;
}

void edges_event(struct edges *e, const struct ev_hdr *ev)
{
	const struct ev_edge *edge = (const struct ev_edge *)ev;

	give_until(e, ev->ts_ns);
	if (ev->type == EV_EDGE && edge->ngroup <= EV_GROUPS &&
	    ev->size >= offsetof(struct ev_edge, cpu) + edge->ngroup * sizeof(edge->cpu[0]))
		take_edge(e, edge);
}
