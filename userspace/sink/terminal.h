/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sink that a command prints with: JSON lines, or text that suits what stdout is; that may be by tasks. */
#ifndef IPW_SINK_TERMINAL_H
#define IPW_SINK_TERMINAL_H

#include <stdlib.h>
#include <unistd.h>

#include "userspace/sink/sink.h"

static inline struct sink sink_stdout(int json, int by_task, int verbose)
{
	const char *no = getenv("NO_COLOR");

	return (struct sink){
		.ops = sink_find(json ? "json" : by_task ? "tasks" : "text"),
		.out = stdout,
		.verbose = verbose,
		.colour = isatty(STDOUT_FILENO) && !(no && *no),
	};
}

#endif
