// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace grade: verdicts on the answers that a bench has kept. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "userspace/cmd.h"
#include "userspace/ipw/grade_file.h"
#include "userspace/util/args.h"

enum { O_ANSWERS = 256, O_JUDGE_URL, O_JUDGE_MODEL, O_KEY, O_VERDICTS, O_REFERENCE };

static const struct arg table[] = {
	{ 'i', "input", "FILE", "results of bench", 1 },
	{ O_ANSWERS, "answers", "FILE", "the answers that it kept", 1 },
	{ 'd', "dataset", "FORM:PATH", "the data set that they answer", 1 },
	{ 'o', "output", "FILE", "the results with their verdicts (standard output)", 1 },
	{ O_JUDGE_URL, "judge-url", "URL", "a server with OpenAI's chat completions, for what no rule decides", 1 },
	{ O_JUDGE_MODEL, "judge-model", "NAME", "to ask for (the first that the server says it has)", 1 },
	{ O_KEY, "key-env", "NAME", "the environment's variable with the API key", 1 },
	{ O_VERDICTS, "verdicts", "FILE", "verdicts that are there already; the judge's are added", 1 },
	{ O_REFERENCE, "reference", "FILE", "answers to compare with, pair by pair, instead of the data set's", 1 },
	{ 'c', "concurrency", "N", "questions to the judge at a time (4)", 1 },
	{ ARG_HELP, "help", NULL, "this text", 1 },
};

static int take(void *ctx, int id, const char *val)
{
	struct grade_opts *o = ctx;
	const char **to = id == 'i' ? &o->in : id == 'd' ? &o->dataset : id == 'o' ? &o->out :
			  id == O_ANSWERS ? &o->answers : id == O_JUDGE_URL ? &o->judge_url :
			  id == O_JUDGE_MODEL ? &o->judge_model : id == O_KEY ? &o->key_env :
			  id == O_VERDICTS ? &o->verdicts : &o->reference;
	char *end;
	long n;

	if (id == 'c') {
		n = strtol(val, &end, 10);
		o->concurrency = (int)n;
		return end == val || *end || n < 1 || n > 1024 ? -EINVAL : 0;
	}
	*to = val;
	return *val ? 0 : -EINVAL;
}

int cmd_grade(int argc, char **argv)
{
	static const char usage[] = "ipw-trace grade -i RESULTS --answers FILE -d FORM:PATH [options]";
	struct args a = { table, sizeof(table) / sizeof(*table), 1, usage };
	struct grade_opts o = { .concurrency = 4 };
	int ret = args_parse(&a, argc, argv, take, &o);

	if (ret)
		return ret == 1 ? 0 : ret;
	if (optind < argc) {
		say("unexpected argument '%s'", argv[optind]);
		return EXIT_USAGE;
	}
	if (!o.in || !o.dataset || (!o.answers && !o.verdicts)) {
		say("%s is missing", !o.in ? "--input" : !o.dataset ? "--dataset" : "--answers");
		args_usage(&a, stderr);
		return EXIT_USAGE;
	}
	return grade_run(&o);
}
