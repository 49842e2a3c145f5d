// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace script: the events that queries are made of, live or from a recording. */
#include "userspace/cmd.h"
#include "userspace/session.h"

int cmd_script(int argc, char **argv)
{
	struct sink sink = { .out = stdout };
	struct opts o;
	int err = opts_parse(&o, CMD_SCRIPT, argc, argv);

	if (err)
		return err == 1 ? 0 : err;
	sink.ops = sink_find("script");
	return o.npid || o.find_by || o.cmd ? session_run(&o, &sink, 1) : report_file(o.in, 1, &sink);
}
