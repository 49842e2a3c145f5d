// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/notice.h"

#include "userspace/sockets.h"
#include "userspace/util/args.h"
#include "userspace/util/clock.h"

void notice_silent(const struct run *r, int others)
{
	struct sockets sockets = { 0 };
	char listens[512];
	int n_unix, n;
	uint32_t i;

	for (i = 1; i <= r->nslot; i++) {
		n = sockets_listens(&sockets, r->target[i].pid, listens, sizeof(listens), &n_unix);
		say("no query seen in %.0f s; %u (%s) %s%s%s", (double)(clock_mono_ns() - r->start_ns) * 1e-9,
		    r->target[i].pid, r->target[i].comm,
		    n > 0 ? "listens on " : n == 0 ? "listens on nothing" : "cannot be read", n > 0 ? listens : "",
		    others ? " (other HTTP requests were seen)" : "");
	}
	sockets_release(&sockets);
}

void notice_slept(const struct sampler *s, uint64_t *said_ns)
{
	uint64_t ns = sampler_asleep_ns(s);

	if (ns > *said_ns)
		say("the machine was suspended for %.1f s: what its meters counted meanwhile is in no row",
		    (double)(ns - *said_ns) * 1e-9);
	*said_ns = ns;
}
