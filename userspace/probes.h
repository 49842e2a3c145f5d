/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs that can be attached: what each is for, and whether it is on here, and why not. */
#ifndef IPW_PROBES_H
#define IPW_PROBES_H

enum net_tier {
	NET_AUTO = 0,
	NET_TP,  /* socket tracepoints, 6.16 and later */
	NET_SYS, /* syscalls */
	NET_TIERS,
};

/* When a program is wanted. */
enum probe_use {
	USE_ALWAYS = 0,
	USE_TP,       /* network tier tp */
	USE_SYS,      /* network tier sys; or beside tp, when the target listens on a unix socket */
	USE_SYS_TCP,  /* network tier sys */
	USE_STEPS,    /* engine steps, in the processes that have an engine that we know */
};

enum probe_state { PROBE_OFF = 0, PROBE_ON, PROBE_ABSENT, PROBE_REFUSED };

struct probe {
	const char *program;    /* in the skeleton */
	const char *tracepoint; /* as the kernel's BTF names it: btf_trace_<it>; USE_STEPS: a name for people */
	const char *doc;
	enum probe_use use;
};

struct probe_status {
	enum probe_state state;
	char why[120];
};

#define PROBE_MAX 24

extern const struct probe probes[]; /* ends with program NULL */

const char *net_tier_name(enum net_tier t);
/* NET_TIERS when it is none. */
enum net_tier net_tier_find(const char *name);
const char *probe_state_name(enum probe_state s);

#endif
