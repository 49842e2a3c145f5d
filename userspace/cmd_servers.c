// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace alone, on a terminal: the inference servers that run here, with the command to type for each. */
#include <stdio.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/opts.h"

#define SERVERS_MAX 64

int cmd_servers(void)
{
	static struct find_server s[SERVERS_MAX];
	int i, n = find_servers(s, SERVERS_MAX);

	if (n < 0) {
		say("cannot look for servers: %s", strerror(-n));
		return 1;
	}
	printf("Inference servers that run here%s\n\n", n ? ":" : ": none was found.");
	for (i = 0; i < n; i++)
		printf("  ipw-trace -p %-8u %s, %d process%s, on %s (%s is loaded)\n", s[i].pid, s[i].comm,
		       s[i].processes, s[i].processes == 1 ? "" : "es", s[i].listens, s[i].why);
	printf("%sEverything else: ipw-trace --help\n", n ? "\n" : "");
	return 0;
}
