// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

void say(const char *fmt, ...)
{
	va_list ap;

	fputs("ipw-trace: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static int has_letter(const struct arg *r)
{
	return r->id < ARG_VERSION;
}

void args_usage(const struct args *a, FILE *f)
{
	const struct arg *r;
	char left[8];

	fprintf(f, "usage: %s\n\n", a->usage);
	for (r = a->row; r < a->row + a->n; r++) {
		if (!(r->commands & a->command))
			continue;
		snprintf(left, sizeof(left), has_letter(r) ? "-%c," : "   ", r->id);
		fprintf(f, "  %s --%s%s%-*s %s\n", left, r->name, r->arg ? " " : "",
			(int)(34 - strlen(r->name)) + !r->arg, r->arg ? r->arg : "", r->help);
	}
}

static void make_getopt(const struct args *a, char *shorts, struct option *longs)
{
	const struct arg *r;
	size_t n = 0;

	*shorts++ = '+'; /* stop at the first word that is no option */
	*shorts++ = ':';
	for (r = a->row; r < a->row + a->n; r++) {
		if (!(r->commands & a->command) || n == ARGS_MAX)
			continue;
		longs[n++] = (struct option){ r->name, r->arg != NULL, NULL, r->id };
		if (has_letter(r)) {
			*shorts++ = (char)r->id;
			if (r->arg)
				*shorts++ = ':';
		}
	}
	*shorts = 0;
	longs[n] = (struct option){ 0 };
}

static const char *name_of(const struct args *a, int id)
{
	size_t i;

	for (i = 0; i + 1 < a->n && a->row[i].id != id; i++)
		;
	return a->row[i].name;
}

int args_parse(const struct args *a, int argc, char **argv, int (*take)(void *ctx, int id, const char *val), void *ctx)
{
	struct option longs[ARGS_MAX + 1];
	char shorts[2 * ARGS_MAX + 3];
	int id, err;

	make_getopt(a, shorts, longs);
	optind = 1;
	opterr = 0;
	while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (id == ARG_HELP) {
			args_usage(a, stdout);
			return 1;
		}
		if (id == ARG_VERSION) {
			printf("ipw-trace %s\n", IPW_VERSION);
			return 1;
		}
		if (id == '?' || id == ':') {
			say(id == ':' ? "option '%s' needs an argument" : "unknown option '%s'", argv[optind - 1]);
			args_usage(a, stderr);
			return EXIT_USAGE;
		}
		err = take(ctx, id, optarg);
		if (err) {
			say(err == -E2BIG ? "too many values for --%s: '%s'" : "bad value for --%s: '%s'",
			    name_of(a, id), optarg);
			return EXIT_USAGE;
		}
	}
	return 0;
}
