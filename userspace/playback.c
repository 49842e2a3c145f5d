// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/playback.h"

#include <string.h>

static void on_wire(void *ctx, const struct wire_ev *e)
{
	pipeline_wire(ctx, e);
}

static void on_activity(void *ctx, const struct activity *a)
{
	pipeline_activity(ctx, a);
}

static void on_edge(void *ctx, const struct activity *a)
{
	pipeline_edge(ctx, a);
}

static void on_sample(void *ctx, const struct sample *m)
{
	pipeline_sample(ctx, m);
}

static void on_gpu(void *ctx, const struct gpu_share *g)
{
	pipeline_gpu(ctx, g);
}

static void on_unread(void *ctx, const struct wire_unread *u)
{
	pipeline_unread(ctx, u);
}

static void on_step(void *ctx, const struct step *s)
{
	pipeline_step(ctx, s);
}

static void on_hole(void *ctx)
{
	struct pipeline *p = ctx;

	pipeline_lost(p, p->timeline.last.t_ns);
}

static const struct replay_ops ops = {
	.wire = on_wire, .activity = on_activity, .edge = on_edge, .sample = on_sample, .gpu = on_gpu,
	.unread = on_unread, .step = on_step, .hole = on_hole,
};

int playback(struct replay *r, int by_tokens, const struct idle *idle, const struct sink *sink, int nsink,
	     struct idle *ret_floor)
{
	struct pipeline p;
	int err = pipeline_init(&p, &r->run, r->meters, r->nmeter, idle, sink, nsink);

	p.attrib.by_tokens = by_tokens;
	if (!err) {
		replay_play(r, &ops, &p);
		err = pipeline_close(&p, &r->end);
		memcpy(ret_floor, p.attrib.idle, (size_t)r->nmeter * sizeof(*ret_floor));
	}
	pipeline_release(&p);
	return err;
}
