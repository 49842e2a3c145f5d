// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/sink/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "userspace/sink/sink.h"
#include "userspace/util/fd.h"

struct recording {
	int      fd;
	uint32_t seq, used;
	uint64_t flushed_ns;
	struct {
		struct rec_block h;
		char data[REC_BLOCK_MAX];
	} block;
};

static void flush(struct sink *s)
{
	struct recording *r = s->state;
	struct rec_block *h = &r->block.h;

	if (!r->used || s->err)
		return;
	*h = (struct rec_block){ .magic = REC_BLOCK_MAGIC, .len = r->used, .seq = r->seq++ };
	h->crc = (uint32_t)crc32(h->seq, (const Bytef *)r->block.data, r->used);
	s->err = fd_write(r->fd, &r->block, sizeof(*h) + r->used);
	r->used = 0;
}

/* Room for a record of n bytes, zeroed, its header filled. */
static void *add(struct sink *s, enum rec_type type, uint32_t val, size_t n)
{
	struct recording *r = s->state;
	struct rec *rec;

	if (r->used + n > REC_BLOCK_MAX)
		flush(s);
	rec = (struct rec *)(r->block.data + r->used);
	memset(rec, 0, n);
	*rec = (struct rec){ .type = (uint16_t)type, .len = (uint16_t)n, .n = val };
	r->used += (uint32_t)n;
	return rec;
}

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

static void add_run(struct sink *s)
{
	struct rec_target *t;
	struct rec_meter *m;
	struct rec_run *r = add(s, REC_RUN, s->run->nslot, sizeof(*r));
	uint32_t i;

	r->start_ns = s->run->start_ns;
	r->wall_offset_ns = s->run->wall_offset_ns;
	r->interval_ms = s->run->interval_ms;
	r->nmeter = (uint32_t)s->nmeter;
	COPY(r->version, s->run->version);
	COPY(r->hardware, s->run->hardware);
	COPY(r->kernel, s->run->kernel);
	COPY(r->net, s->run->net);
	for (i = 1; i <= s->run->nslot; i++) {
		t = add(s, REC_TARGET, i, sizeof(*t));
		t->pid = s->run->target[i].pid;
		COPY(t->comm, s->run->target[i].comm);
	}
	for (i = 0; i < (uint32_t)s->nmeter; i++) {
		const struct meter *from = &s->meters[i];

		m = add(s, REC_METER, i, sizeof(*m));
		m->domain = from->ch.domain;
		m->reading = from->ch.reading;
		m->estimated = (uint32_t)from->ch.estimated;
		m->period_us = from->period_us;
		m->unit = from->ch.unit;
		m->parent = from->parent;
		m->idle_source = s->idle[i].source;
		m->idle_w = s->idle[i].w;
		m->accuracy_ppm = (uint32_t)lround(from->ch.accuracy * 1e6);
		COPY(m->name, from->ch.name);
		COPY(m->device, from->ch.device);
		COPY(m->source, from->source);
	}
}

/* An older recording is kept aside, as perf does; what is no regular file is left alone. */
static int create(const char *path)
{
	struct stat st;
	char old[4096];
	int fd;

	if (!lstat(path, &st) && !S_ISREG(st.st_mode))
		return -EEXIST;
	if (snprintf(old, sizeof(old), "%s.old", path) >= (int)sizeof(old))
		return -ENAMETOOLONG;
	if (rename(path, old) && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int open_(struct sink *s)
{
	struct rec_file f = { .magic = REC_MAGIC, .version = REC_VERSION, .endian = REC_ENDIAN };
	struct recording *r = s->state;
	int err;

	r->fd = create(s->path);
	if (r->fd < 0)
		return r->fd;
	err = fd_write(r->fd, &f, sizeof(f));
	if (err)
		return err;
	add_run(s);
	flush(s);
	return s->err;
}

static void add_open(struct sink *s, const struct wire_ev *e)
{
	const struct wire_open *o = e->open;
	struct rec_open *r = add(s, REC_OPEN, o->slot, sizeof(*r));

	r->ts_ns = e->ts_ns;
	r->query = e->query;
	r->start_ns = o->start_ns;
	r->pid = o->pid;
	COPY(r->dialect, o->dialect);
	COPY(r->path, o->path);
	COPY(r->client, o->client);
	COPY(r->server, o->server);
	COPY(r->request_id, o->request_id);
	COPY(r->trace_id, o->trace_id);
}

static size_t wire_size(enum wire_kind kind)
{
	switch (kind) {
	case WIRE_USAGE:
		return offsetof(struct rec_wire, usage) + sizeof(((struct rec_wire *)0)->usage);
	case WIRE_RESPONSE:
	case WIRE_OVER:
	case WIRE_HOP:
		return offsetof(struct rec_wire, stream) + sizeof(int64_t);
	case WIRE_MODEL:
	case WIRE_DIALECT:
	case WIRE_TASK:
		return sizeof(struct rec_wire);
	default:
		return offsetof(struct rec_wire, usage);
	}
}

static void wire(struct sink *s, const struct wire_ev *e)
{
	struct rec_wire *r;

	if (e->kind == WIRE_OPEN) {
		add_open(s, e);
		return;
	}
	r = add(s, REC_WIRE + e->kind, e->n, wire_size(e->kind));
	r->ts_ns = e->ts_ns;
	r->query = e->query;
	if (e->kind == WIRE_USAGE) {
		r->usage[0] = e->usage.prompt;
		r->usage[1] = e->usage.cached;
		r->usage[2] = e->usage.completion;
	} else if (e->kind == WIRE_RESPONSE) {
		r->stream = e->stream;
	} else if (e->kind == WIRE_OVER) {
		r->end_ns = e->end_ns;
	} else if (e->kind == WIRE_HOP) {
		r->parent = e->parent;
	} else if (e->kind == WIRE_MODEL || e->kind == WIRE_DIALECT || e->kind == WIRE_TASK) {
		COPY(r->model, e->str);
	}
}

static void add_activity(struct sink *s, enum rec_type type, const struct activity *a)
{
	uint32_t per = 2 + s->run->nslot, g, i;
	struct rec_activity *r = add(s, type, a->ngroup, sizeof(*r) + a->ngroup * per * sizeof(uint64_t));

	r->t_ns = a->t_ns;
	for (g = 0; g < a->ngroup; g++) {
		r->val[g * per] = (uint64_t)(int64_t)a->group[g].unit;
		r->val[g * per + 1] = a->group[g].busy_ns;
		for (i = 1; i <= s->run->nslot; i++)
			r->val[g * per + 1 + i] = a->group[g].slot_ns[i];
	}
}

static void activity(struct sink *s, const struct activity *a)
{
	struct recording *st = s->state;

	add_activity(s, REC_ACTIVITY, a);
	if (a->t_ns - st->flushed_ns >= REC_FLUSH_NS) {
		st->flushed_ns = a->t_ns;
		flush(s);
	}
}

static void edge(struct sink *s, const struct activity *a)
{
	add_activity(s, REC_EDGE, a);
}

static void sample(struct sink *s, const struct sample *m)
{
	struct rec_sample *r = add(s, REC_SAMPLE, m->channel | (uint32_t)m->flags << 16, sizeof(*r));

	r->t_ns = m->t_ns;
	r->energy_uj = m->energy_uj;
}

static void gpu(struct sink *s, const struct gpu_share *g)
{
	struct rec_gpu *r = add(s, REC_GPU, g->channel | (uint32_t)!!g->known << 16,
				sizeof(*r) + s->run->nslot * sizeof(double));
	uint32_t i;

	r->t_ns = g->t_ns;
	for (i = 1; i <= s->run->nslot; i++)
		r->slot[i - 1] = g->slot[i];
}

static void unread(struct sink *s, const struct wire_unread *u)
{
	struct rec_unread *r = add(s, REC_UNREAD, u->slot, sizeof(*r));

	r->start_ns = u->start_ns;
	r->end_ns = u->end_ns;
	r->in = u->in;
	r->out = u->out;
	r->pid = u->pid;
	r->why = u->why;
	COPY(r->client, u->client);
	COPY(r->server, u->server);
}

static void step(struct sink *s, const struct step *p)
{
	struct rec_step *r = add(s, REC_STEP, p->slot, sizeof(*r));

	r->begin_ns = p->begin_ns;
	r->end_ns = p->end_ns;
	r->tokens = p->tokens;
	r->pid = p->pid;
	r->batch = p->batch;
}

static void summary(struct sink *s, const struct summary *m)
{
	struct rec_end *r = add(s, REC_END, 0, sizeof(*r));
	int i;

	r->end_ns = m->end->end_ns;
	r->lost_events = m->end->lost_events;
	r->evicted = m->end->evicted;
	r->tracer_cpu_s = m->end->tracer_cpu_s;
	for (i = 0; i < UNREAD_MAX; i++)
		r->unread[i] = m->end->unread[i].n;
	r->steps_off_ns = m->end->steps_off_ns;
	r->steps_rate = m->end->steps_rate;
	r->steps_hit_ns = m->end->steps_hit_ns;
}

static int close_(struct sink *s)
{
	struct recording *r = s->state;

	flush(s);
	if (r->fd >= 0 && close(r->fd) && !s->err)
		s->err = -errno;
	return s->err;
}

const struct sink_ops sink_recording = {
	.name       = "recording",
	.doc        = "a file that `report` reads (-o FILE)",
	.state_size = sizeof(struct recording),
	.open       = open_,
	.wire       = wire,
	.activity   = activity,
	.edge       = edge,
	.sample     = sample,
	.gpu        = gpu,
	.unread     = unread,
	.step       = step,
	.summary    = summary,
	.close      = close_,
};
