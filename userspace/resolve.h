/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From what the command line names to the processes that a run traces. */
#ifndef IPW_RESOLVE_H
#define IPW_RESOLVE_H

#include "userspace/opts.h"
#include "userspace/totals.h"

/* Fills run->target and run->nslot; none for a command. 0, or -errno once the reason has been said. */
int resolve_targets(const struct opts *o, struct run *run);

#endif
