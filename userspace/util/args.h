/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Command lines: a table of options, from which parsing and usage are made. */
#ifndef IPW_UTIL_ARGS_H
#define IPW_UTIL_ARGS_H

#include <stddef.h>
#include <stdio.h>

#define EXIT_USAGE 129 /* as perf and git have it */
#define ARGS_MAX   64  /* rows of a table */

enum { ARG_HELP = 'h', ARG_VERSION = 255 };

struct arg {
	int         id; /* a letter, if it has a short form; else 256 and more, or ARG_VERSION */
	const char *name, *arg, *help; /* arg: NULL if it takes none */
	int         commands;          /* bits */
};

struct args {
	const struct arg *row;
	size_t            n;
	int               command; /* whose rows count: a bit */
	const char       *usage;   /* the first line */
};

void args_usage(const struct args *a, FILE *f);

/*
 * Hands each option to take(), which returns 0, -EINVAL for a bad value or -E2BIG for too many. Parsing stops at the
 * first word that is none, whose index is in optind. 0: go on; 1: all is said (--help, --version), exit 0; EXIT_USAGE:
 * the reason has been printed.
 */
int args_parse(const struct args *a, int argc, char **argv, int (*take)(void *ctx, int id, const char *val), void *ctx);

/* "ipw-trace: " + message to stderr. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
