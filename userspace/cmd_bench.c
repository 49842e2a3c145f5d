// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace bench: a data set at a server, a result for each query of it. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/cmd.h"
#include "userspace/gpus.h"
#include "userspace/ipw/bench.h"
#include "userspace/served.h"
#include "userspace/util/args.h"

enum { O_URL = 256, O_MODEL, O_HARDWARE, O_ANSWERS, O_KEY, O_RECORD, O_PARAM, O_RATE, O_QUERIES, O_REPEAT, O_WARMUP,
       O_RETRIES, O_SEED, O_MAX_TOKENS, O_TEMPERATURE, O_TIMEOUT, O_LOGPROBS, O_NO_TRACE, O_REQUIRE, O_MODEL_FILE,
       O_ATTENTION,
       /* the tracer's own, handed on */
       O_METER, O_POWER_MODEL, O_IDLE, O_SYSFS, O_PROCFS, O_NET, O_NO_STEPS, O_SPLIT, O_INTERVAL };

static const struct arg table[] = {
	{ 'd', "dataset", "FORM:PATH", "mmlu-pro, supergpqa, natural-reasoning, wildchat or jsonl", 1 },
	{ O_URL, "url", "URL", "of a server that speaks OpenAI's chat completions", 1 },
	{ 'o', "output", "FILE", "results, a JSON line each; one that is there goes on", 1 },
	{ O_ANSWERS, "answers", "FILE", "keep the answers' text there, for grade", 1 },
	{ O_MODEL, "model", "NAME", "to ask for (the first that the server says it has)", 1 },
	{ 'c', "concurrency", "N", "queries at a time (1)", 1 },
	{ O_RATE, "rate", "R", "arrivals a second, at random (Poisson), instead of one when one ends", 1 },
	{ 'n', "queries", "N", "so many of the data set, as the seed says (all)", 1 },
	{ O_REPEAT, "repetitions", "N", "of each query (1)", 1 },
	{ O_WARMUP, "warmup", "N", "queries of our own before the first, in no row", 1 },
	{ O_SEED, "seed", "N", "of the order, of arrivals, and in the requests (1)", 1 },
	{ O_MAX_TOKENS, "max-tokens", "N", "of an answer (2048)", 1 },
	{ O_TEMPERATURE, "temperature", "T", "(0)", 1 },
	{ O_PARAM, "param", "NAME=JSON", "more for each request: top_p=0.95", 1 },
	{ O_LOGPROBS, "logprobs", NULL, "ask for log-probabilities, for ppl", 1 },
	{ O_RETRIES, "retries", "N", "of a query that is answered by 429 or 503 (5)", 1 },
	{ O_TIMEOUT, "timeout", "S", "of a query (600)", 1 },
	{ O_KEY, "key-env", "NAME", "the environment's variable with the API key", 1 },
	{ O_HARDWARE, "hardware", "TEXT", "what the results call the server's machine (this one, described)", 1 },
	{ 'p', "pid", "PID", "the server's process (who listens at the URL's port, if that is here)", 1 },
	{ O_MODEL_FILE, "model-file", "PATH", "the model's GGUF file or folder (the one that the server has open)", 1 },
	{ O_ATTENTION, "attention", NULL, "count attention in the FLOPs", 1 },
	{ O_NO_TRACE, "no-trace", NULL, "no tracer: no joules", 1 },
	{ O_REQUIRE, "require-energy", NULL, "do not begin without joules", 1 },
	{ O_RECORD, "record", "FILE", "keep the tracer's recording", 1 },
	{ O_METER, "meter", "NAME[,NAME]", "for the tracer, as all below", 1 },
	{ O_POWER_MODEL, "power-model", "idle=W,max=W", "", 1 },
	{ O_IDLE, "idle", "DOMAIN=W[,...]|auto|none", "", 1 },
	{ O_INTERVAL, "interval", "MS", "", 1 },
	{ O_SYSFS, "sysfs", "DIR", "", 1 },
	{ O_PROCFS, "procfs", "DIR", "", 1 },
	{ O_NET, "net", "tp|sys", "", 1 },
	{ O_NO_STEPS, "no-steps", NULL, "", 1 },
	{ O_SPLIT, "split", "auto|tokens", "", 1 },
	{ ARG_HELP, "help", NULL, "this text", 1 },
};

static double number(const char *s, double min, double max)
{
	char *end;
	double v = strtod(s, &end);

	return end == s || *end || !(v >= min && v <= max) ? NAN : v;
}

/* 0 or -EINVAL; whole numbers only */
static int take_int(const char *s, double min, double max, int *ret)
{
	double v = number(s, min, max);

	if (isnan(v) || v != floor(v))
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

static int take_double(const char *s, double min, double max, double *ret)
{
	double v = number(s, min, max);

	if (isnan(v))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int take_text(const char *s, const char **ret)
{
	*ret = s;
	return *s ? 0 : -EINVAL;
}

static int take_tracer(struct bench_opts *o, int id, const char *val)
{
	static const char *const names[] = { "--meter", "--power-model", "--idle", "--sysfs", "--procfs", "--net",
					     "--no-steps", "--split", "--interval" };

	if (o->ntracer + 6 > TRACE_ARGS)
		return -E2BIG;
	o->tracer[o->ntracer++] = names[id - O_METER];
	if (val)
		o->tracer[o->ntracer++] = val;
	return 0;
}

static int take_count(struct bench_opts *o, int id, const char *val)
{
	int v, err;

	switch (id) {
	case 'c':
		return take_int(val, 1, BENCH_MOST, &o->concurrency);
	case O_REPEAT:
		return take_int(val, 1, 1000, &o->repetitions);
	case O_RETRIES:
		return take_int(val, 0, 100, &o->retries);
	case O_WARMUP:
		return take_int(val, 0, 1e6, &o->warmup);
	case O_MAX_TOKENS:
		return take_int(val, 1, 1e9, &o->max_tokens);
	case O_QUERIES:
	case 'n':
		err = take_int(val, 1, 1e9, &v);
		o->queries = err ? 0 : (size_t)v;
		return err;
	case O_SEED:
		err = take_int(val, 0, 2147483647, &v);
		o->seed = err ? 0 : (uint64_t)v;
		return err;
	}
	return -EINVAL;
}

static int take(void *ctx, int id, const char *val)
{
	struct bench_opts *o = ctx;

	if (id >= O_METER)
		return take_tracer(o, id, val);
	switch (id) {
	case 'd':
		return take_text(val, &o->dataset);
	case O_URL:
		return take_text(val, &o->url);
	case 'o':
		return take_text(val, &o->out);
	case O_ANSWERS:
		return take_text(val, &o->answers);
	case O_MODEL:
		return take_text(val, &o->model);
	case O_HARDWARE:
		return take_text(val, &o->hardware);
	case O_KEY:
		return take_text(val, &o->key_env);
	case 'p':
		return take_text(val, &o->pid);
	case O_RECORD:
		return take_text(val, &o->record);
	case O_RATE:
		return take_double(val, 1e-6, 1e6, &o->rate);
	case O_TEMPERATURE:
		return take_double(val, 0, 100, &o->temperature);
	case O_TIMEOUT:
		return take_double(val, 0.1, 1e6, &o->timeout_s);
	case O_PARAM:
		if (o->nparam == BENCH_PARAMS)
			return -E2BIG;
		return take_text(val, &o->param[o->nparam++]);
	case O_MODEL_FILE:
		return take_text(val, &o->model_file);
	case O_ATTENTION:
		o->attention = 1;
		return 0;
	case O_LOGPROBS:
		o->logprobs = 1;
		return 0;
	case O_NO_TRACE:
		o->no_trace = 1;
		return 0;
	case O_REQUIRE:
		o->require_energy = 1;
		return 0;
	}
	return take_count(o, id, val);
}

int cmd_bench(int argc, char **argv)
{
	static const char usage[] = "ipw-trace bench -d FORM:PATH --url URL -o FILE [options]";
	struct args a = { table, sizeof(table) / sizeof(*table), 1, usage };
	struct bench_opts o = { .describe = gpus_this_machine, .find_model = served_model, .repetitions = 1,
				.retries = 5, .seed = 1, .max_tokens = 2048, .timeout_s = 600 };
	int ret = args_parse(&a, argc, argv, take, &o);

	if (ret)
		return ret == 1 ? 0 : ret;
	if (optind < argc) {
		say("unexpected argument '%s'", argv[optind]);
		return EXIT_USAGE;
	}
	if (!o.dataset || !o.url || !o.out) {
		say("%s is missing", !o.dataset ? "--dataset" : !o.url ? "--url" : "--output");
		args_usage(&a, stderr);
		return EXIT_USAGE;
	}
	if (o.no_trace && o.require_energy) {
		say("--no-trace and --require-energy exclude each other");
		return EXIT_USAGE;
	}
	if (!o.concurrency && !(o.rate > 0))
		o.concurrency = 1;
	return bench_run(&o);
}
