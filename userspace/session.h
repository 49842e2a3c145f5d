/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One run of the tracer, from attach to summary: the loop that feeds the pipeline. */
#ifndef IPW_SESSION_H
#define IPW_SESSION_H

#include "userspace/opts.h"
#include "userspace/sink/sink.h"

/*
 * Traces as the options say and gives what it finds to the sinks. Returns the exit status: 0; 1 after a failure, which
 * has been said; EXIT_USAGE; with a command, the command's.
 */
int session_run(const struct opts *o, const struct sink *to, int nsink);

#endif
