// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace csv: JSON lines as CSV. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/util/args.h"
#include "userspace/util/csv.h"

enum { O_TYPE = 256 };

static const struct arg table[] = {
	{ O_TYPE, "type", "NAME", "of the objects that are wanted (result)", 1 },
	{ ARG_HELP, "help", NULL, "this text", 1 },
};

static int take(void *ctx, int id, const char *val)
{
	const char **type = ctx;

	*type = val;
	return *val ? 0 : -EINVAL;
}

/* A file is read twice: what comes by a pipe is kept. */
static int spool(FILE *in, FILE **ret)
{
	FILE *f = csv_spool();
	char buf[65536];
	size_t n;

	if (!f)
		return -errno;
	while ((n = fread(buf, 1, sizeof(buf), in)) && fwrite(buf, 1, n, f) == n)
		;
	if (ferror(in) || ferror(f) || fflush(f)) {
		fclose(f);
		return -EIO;
	}
	*ret = f;
	return 0;
}

static int open_in(const char *path, FILE **ret)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int err = 0;

	if (!f)
		return -errno;
	*ret = f;
	if (fseek(f, 0, SEEK_END)) {
		err = spool(f, ret);
		if (f != stdin)
			fclose(f);
	}
	return err;
}

static int convert(const char *path, const char *type)
{
	struct csv_count n = { 0 };
	FILE *in = NULL;
	int err = open_in(path, &in);

	if (!err) {
		err = csv_of_json(in, type, stdout, &n);
		if (in != stdin)
			fclose(in);
	}
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = -EIO;
	if (err)
		say("cannot make CSV of '%s': %s", path, strerror(-err));
	if (n.bad)
		say("%s: %llu lines are no JSON objects and left out, the first is line %llu", path,
		    (unsigned long long)n.bad, (unsigned long long)n.first_bad);
	if (!err && !n.rows)
		say("there is no object of type '%s' in '%s', and %llu of others (--type)", type, path,
		    (unsigned long long)n.others);
	return err || !n.rows ? 1 : 0;
}

int cmd_csv(int argc, char **argv)
{
	struct args a = { table, sizeof(table) / sizeof(*table), 1, "ipw-trace csv [--type NAME] FILE" };
	const char *type = "result";
	int ret = args_parse(&a, argc, argv, take, &type);

	if (ret)
		return ret == 1 ? 0 : ret;
	if (argc - optind != 1) {
		say("one file is to be named ('-': standard input)");
		args_usage(&a, stderr);
		return EXIT_USAGE;
	}
	return convert(argv[optind], type);
}
