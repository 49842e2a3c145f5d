// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "userspace/http.h"
#include "userspace/sink/recording.h"
#include "userspace/util/str.h"

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static int block_at(const struct replay *r, size_t at, struct rec_block *ret)
{
	if (r->size - at < sizeof(*ret))
		return 0;
	memcpy(ret, r->data + at, sizeof(*ret));
	if (ret->magic != REC_BLOCK_MAGIC || !ret->len || ret->len > REC_BLOCK_MAX ||
	    ret->len > r->size - at - sizeof(*ret))
		return 0;
	return (uint32_t)crc32(ret->seq, (const Bytef *)r->data + at + sizeof(*ret), ret->len) == ret->crc;
}

/* The next whole block: its records and their length; 0 at the end. *ret_hole: something is missing before it. */
static size_t block_next(struct replay *r, const char **ret, int *ret_hole)
{
	struct rec_block b;
	size_t from = r->at;

	while (r->at < r->size && !block_at(r, r->at, &b))
		r->at++;
	*ret_hole = r->at != from;
	if (r->at > from) {
		r->bad_blocks++;
		r->bad_bytes += r->at - from;
	}
	if (r->at >= r->size)
		return 0;
	*ret_hole |= b.seq != r->next_seq;
	r->next_seq = b.seq + 1;
	*ret = r->data + r->at + sizeof(b);
	r->at += sizeof(b) + b.len;
	return b.len;
}

static void rewind_(struct replay *r)
{
	r->at = sizeof(struct rec_file);
	r->next_seq = 0;
	r->bad_blocks = r->bad_bytes = r->bad_records = 0;
}

/* The next record of a block: 8-aligned in `buf`, which holds the largest. NULL: no more. */
static const struct rec *rec_next(struct replay *r, const char **p, const char *end, void *buf)
{
	struct rec h;

	if ((size_t)(end - *p) < sizeof(h))
		return NULL;
	memcpy(&h, *p, sizeof(h));
	if (h.len < sizeof(h) || h.len % 8 || h.len > end - *p) {
		r->bad_records++;
		return NULL;
	}
	memcpy(buf, *p, h.len);
	*p += h.len;
	return buf;
}

/* --- what the run was --------------------------------------------------------------------------------------------- */

#define CLEAN(to, from) str_clean(to, sizeof(to), from, strnlen(from, sizeof(from)))

static void take_run(struct replay *r, const struct rec_run *m)
{
	r->run.start_ns = m->start_ns;
	r->run.wall_offset_ns = m->wall_offset_ns;
	r->run.interval_ms = m->interval_ms;
	r->run.nslot = m->r.n < EV_SLOTS ? m->r.n : EV_SLOTS - 1;
	r->nmeter = m->nmeter < CHANNEL_MAX ? (int)m->nmeter : CHANNEL_MAX;
	CLEAN(r->run.version, m->version);
	CLEAN(r->run.hardware, m->hardware);
	CLEAN(r->run.kernel, m->kernel);
	CLEAN(r->run.net, m->net);
}

static void take_target(struct replay *r, const struct rec_target *t)
{
	if (t->r.n < 1 || t->r.n >= EV_SLOTS)
		return;
	r->run.target[t->r.n].pid = t->pid;
	CLEAN(r->run.target[t->r.n].comm, t->comm);
}

static void take_meter(struct replay *r, const struct rec_meter *m)
{
	uint32_t i = m->r.n;
	struct meter *to;

	if (i >= (uint32_t)r->nmeter) {
		r->bad_records++;
		return;
	}
	to = &r->meters[i];
	to->ch.domain = m->domain < DOMAIN_COUNT ? (enum domain)m->domain : DOMAIN_PLATFORM;
	to->ch.reading = m->reading == READING_POWER ? READING_POWER : READING_ENERGY;
	to->ch.estimated = !!m->estimated;
	to->ch.unit = m->unit;
	to->ch.accuracy = m->accuracy_ppm <= 1000000 ? m->accuracy_ppm * 1e-6 : 0;
	to->period_us = m->period_us;
	to->parent = m->parent >= 0 && m->parent < r->nmeter ? m->parent : CHANNEL_NONE;
	CLEAN(to->ch.name, m->name);
	CLEAN(to->ch.device, m->device);
	CLEAN(r->source[i], m->source);
	to->source = r->source[i];
	r->idle[i].source = m->idle_source <= IDLE_NONE ? (enum idle_source)m->idle_source : IDLE_UNKNOWN;
	r->idle[i].w = m->idle_w;
}

static void take_end(struct replay *r, const struct rec_end *e)
{
	int i;

	r->end = (struct run_end){ .end_ns = e->end_ns, .lost_events = e->lost_events, .evicted = e->evicted,
				   .tracer_cpu_s = isfinite(e->tracer_cpu_s) ? e->tracer_cpu_s : NAN };
	for (i = 1; i <= HTTP_PIPELINED && e->r.len >= offsetof(struct rec_end, steps_off_ns); i++) {
		r->end.unread[i].why = http_why((enum http_opaque)i);
		r->end.unread[i].n = e->unread[i];
	}
	if (e->r.len >= sizeof(*e) && isfinite(e->steps_rate) && isfinite(e->steps_hit_ns)) {
		r->end.steps_off_ns = e->steps_off_ns;
		r->end.steps_rate = e->steps_rate;
		r->end.steps_hit_ns = e->steps_hit_ns;
	}
	r->ended = 1;
}

static void take_facts(struct replay *r, const struct rec *h)
{
	uint64_t t_ns;

	if (h->type == REC_RUN && h->len >= sizeof(struct rec_run)) {
		take_run(r, (const void *)h);
	} else if (h->type == REC_TARGET && h->len >= sizeof(struct rec_target)) {
		take_target(r, (const void *)h);
	} else if (h->type == REC_METER && h->len >= sizeof(struct rec_meter)) {
		take_meter(r, (const void *)h);
	} else if (h->type == REC_END && h->len >= offsetof(struct rec_end, unread)) {
		take_end(r, (const void *)h);
	} else if (h->type == REC_ACTIVITY && h->len >= sizeof(struct rec_activity) && !r->ended) {
		t_ns = ((const struct rec_activity *)h)->t_ns;
		if (t_ns > r->end.end_ns)
			r->end.end_ns = t_ns;
	}
}

/* --- what happened ------------------------------------------------------------------------------------------------ */

static int play_activity(struct replay *r, const struct rec_activity *a, const struct replay_ops *ops, void *ctx)
{
	struct activity to = { .t_ns = a->t_ns, .ngroup = a->r.n };
	uint32_t per = 2 + r->run.nslot, g, i;

	if (a->r.n > GROUP_MAX || a->r.len < sizeof(*a) + a->r.n * per * sizeof(uint64_t))
		return -EINVAL;
	for (g = 0; g < a->r.n; g++) {
		to.group[g].unit = (int32_t)(int64_t)a->val[g * per];
		to.group[g].busy_ns = a->val[g * per + 1];
		for (i = 1; i <= r->run.nslot; i++)
			to.group[g].slot_ns[i] = a->val[g * per + 1 + i];
	}
	(a->r.type == REC_EDGE ? ops->edge : ops->activity)(ctx, &to);
	return 0;
}

static int play_sample(const struct rec_sample *m, const struct replay_ops *ops, void *ctx)
{
	struct sample to = { .t_ns = m->t_ns, .energy_uj = m->energy_uj, .channel = (uint16_t)m->r.n,
			     .flags = (uint16_t)(m->r.n >> 16) };

	if (m->r.len < sizeof(*m) || !isfinite(m->energy_uj) || fabs(m->energy_uj) > 1e18)
		return -EINVAL;
	ops->sample(ctx, &to);
	return 0;
}

static int play_gpu(struct replay *r, const struct rec_gpu *g, const struct replay_ops *ops, void *ctx)
{
	struct gpu_share to = { .t_ns = g->t_ns, .channel = g->r.n & 0xffff, .known = g->r.n >> 16 & 1 };
	uint32_t i;

	if (g->r.len < sizeof(*g) + r->run.nslot * sizeof(double))
		return -EINVAL;
	for (i = 1; i <= r->run.nslot; i++) {
		if (!(g->slot[i - 1] >= 0 && g->slot[i - 1] <= 1))
			return -EINVAL;
		to.slot[i] = g->slot[i - 1];
	}
	ops->gpu(ctx, &to);
	return 0;
}

static int play_open(struct replay *r, const struct rec_open *o, const struct replay_ops *ops, void *ctx)
{
	struct wire_open to = { .start_ns = o->start_ns, .pid = o->pid, .slot = o->r.n };
	struct wire_ev e = { .ts_ns = o->ts_ns, .query = o->query, .kind = WIRE_OPEN, .open = &to };

	if (o->r.len < sizeof(*o) || !o->query || o->r.n < 1 || o->r.n > r->run.nslot)
		return -EINVAL;
	CLEAN(to.dialect, o->dialect);
	CLEAN(to.path, o->path);
	CLEAN(to.client, o->client);
	CLEAN(to.server, o->server);
	CLEAN(to.request_id, o->request_id);
	CLEAN(to.trace_id, o->trace_id);
	ops->wire(ctx, &e);
	return 0;
}

static int64_t count_or_unknown(int64_t v)
{
	return v >= 0 && v < (int64_t)1e15 ? v : -1;
}

static int play_unread(struct replay *r, const struct rec_unread *u, const struct replay_ops *ops, void *ctx)
{
	struct wire_unread to = { .start_ns = u->start_ns, .end_ns = u->end_ns, .pid = u->pid,
				  .slot = u->r.n, .why = u->why };

	if (u->r.len < sizeof(*u) || u->r.n > r->run.nslot || !u->why || u->why > HTTP_PIPELINED)
		return -EINVAL;
	to.in = count_or_unknown(u->in);
	to.out = count_or_unknown(u->out);
	CLEAN(to.client, u->client);
	CLEAN(to.server, u->server);
	ops->unread(ctx, &to);
	return 0;
}

static int play_step(struct replay *r, const struct rec_step *p, const struct replay_ops *ops, void *ctx)
{
	struct step to = { .begin_ns = p->begin_ns, .end_ns = p->end_ns, .slot = p->r.n, .pid = p->pid,
			   .tokens = p->tokens };

	if (p->r.len < offsetof(struct rec_step, batch) || p->r.n < 1 || p->r.n > r->run.nslot || !p->begin_ns ||
	    p->end_ns < p->begin_ns || p->tokens < -1)
		return -EINVAL;
	to.batch = p->r.len >= sizeof(*p) ? p->batch : 0;
	ops->step(ctx, &to);
	return 0;
}

static int play_wire(const struct rec_wire *w, const struct replay_ops *ops, void *ctx)
{
	size_t tail = w->r.len - offsetof(struct rec_wire, usage);
	struct wire_ev e = { .kind = (uint32_t)w->r.type - REC_WIRE, .n = w->r.n };
	int named = e.kind == WIRE_MODEL || e.kind == WIRE_DIALECT || e.kind == WIRE_TASK;
	char model[128];

	if (w->r.len < offsetof(struct rec_wire, usage) || !w->ts_ns) /* a time of 0 means that there is none */
		return -EINVAL;
	e.ts_ns = w->ts_ns;
	e.query = w->query;
	if ((e.kind == WIRE_USAGE && tail < sizeof(w->usage)) || (named && tail < sizeof(w->model)) ||
	    ((e.kind == WIRE_RESPONSE || e.kind == WIRE_OVER || e.kind == WIRE_HOP) && tail < sizeof(int64_t)))
		return -EINVAL;
	if (e.kind == WIRE_USAGE) {
		e.usage.prompt = count_or_unknown(w->usage[0]);
		e.usage.cached = count_or_unknown(w->usage[1]);
		e.usage.completion = count_or_unknown(w->usage[2]);
	} else if (e.kind == WIRE_RESPONSE) {
		e.stream = w->stream == WIRE_WHOLE || w->stream == WIRE_STREAMED ? (int32_t)w->stream :
			   WIRE_STREAM_UNKNOWN;
	} else if (e.kind == WIRE_OVER) {
		e.end_ns = w->end_ns;
	} else if (e.kind == WIRE_HOP) {
		e.parent = w->parent;
	} else if (named) {
		CLEAN(model, w->model);
		e.str = model;
	}
	ops->wire(ctx, &e);
	return 0;
}

static int play(struct replay *r, const struct rec *h, const struct replay_ops *ops, void *ctx)
{
	switch (h->type) {
	case REC_ACTIVITY:
	case REC_EDGE:
		return h->len < sizeof(struct rec_activity) ? -EINVAL : play_activity(r, (const void *)h, ops, ctx);
	case REC_SAMPLE:
		return play_sample((const void *)h, ops, ctx);
	case REC_GPU:
		return play_gpu(r, (const void *)h, ops, ctx);
	case REC_OPEN:
		return play_open(r, (const void *)h, ops, ctx);
	case REC_UNREAD:
		return play_unread(r, (const void *)h, ops, ctx);
	case REC_STEP:
		return play_step(r, (const void *)h, ops, ctx);
	default:
		if (h->type > REC_WIRE + WIRE_OPEN && h->type <= REC_WIRE + WIRE_TASK)
			return play_wire((const void *)h, ops, ctx);
		return 0; /* facts, and what later versions add */
	}
}

void replay_play(struct replay *r, const struct replay_ops *ops, void *ctx)
{
	static _Alignas(8) char buf[UINT16_MAX + 1];
	const struct rec *h;
	const char *p = NULL;
	size_t n;
	int hole;

	for (rewind_(r); (n = block_next(r, &p, &hole)) || hole; ) {
		const char *end = p + n;

		if (hole)
			ops->hole(ctx);
		if (!n)
			break;
		while ((h = rec_next(r, &p, end, buf)))
			if (play(r, h, ops, ctx))
				r->bad_records++;
	}
}

/* --- open and close ----------------------------------------------------------------------------------------------- */

int replay_open_mem(struct replay *r, const char *data, size_t size)
{
	static _Alignas(8) char buf[UINT16_MAX + 1];
	struct rec_file f;
	const struct rec *h;
	const char *p = NULL;
	int hole, i;
	size_t n;

	*r = (struct replay){ .data = data, .size = size };
	if (size < sizeof(f) || memcmp(data, REC_MAGIC, sizeof(f.magic)))
		return -ENOEXEC;
	memcpy(&f, data, sizeof(f));
	if (f.version != REC_VERSION || f.endian != REC_ENDIAN)
		return -EPROTONOSUPPORT;
	for (i = 0; i < CHANNEL_MAX; i++)
		r->meters[i] = (struct meter){ .parent = CHANNEL_NONE, .source = r->source[i] };
	r->end.tracer_cpu_s = NAN;
	for (rewind_(r); (n = block_next(r, &p, &hole)); ) {
		const char *end = p + n;

		while ((h = rec_next(r, &p, end, buf)))
			take_facts(r, h);
	}
	return r->run.nslot && r->end.end_ns ? 0 : -ENODATA;
}

int replay_open(struct replay *r, const char *path)
{
	void *data = MAP_FAILED;
	struct stat st;
	int fd, err = 0;

	*r = (struct replay){ 0 };
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -ENOEXEC;
	else if (!st.st_size)
		err = -ENOEXEC;
	if (!err) {
		data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		err = data == MAP_FAILED ? -errno : replay_open_mem(r, data, (size_t)st.st_size);
	}
	if (fd >= 0)
		close(fd);
	if (err && data != MAP_FAILED)
		munmap(data, (size_t)st.st_size);
	r->mapped = !err;
	return err;
}

void replay_close(struct replay *r)
{
	if (r->mapped)
		munmap((void *)r->data, r->size);
	r->mapped = 0;
	r->data = NULL;
}
