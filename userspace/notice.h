/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is said of a run while it goes on, on standard error. */
#ifndef IPW_NOTICE_H
#define IPW_NOTICE_H

#include "collectors/sampler.h"
#include "userspace/totals.h"

/* No query came so far; others: requests that are none were seen. Says where each target listens. */
void notice_silent(const struct run *r, int others);
/* The machine was suspended since *said_ns of its sleep, as it is then. */
void notice_slept(const struct sampler *s, uint64_t *said_ns);

#endif
