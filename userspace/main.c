// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <string.h>
#include <unistd.h>

#include "userspace/cmd.h"
#include "userspace/opts.h"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
} cmds[] = {
	{ "record", cmd_record },
	{ "report", cmd_report },
	{ "script", cmd_script },
	{ "list", cmd_list },
	{ "check", cmd_check },
	{ "bench", cmd_bench },
	{ "grade", cmd_grade },
	{ "score", cmd_score },
	{ "compare", cmd_compare },
	{ "cover", cmd_cover },
	{ "route", cmd_route },
	{ "fit", cmd_fit },
	{ "csv", cmd_csv },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(cmds) / sizeof(*cmds); i++)
		if (!strcmp(argv[1], cmds[i].name))
			return cmds[i].fn(argc - 1, argv + 1);
	if (argc > 1)
		return cmd_trace(argc, argv);
	if (isatty(STDOUT_FILENO))
		return cmd_servers();
	opts_usage(CMD_TRACE);
	return EXIT_USAGE;
}
