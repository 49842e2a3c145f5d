// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ipw-trace -p PID: a line for each query when it ends, a summary at the end; with -o a recording beside. As JSON,
 * which others add up, each comes when its joules are final.
 */
#include "userspace/cmd.h"
#include "userspace/session.h"
#include "userspace/sink/terminal.h"

int cmd_trace(int argc, char **argv)
{
	struct sink to[2];
	struct opts o;
	int n = 1, err = opts_parse(&o, CMD_TRACE, argc, argv);

	if (err)
		return err == 1 ? 0 : err;
	to[0] = sink_stdout(o.json, o.by_task, o.verbose);
	to[0].final = o.json;
	if (o.out)
		to[n++] = (struct sink){ .ops = sink_find("recording"), .path = o.out };
	return session_run(&o, to, n);
}
