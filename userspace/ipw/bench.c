// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/bench_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "userspace/util/args.h"
#include "userspace/util/clock.h"

#define BASELINE_US 1600000 /* without a query, before the first: an idle floor is a second's mean */
#define LAST_US     300000  /* behind the last one, for the meter to go past it */
#define BAD_SAID    5       /* rows of a data set, one by one */

/* --- what is run -------------------------------------------------------------------------------------------------- */

static void on_bad(void *ctx, const char *path, size_t line, const char *why)
{
	struct bench *b = ctx;

	if (b->d.bad <= BAD_SAID)
		say("%s:%zu: left out: %s", path, line, why);
}

static int read_dataset(struct bench *b)
{
	const char *path = strchr(b->o->dataset, ':');
	int err = dataset_read(&b->d, b->o->dataset, on_bad, b), i;

	if (err == -EINVAL) {
		fprintf(stderr, "ipw-trace: bad value for --dataset: '%s'; it is FORM:PATH, of the forms",
			b->o->dataset);
		for (i = 0; dataset_form(i); i++)
			fprintf(stderr, "%s %s", i ? "," : "", dataset_form(i));
		fputc('\n', stderr);
	} else if (err) {
		say("cannot read '%s': %s", path + 1,
		    err == -ENODATA ? "no row in it is of that form" : strerror(-err));
	} else if (b->d.bad) {
		say("%zu rows of '%s' left out, %zu are good", b->d.bad, path + 1, b->d.n);
	}
	return err;
}

/* What is said of each query beside its messages. */
static int make_request(struct bench *b)
{
	const struct bench_opts *o = b->o;
	cJSON *r = cJSON_CreateObject(), *v;
	const char *eq;
	char key[64];
	int i, err = 0;

	cJSON_AddStringToObject(r, "model", b->run.model);
	cJSON_AddTrueToObject(r, "stream");
	cJSON_AddTrueToObject(cJSON_AddObjectToObject(r, "stream_options"), "include_usage");
	cJSON_AddNumberToObject(r, "max_tokens", o->max_tokens);
	cJSON_AddNumberToObject(r, "temperature", o->temperature);
	if (o->logprobs)
		cJSON_AddTrueToObject(r, "logprobs");
	for (i = 0; i < o->nparam && !err; i++) {
		eq = strchr(o->param[i], '=');
		v = eq ? cJSON_ParseWithOpts(eq + 1, NULL, 1) : NULL;
		if (!v || eq == o->param[i] || (size_t)(eq - o->param[i]) >= sizeof(key)) {
			say("bad value for --param: '%s' (it is NAME=JSON)", o->param[i]);
			cJSON_Delete(v);
			err = -EINVAL;
			continue;
		}
		snprintf(key, sizeof(key), "%.*s", (int)(eq - o->param[i]), o->param[i]);
		cJSON_DeleteItemFromObjectCaseSensitive(r, key);
		cJSON_AddItemToObject(r, key, v);
	}
	b->run.request = err ? NULL : cJSON_PrintUnformatted(r);
	cJSON_Delete(r);
	return err ? err : b->run.request ? 0 : -ENOMEM;
}

static void describe(struct bench *b, const char *host, int local)
{
	char *to = b->run.hardware;
	size_t size = sizeof(b->run.hardware);

	if (b->o->hardware)
		snprintf(to, size, "%s", b->o->hardware);
	else if (local)
		b->o->describe(to, size);
	else
		snprintf(to, size, "unknown machine at %s", host);
}

/* The model's file: the one that is named, or what a server that is here has open. 0, or -errno for one named. */
static int read_model(struct bench *b, unsigned port, int local)
{
	const struct bench_opts *o = b->o;
	char path[4096], why[256] = "";
	int err = -ENOENT;

	snprintf(path, sizeof(path), "%s", o->model_file ? o->model_file : "");
	if (o->model_file || ((local || o->pid) &&
			      !(err = o->find_model(o->pid, port, path, sizeof(path), why, sizeof(why)))))
		err = model_file_read(path, &b->file, why, sizeof(why));
	b->run.file = err ? NULL : &b->file;
	if (!err)
		say("the model's file: %s", model_file_text(&b->file, path, sizeof(path)));
	else if (o->model_file)
		say("cannot read '%s': %s", path, why);
	else if (*why)
		say("FLOPs will not be known: %s (--model-file names the model's file)", why);
	return err && o->model_file ? err : 0;
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

static void on_tracer_says(void *ctx, const char *line)
{
	bench_progress_clear(ctx);
	say("%s", line);
}

static int start_trace(struct bench *b, unsigned port, int local)
{
	const struct bench_opts *o = b->o;
	const char *args[TRACE_ARGS];
	char text[16];
	int n = 0, i, err = -ECHILD;

	snprintf(text, sizeof(text), "%u", port);
	args[n++] = o->pid ? "-p" : "--port";
	args[n++] = o->pid ? o->pid : text;
	if (o->record) {
		args[n++] = "-o";
		args[n++] = o->record;
	}
	for (i = 0; i < o->ntracer && n < TRACE_ARGS; i++)
		args[n++] = o->tracer[i];
	b->trace.ours = b->ours;
	b->trace.said = on_tracer_says;
	b->trace.ctx = b;
	snprintf(b->trace.last, sizeof(b->trace.last), "the server is on another machine");
	if (!o->no_trace && (local || o->pid)) {
		err = trace_start(&b->trace, args, n);
		err = err ? err : trace_attach(&b->trace);
	}
	if (!err) {
		b->traces = 1;
		usleep(BASELINE_US);
		return 0;
	}
	trace_release(&b->trace);
	if (o->require_energy || !o->no_trace)
		say("joules will not be known: %s", b->trace.last);
	return o->require_energy ? err : 0;
}

static int open_loop(struct bench *b)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	b->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	b->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	b->epfd = epoll_create1(EPOLL_CLOEXEC);
	return b->sigfd < 0 || b->timerfd < 0 || b->epfd < 0 ? -errno : 0;
}

static int open_out(struct bench *b)
{
	const struct bench_opts *o = b->o;
	char why[512];
	int err = bench_out_open(&b->out, &b->run, why, sizeof(why));

	if (err == -EEXIST)
		say("cannot go on in '%s': it is of another run: %s", o->out, why);
	else if (err == -EBADMSG)
		say("cannot write '%s': there is something in it that is no bench's", o->out);
	else if (err == -EBUSY)
		say("cannot write '%s': another bench does", o->out);
	else if (err)
		say("cannot write '%s': %s", *why ? why : o->out, strerror(-err));
	if (!err && b->out.ndone)
		say("'%s' has %zu of %zu already", o->out, b->out.ndone, b->plan.total);
	if (!err && (b->out.torn || b->out.bad))
		say("of '%s' %s%zu lines are no rows of this run", o->out,
		    b->out.torn ? "the last line was torn, " : "", b->out.bad);
	return err;
}

static int prepare(struct bench *b)
{
	const struct bench_opts *o = b->o;
	struct client_opts c = { .url = o->url, .timeout_s = o->timeout_s,
				 .max = o->concurrency ? o->concurrency : BENCH_MOST };
	struct rlimit files;
	char host[256], why[160];
	unsigned port;
	int err, local;

	if (client_host(o->url, host, sizeof(host), &port)) {
		say("bad value for --url: '%s'", o->url);
		return -EINVAL;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	c.direct = local = client_is_local(host);
	c.key = o->key_env ? getenv(o->key_env) : NULL;
	if (o->model) {
		snprintf(b->run.model, sizeof(b->run.model), "%s", o->model);
	} else if ((err = client_model(&c, b->run.model, sizeof(b->run.model), why, sizeof(why)))) {
		say("cannot ask '%s' for its model: %s", o->url, why);
		return err;
	}
	err = make_request(b);
	describe(b, host, local);
	err = err ? err : read_model(b, port, local);
	err = err ? err : open_loop(b);
	err = err ? err : open_out(b);
	b->left = b->plan.total - b->out.ndone;
	if (err || !b->left)
		return err;
	snprintf(b->ours, sizeof(b->ours), "ipw-%.12s-", b->out.segment);
	err = client_new(&c, bench_done, b, &b->client);
	return err ? err : start_trace(b, port, local);
}

static void end_trace(struct bench *b)
{
	uint64_t until = clock_mono_ns() + 120 * NS_PER_S;

	if (!b->trace.pid)
		return;
	usleep(LAST_US);
	trace_stop(&b->trace);
	while (trace_read(&b->trace) && clock_mono_ns() < until)
		usleep(20000);
}

static void release(struct bench *b)
{
	struct flight *f;

	while ((f = b->wait)) {
		b->wait = f->next;
		bench_flight_free(f);
	}
	client_free(b->client);
	trace_release(&b->trace);
	bench_out_close(&b->out);
	plan_release(&b->plan);
	dataset_release(&b->d);
	free(b->run.request);
	if (b->sigfd >= 0)
		close(b->sigfd);
	if (b->timerfd >= 0)
		close(b->timerfd);
	if (b->epfd >= 0)
		close(b->epfd);
}

int bench_run(const struct bench_opts *o)
{
	struct bench b = { .o = o, .epfd = -1, .sigfd = -1, .timerfd = -1, .warm = o->warmup,
			   .random = o->seed, .jitter = ~o->seed, .out = { .fd = -1, .answers = -1 } };
	int err = read_dataset(&b);

	b.wait_end = &b.wait;
	b.shows = isatty(STDERR_FILENO);
	b.run = (struct bench_run){ .o = o, .d = &b.d, .plan = &b.plan };
	b.trace.out.fd = b.trace.err.fd = -1;
	if (!err)
		err = plan_init(&b.plan, b.d.n, o->queries, o->repetitions, o->seed);
	if (!err)
		err = prepare(&b);
	if (!err && !b.left)
		printf(" all %zu queries are in '%s'\n", b.plan.total, o->out);
	if (!err && b.left) {
		bench_loop(&b);
		end_trace(&b);
		bench_settle(&b, 1);
		bench_finish(&b);
		if (b.err)
			say("cannot write '%s': %s", o->out, strerror(-b.err));
		if (b.why[0])
			say("%s; %zu queries are left: the same command goes on", b.why,
			    b.plan.total - b.out.ndone - b.sum.rows);
		err = b.err ? b.err : b.why[0] ? -EINTR : b.sum.failed == b.sum.rows ? -EIO : 0;
	}
	release(&b);
	return err ? 1 : 0;
}
