// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace list: energy sources, probes, dialects and sinks; what is on here, and why the rest is not. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collectors/sampler.h"
#include "userspace/cmd.h"
#include "userspace/live.h"
#include "userspace/opts.h"
#include "userspace/sink/sink.h"
#include "userspace/util/fmt.h"
#include "userspace/util/json_out.h"

#define MEASURE_NS 250000000ull /* for the refresh of the meters */
#define COMPARE_NS 500000000ull

/* What kind of meter it is, and how fine. */
static void list_kind(const struct meter *m)
{
	const char *u = m->ch.reading == READING_ENERGY ? "J" : "W";
	char a[16];

	if (m->ch.reading == READING_ENERGY)
		printf("      a counter");
	else if (m->ch.averaged_us > 0)
		printf("      a gauge, mean of %s ms", fmt3(a, sizeof(a), m->ch.averaged_us / 1e3));
	else
		printf("      a gauge, %s", m->ch.averaged_us ? "of the moment or a mean" : "of the moment");
	if (m->resolution >= 1e3)
		printf(", in steps of %s m%s", fmt3(a, sizeof(a), m->resolution / 1e3), u);
	else if (m->resolution > 0)
		printf(", in steps of %s u%s", fmt3(a, sizeof(a), m->resolution), u);
	if (m->ch.reading == READING_ENERGY && m->ch.wrap > 0)
		printf(", begins again after %s J", fmt3(a, sizeof(a), m->ch.wrap * m->ch.scale * 1e-6));
	if (m->ch.accuracy > 0)
		printf(", stated to be accurate to %s %%", fmt3(a, sizeof(a), 100 * m->ch.accuracy));
	printf("; a reading takes %s us\n", fmt3(a, sizeof(a), (double)m->read_ns / 1e3));
}

/* Meters of the same that disagree: an error of one of them, and not ours to decide of which. */
static void list_comparisons(struct sampler *s, const struct meter *m, int verbose)
{
	struct comparison cmp[CHANNEL_MAX], *c;
	int n = sampler_compare(s, COMPARE_NS, cmp, CHANNEL_MAX);
	char a[16], b[16], d[16], e[16];

	for (c = cmp; c < cmp + n; c++)
		if (verbose || c->apart > c->allowed)
			printf("  %s: %s reads %s W, %s %s W: %s %% apart, %s the %s %% of their refresh and steps\n",
			       m[c->meter].ch.name, m[c->meter].source, fmt3(a, sizeof(a), c->ours_w), c->source,
			       fmt3(b, sizeof(b), c->theirs_w), fmt3(d, sizeof(d), 100 * c->apart),
			       c->apart > c->allowed ? "more than" : "within", fmt3(e, sizeof(e), 100 * c->allowed));
}

static void list_sources(struct sampler *s, int verbose)
{
	const struct source_status *st;
	const struct meter *m;
	char watt[16];
	int n = sampler_status(s, &st), nm = sampler_meters(s, &m), i;

	printf("energy sources, in order of preference:\n");
	for (i = 0; i < n; i++)
		printf("  %-14s %-4s %s%s%s\n", st[i].name, !st[i].err && st[i].used ? "on" : "off", st[i].doc,
		       st[i].why[0] ? ": " : "", st[i].why);
	printf("\nmeters:\n");
	for (i = 0; i < nm; i++) {
		printf("  %-18s %-14s refresh %s ms%s%s%s%s\n", m[i].ch.name, m[i].source,
		       m[i].period_us ? fmt3(watt, sizeof(watt), m[i].period_us / 1e3) : "?",
		       m[i].ch.device[0] ? ", " : "", m[i].ch.device, m[i].ch.estimated ? ", estimated" : "",
		       m[i].parent == CHANNEL_NONE ? "" : ", part of another: not summed");
		if (verbose)
			list_kind(&m[i]);
	}
	list_comparisons(s, m, verbose);
	if (!nm)
		printf("  none: joules will not be known\n");
}

static void list_probes(const struct probe_status *st, const char *why)
{
	int i;

	printf("\nprobes:\n");
	for (i = 0; probes[i].program; i++)
		printf("  %-22s %-7s %s%s%s\n", probes[i].tracepoint, st ? probe_state_name(st[i].state) : "off",
		       probes[i].doc, (st && st[i].why[0]) || why[0] ? ": " : "",
		       st && st[i].why[0] ? st[i].why : why);
}

static void list_wire(void)
{
	int i;

	printf("\ndialects:\n");
	for (i = 0; dialects[i]; i++)
		printf("  %-22s %s\n", dialects[i]->name, dialects[i]->doc);
	printf("  of bodies as they are, or in %s\n", inflate_codings());
	printf("\nsinks:\n");
	for (i = 0; sinks[i]; i++)
		printf("  %-22s %s\n", sinks[i]->name, sinks[i]->doc);
}

/* The beginning that all lines of --json have. */
static void row(struct json_out *j, const char *type, const char *name, const char *doc)
{
	json_open(j, NULL, '{');
	json_str(j, "type", type);
	json_int(j, "schema", JSON_SCHEMA);
	json_str(j, "name", name);
	if (doc)
		json_str(j, "doc", doc);
}

static void end_row(struct json_out *j)
{
	json_close(j, '}');
	json_line(j);
}

static double positive(double val)
{
	return val > 0 ? val : NAN;
}

static void json_meter(struct json_out *j, const struct meter *m)
{
	int counter = m->ch.reading == READING_ENERGY, sure = !counter && m->ch.averaged_us >= 0;

	row(j, "meter", m->ch.name, NULL);
	json_str(j, "source", m->source);
	json_str(j, "device", m->ch.device);
	json_str(j, "kind", counter ? "counter" : "gauge");
	json_num(j, "averaged_ms", sure ? m->ch.averaged_us / 1e3 : NAN);
	json_num(j, "resolution_j", counter ? positive(m->resolution * 1e-6) : NAN);
	json_num(j, "resolution_w", counter ? NAN : positive(m->resolution * 1e-6));
	json_num(j, "wrap_j", counter ? positive(m->ch.wrap * m->ch.scale * 1e-6) : NAN);
	json_num(j, "accuracy", positive(m->ch.accuracy));
	json_num(j, "refresh_ms", positive(m->period_us / 1e3));
	json_num(j, "read_us", (double)m->read_ns / 1e3);
	json_num(j, "limit_w", positive(m->ch.limit_w));
	json_raw(j, "estimated", m->ch.estimated ? "true" : "false");
	json_raw(j, "summed", m->parent == CHANNEL_NONE ? "true" : "false");
	end_row(j);
}

static void json_sources(struct json_out *j, struct sampler *s)
{
	struct comparison cmp[CHANNEL_MAX], *c;
	const struct source_status *st;
	const struct meter *m;
	int n = sampler_status(s, &st), nm = sampler_meters(s, &m), i;

	for (i = 0; i < n; i++) {
		row(j, "source", st[i].name, st[i].doc);
		json_str(j, "state", !st[i].err && st[i].used ? "on" : "off");
		json_str(j, "why", st[i].why);
		end_row(j);
	}
	for (i = 0; i < nm; i++)
		json_meter(j, &m[i]);
	n = sampler_compare(s, COMPARE_NS, cmp, CHANNEL_MAX);
	for (c = cmp; c < cmp + n; c++) {
		row(j, "comparison", m[c->meter].ch.name, NULL);
		json_str(j, "source", m[c->meter].source);
		json_str(j, "other", c->source);
		json_num(j, "mean_w", c->ours_w);
		json_num(j, "other_mean_w", c->theirs_w);
		json_num(j, "apart", c->apart);
		json_num(j, "explained", c->allowed);
		end_row(j);
	}
}

static void json_rest(struct json_out *j, const struct probe_status *st, const char *why)
{
	int i;

	for (i = 0; probes[i].program; i++) {
		row(j, "probe", probes[i].tracepoint, probes[i].doc);
		json_str(j, "state", st ? probe_state_name(st[i].state) : "off");
		json_str(j, "why", st && st[i].why[0] ? st[i].why : why);
		end_row(j);
	}
	for (i = 0; dialects[i]; i++) {
		row(j, "dialect", dialects[i]->name, dialects[i]->doc);
		end_row(j);
	}
	for (i = 0; sinks[i]; i++) {
		row(j, "sink", sinks[i]->name, sinks[i]->doc);
		end_row(j);
	}
}

int cmd_list(int argc, char **argv)
{
	struct json_out j = { stdout, 0 };
	struct sampler *s = NULL;
	struct live *l = NULL;
	char why[640] = "";
	const char *bad;
	struct opts o;
	int err = opts_parse(&o, CMD_LIST, argc, argv);

	if (err)
		return err == 1 ? 0 : err;
	err = sampler_new(&o.meter, o.meters, &s, &bad);
	if (err == -ENOENT) {
		say("no energy source is called '%.*s'", (int)strcspn(bad, ","), bad);
		return EXIT_USAGE;
	}
	if (!err)
		sampler_measure(s, MEASURE_NS);
	if (s && o.json)
		json_sources(&j, s);
	else if (s)
		list_sources(s, o.verbose);
	(void)live_new(NET_AUTO, LIVE_RING_BYTES, 0, &l, why, sizeof(why));
	if (o.json) {
		json_rest(&j, l ? live_probes(l) : NULL, why);
	} else {
		list_probes(l ? live_probes(l) : NULL, why);
		list_wire();
	}
	live_free(l);
	sampler_free(s);
	return 0;
}
