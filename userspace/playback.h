/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A recording through the pipeline, as the live run went through it. */
#ifndef IPW_PLAYBACK_H
#define IPW_PLAYBACK_H

#include "userspace/pipeline.h"
#include "userspace/replay.h"

/*
 * One pass. by_tokens: no fit; idle: the floors to begin with; ret_floor: those that it ended with, one a meter. 0, or
 * a sink's error.
 */
int playback(struct replay *r, int by_tokens, const struct idle *idle, const struct sink *sink, int nsink,
	     struct idle *ret_floor);

#endif
