/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other way in: a recording instead of the kernel. What is whole is replayed; damaged blocks are skipped, counted,
 * and the queries running there are marked. The file is not trusted.
 */
#ifndef IPW_REPLAY_H
#define IPW_REPLAY_H

#include "userspace/attrib.h"
#include "userspace/totals.h"

struct replay {
	const char  *data; /* the file, mapped; or the caller's bytes */
	int          mapped;
	size_t       size, at;
	struct run   run;
	struct meter meters[CHANNEL_MAX];
	char         source[CHANNEL_MAX][32];
	struct idle  idle[CHANNEL_MAX];
	int          nmeter;
	struct run_end end;
	int          ended;      /* the recording was closed in order; else end.end_ns is its last time */
	uint64_t     bad_blocks, bad_bytes, bad_records;
	uint32_t     next_seq;
};

struct replay_ops {
	void (*wire)(void *ctx, const struct wire_ev *e);
	void (*activity)(void *ctx, const struct activity *a);
	void (*edge)(void *ctx, const struct activity *a);
	void (*sample)(void *ctx, const struct sample *m);
	void (*gpu)(void *ctx, const struct gpu_share *g);
	void (*unread)(void *ctx, const struct wire_unread *u);
	void (*step)(void *ctx, const struct step *s);
	/* Records are missing here. */
	void (*hole)(void *ctx);
};

/*
 * Opens a recording and reads what it says of the run, the meters and its end. -ENOEXEC: no recording of ours;
 * -EPROTONOSUPPORT: of a later format, or of a machine with the other byte order; -ENODATA: nothing of it is whole;
 * other -errno: it could not be read.
 */
int  replay_open(struct replay *r, const char *path);
/* The same for bytes in memory. */
int  replay_open_mem(struct replay *r, const char *data, size_t size);
void replay_close(struct replay *r);
/* Plays it, from the beginning; may be called again. */
void replay_play(struct replay *r, const struct replay_ops *ops, void *ctx);

#endif
