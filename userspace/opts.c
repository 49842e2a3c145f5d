// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/opts.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN (CMD_TRACE | CMD_RECORD | CMD_SCRIPT)
#define ALL (RUN | CMD_REPORT | CMD_LIST | CMD_CHECK)
#define MET (RUN | CMD_LIST | CMD_CHECK)

enum { O_METER = 256, O_POWER_MODEL, O_IDLE, O_SYSFS, O_PROCFS, O_NET, O_JSON, O_DURATION,
       O_PORT, O_COMM, O_CGROUP, O_UNIT, O_ONLY, O_FOLLOW, O_NO_STEPS, O_NO_EDGES, O_SPLIT, O_TASK, O_BY };

static const struct arg table[] = {
	{ 'p', "pid", "PID[,PID...]", "trace these processes, their threads and children", RUN | CMD_CHECK },
	{ O_PORT, "port", "N", "or those that listen on this TCP port", RUN },
	{ O_COMM, "comm", "NAME", "or those of this name", RUN },
	{ O_CGROUP, "cgroup", "PATH", "or those in this cgroup", RUN },
	{ O_UNIT, "unit", "NAME", "or those of this systemd unit", RUN },
	{ O_ONLY, "only", NULL, "these and their children, not the whole server they belong to", RUN },
	{ O_FOLLOW, "follow", NULL, "when the server ends, wait for it to come again", RUN },
	{ O_DURATION, "duration", "S", "stop after S seconds", RUN },
	{ 'o', "output", "FILE", "write a recording (record: ipw.data if not given)",
	  CMD_TRACE | CMD_RECORD },
	{ 'i', "input", "FILE", "read this recording (ipw.data if not given)", CMD_REPORT | CMD_SCRIPT },
	{ O_JSON, "json", NULL, "JSON lines on stdout", CMD_TRACE | CMD_REPORT | CMD_LIST },
	{ 'I', "interval", "MS", "look at the meters every MS milliseconds, 10 to 1000", RUN },
	{ O_METER, "meter", "NAME[,NAME]", "take energy from these sources only (see ipw-trace list)", MET },
	{ O_POWER_MODEL, "power-model", "idle=W,max=W",
	  "watts of the whole machine, for the model that stands in for a meter", MET },
	{ O_IDLE, "idle", "DOMAIN=W[,...]|auto|none",
	  "idle floor: given, or the lowest 1 s mean without a query", RUN },
	{ O_SYSFS, "sysfs", "DIR", "read the meters under DIR instead of /sys", MET },
	{ O_PROCFS, "procfs", "DIR", "and under DIR instead of /proc", MET },
	{ O_NET, "net", "tp|sys", "network tier (the best that works if not given)", RUN | CMD_CHECK },
	{ O_NO_STEPS, "no-steps", NULL, "do not look at the steps of the server's engine", RUN | CMD_CHECK },
	{ O_NO_EDGES, "no-edges", NULL, "do not read the meters where a query's phases begin and end", RUN },
	{ O_SPLIT, "split", "auto|tokens", "by what the meter teaches where that is better, or by tokens alone",
	  CMD_TRACE | CMD_REPORT },
	{ O_TASK, "task", "header:NAME|json:PATH|trace|auto",
	  "join queries to tasks by what clients say there; may be a list, its first that is there holds", RUN },
	{ O_BY, "by", "query|task", "a line for each query, or each task with its turns and gaps",
	  CMD_TRACE | CMD_REPORT },
	{ 'v', "verbose", NULL, "say more", ALL },
	{ ARG_HELP, "help", NULL, "this text", ALL },
	{ ARG_VERSION, "version", NULL, "print the version", ALL },
};

static const struct {
	int bit;
	const char *usage;
} usages[] = {
	{ CMD_TRACE, "ipw-trace [options] -p PID[,PID...]\n   or: ipw-trace [options] -- COMMAND [ARG...]\n"
		     "   or: ipw-trace record|report|script|list|check|bench|grade [options]\n"
		     "   or: ipw-trace score|compare|cover|route|fit [options] FILE...\n"
		     "   or: ipw-trace csv [options] FILE" },
	{ CMD_RECORD, "ipw-trace record [options] -p PID[,PID...] | -- COMMAND [ARG...]" },
	{ CMD_REPORT, "ipw-trace report [options]" },
	{ CMD_SCRIPT, "ipw-trace script [options] [-p PID[,PID...] | -- COMMAND [ARG...]]" },
	{ CMD_LIST, "ipw-trace list [options]" },
	{ CMD_CHECK, "ipw-trace check [options] [-p PID[,PID...]]" },
};

static struct args args_of(int command)
{
	struct args a = { table, sizeof(table) / sizeof(*table), command, "" };
	size_t i;

	for (i = 0; i < sizeof(usages) / sizeof(*usages); i++)
		if (usages[i].bit == command)
			a.usage = usages[i].usage;
	return a;
}

void opts_usage(int command)
{
	struct args a = args_of(command);

	args_usage(&a, stderr);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* A finite number >= 0 that takes up all of s, or up to `stop`. NAN if it is none. */
static double number(const char *s, char stop, const char **ret_end)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || !isfinite(v) || v < 0 || (*end && *end != stop))
		return NAN;
	if (ret_end)
		*ret_end = end;
	return v;
}

static int take_pids(struct opts *o, const char *s)
{
	unsigned long v;
	char *end;

	for (;; s = end + 1) {
		v = strtoul(s, &end, 10);
		if (end == s || !v || v > INT32_MAX || (*end && *end != ',') || *s == '-' || *s == '+')
			return -EINVAL;
		if (o->npid == EV_SLOTS - 1)
			return -E2BIG;
		o->pid[o->npid++] = (uint32_t)v;
		if (!*end)
			return 0;
	}
}

static int take_model(struct opts *o, const char *s)
{
	double idle, max;
	const char *end;

	if (strncmp(s, "idle=", 5))
		return -EINVAL;
	idle = number(s + 5, ',', &end);
	if (isnan(idle) || strncmp(end, ",max=", 5))
		return -EINVAL;
	max = number(end + 5, 0, NULL);
	if (isnan(max) || max < idle)
		return -EINVAL;
	o->meter.model_idle_w = idle;
	o->meter.model_max_w = max;
	return 0;
}

static int take_find(struct opts *o, enum find_by by, const char *arg)
{
	double v = by == FIND_PORT ? number(arg, 0, NULL) : 1;

	if (o->find_by || !*arg || !(v >= 1 && v <= 65535 && v == (unsigned)v))
		return -EINVAL;
	o->find_by = by;
	o->find = arg;
	return 0;
}

/* Which processes. */
static int take_target(struct opts *o, int id, const char *arg)
{
	switch (id) {
	case 'p':
		return take_pids(o, arg);
	case O_PORT:
		return take_find(o, FIND_PORT, arg);
	case O_COMM:
		return take_find(o, FIND_COMM, arg);
	case O_CGROUP:
		return take_find(o, FIND_CGROUP, arg);
	case O_UNIT:
		return take_find(o, FIND_UNIT, arg);
	case O_ONLY:
		o->only = 1;
		return 0;
	case O_FOLLOW:
		o->follow = 1;
		return 0;
	}
	return -EINVAL;
}

static int take(void *ctx, int id, const char *arg)
{
	struct opts *o = ctx;
	double v;

	switch (id) {
	case O_NO_STEPS:
		o->no_steps = 1;
		return 0;
	case O_NO_EDGES:
		o->no_edges = 1;
		return 0;
	case O_SPLIT:
		o->by_tokens = !strcmp(arg, "tokens");
		return o->by_tokens || !strcmp(arg, "auto") ? 0 : -EINVAL;
	case O_TASK:
		o->task = arg;
		return *arg ? 0 : -EINVAL;
	case O_BY:
		o->by_task = !strcmp(arg, "task");
		return o->by_task || !strcmp(arg, "query") ? 0 : -EINVAL;
	case 'o':
		o->out = arg;
		return *arg ? 0 : -EINVAL;
	case 'i':
		o->in = arg;
		return *arg ? 0 : -EINVAL;
	case 'I':
		v = number(arg, 0, NULL);
		o->interval_ms = (unsigned)v;
		return v >= 10 && v <= 1000 ? 0 : -EINVAL;
	case O_DURATION:
		o->duration_s = number(arg, 0, NULL);
		return o->duration_s > 0 && o->duration_s < 1e9 ? 0 : -EINVAL;
	case O_METER:
		o->meters = arg;
		return *arg ? 0 : -EINVAL;
	case O_POWER_MODEL:
		return take_model(o, arg);
	case O_IDLE:
		o->idle = arg;
		return 0; /* the domains are not known yet: opts_idle() */
	case O_SYSFS:
		o->meter.sysfs = arg;
		return 0;
	case O_PROCFS:
		o->meter.procfs = arg;
		return 0;
	case O_NET:
		o->net = net_tier_find(arg);
		return o->net != NET_TIERS && o->net != NET_AUTO ? 0 : -EINVAL;
	case O_JSON:
		o->json = 1;
		return 0;
	case 'v':
		o->verbose++;
		return 0;
	}
	return take_target(o, id, arg);
}

/* --- idle floors -------------------------------------------------------------------------------------------------- */

static const char *const kinds[DOMAIN_COUNT] = { "platform", "package", "core", "uncore", "dram", "gpu" };

static int idle_one(const char *p, size_t n, double w, const struct meter *m, int nm, struct idle *ret)
{
	int i, hit = 0;

	for (i = 0; i < nm; i++) {
		const char *name = m[i].ch.name, *kind = kinds[m[i].ch.domain];

		if ((strlen(name) == n && !memcmp(name, p, n)) || (strlen(kind) == n && !memcmp(kind, p, n))) {
			ret[i] = (struct idle){ IDLE_USER, w };
			hit = 1;
		}
	}
	return hit ? 0 : -EINVAL;
}

int opts_idle(const char *spec, const struct meter *m, int n, struct idle *ret, char *ret_bad, size_t size)
{
	int none = spec && !strcmp(spec, "none"), i;
	const char *p, *eq, *end;
	double w;

	for (i = 0; i < n; i++) {
		ret[i] = none ? (struct idle){ IDLE_NONE, 0 } : (struct idle){ IDLE_AUTO, NAN };
		if (!none && m[i].ch.idle_w >= 0)
			ret[i] = (struct idle){ IDLE_MODEL, m[i].ch.idle_w };
	}
	if (!spec || none || !strcmp(spec, "auto"))
		return 0;
	for (p = spec; ; p = end + 1) {
		eq = strchr(p, '=');
		w = eq ? number(eq + 1, ',', &end) : NAN;
		if (isnan(w) || idle_one(p, (size_t)(eq - p), w, m, n, ret)) {
			snprintf(ret_bad, size, "%.*s", (int)strcspn(p, ","), p);
			return -EINVAL;
		}
		if (!*end)
			return 0;
	}
}

/* --- parsing ------------------------------------------------------------------------------------------------------ */

/* What is missing, or too much. */
static int complete(struct opts *o, int command, int argc, char **argv)
{
	int dashes = optind > 1 && !strcmp(argv[optind - 1], "--");
	int named = (o->npid != 0) + (o->find_by != FIND_PID);
	char why[160];

	if (o->task && wire_tasks(o->task, why, sizeof(why))) {
		say("bad value for --task: %s", why);
		return EXIT_USAGE;
	}
	if (command == CMD_TRACE && o->by_task && !o->task) {
		say("--by task needs --task, to know what tasks there are");
		return EXIT_USAGE;
	}
	if (command & RUN && dashes && optind < argc)
		o->cmd = argv + optind;
	else if (optind < argc) {
		say("unexpected argument '%s'%s", argv[optind], command & RUN ? " (a command comes after --)" : "");
		return EXIT_USAGE;
	}
	if (o->follow && o->cmd) {
		say("--follow waits for a server that others start: it has no use with a command");
		return EXIT_USAGE;
	}
	if (command == CMD_SCRIPT && !named && !o->cmd)
		return 0; /* of a recording */
	if (command == CMD_SCRIPT && o->in) {
		say("-i and something to trace exclude each other");
		return EXIT_USAGE;
	}
	if (command & RUN && named + (o->cmd != NULL) != 1) {
		say(named > 1 ? "-p and --port, --comm, --cgroup, --unit exclude each other" :
		    named ? "-p and a command exclude each other" : "nothing to trace: give -p PID, or -- COMMAND");
		opts_usage(command);
		return EXIT_USAGE;
	}
	return 0;
}

int opts_parse(struct opts *o, int command, int argc, char **argv)
{
	struct args a = args_of(command);
	int ret;

	*o = (struct opts){ .meter = { "/sys", "/proc", -1, -1 } };
	ret = args_parse(&a, argc, argv, take, o);
	return ret ? ret : complete(o, command, argc, argv);
}
