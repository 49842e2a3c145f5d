// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace record: the recording alone. */
#include <stdio.h>
#include <sys/stat.h>

#include "userspace/cmd.h"
#include "userspace/session.h"

int cmd_record(int argc, char **argv)
{
	struct sink sink;
	struct stat st;
	struct opts o;
	int err = opts_parse(&o, CMD_RECORD, argc, argv);

	if (err)
		return err == 1 ? 0 : err;
	if (!o.out)
		o.out = RECORDING_DEFAULT;
	sink = (struct sink){ .ops = sink_find("recording"), .path = o.out };
	err = session_run(&o, &sink, 1);
	if (!err && !stat(o.out, &st))
		fprintf(stderr, "[ ipw-trace record: wrote %.3f MB to %s ]\n", (double)st.st_size / 1e6, o.out);
	return err;
}
