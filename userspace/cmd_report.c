// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ipw-trace report: a recording, as the live summary would have it. Played twice: an idle floor that was learnt late in
 * the run holds for its beginning too.
 */
#include <errno.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/opts.h"
#include "userspace/playback.h"
#include "userspace/sink/terminal.h"
#include "userspace/util/fmt.h"

static const char *reason(int err)
{
	switch (err) {
	case -ENOEXEC:
		return "it is no recording of ipw-trace";
	case -EPROTONOSUPPORT:
		return "it was written by a later version, or on a machine of the other byte order";
	case -ENODATA:
		return "nothing in it is whole";
	default:
		return strerror(-err);
	}
}

static void say_damage(const struct replay *r, const char *path)
{
	if (r->bad_blocks || r->bad_records)
		say("'%s' is damaged: %llu bytes in %llu places and %llu records are missing from this report", path,
		    (unsigned long long)r->bad_bytes, (unsigned long long)r->bad_blocks,
		    (unsigned long long)r->bad_records);
	if (!r->ended)
		say("'%s' has no end: the run was cut off, or still goes on", path);
}

/* As the run said. */
static void say_steps(const struct replay *r)
{
	const struct run_end *e = &r->end;
	char cost[16];

	if (e->steps_off_ns)
		say("engine steps were off from %.1f s on: %.0f hits a second at %s us each took %.1f %% of a CPU",
		    ((double)e->steps_off_ns - (double)r->run.start_ns) * 1e-9, e->steps_rate,
		    fmt3(cost, sizeof(cost), e->steps_hit_ns * 1e-3), e->steps_rate * e->steps_hit_ns * 1e-7);
}

int report_file(const char *path, int by_tokens, const struct sink *sink)
{
	struct idle floor[CHANNEL_MAX];
	struct replay r;
	int err;

	path = path ? path : RECORDING_DEFAULT;
	err = replay_open(&r, path);
	if (err) {
		say("cannot read '%s': %s", path, reason(err));
		return 1;
	}
	err = playback(&r, 1, r.idle, NULL, 0, floor); /* who gets what is of no matter to the floor */
	if (!err)
		err = playback(&r, by_tokens, floor, sink, 1, floor);
	say_damage(&r, path);
	say_steps(&r);
	if (err)
		say("cannot write the report: %s", strerror(-err));
	replay_close(&r);
	return err ? 1 : 0;
}

int cmd_report(int argc, char **argv)
{
	struct sink sink;
	struct opts o;
	int err = opts_parse(&o, CMD_REPORT, argc, argv);

	if (err)
		return err == 1 ? 0 : err;
	sink = sink_stdout(o.json, o.by_task, o.verbose);
	sink.final = 1;
	return report_file(o.in, o.by_tokens, &sink);
}
