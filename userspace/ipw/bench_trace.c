// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/bench_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTACH_MS 60000
#define LINE_MAX_BYTES (8u << 20)

/* A row that waits to be taken. Rows whose sums are alike are in one chain. */
struct trace_row {
	struct trace_row *next;
	cJSON *row;
};

static uint64_t sum(const char *id, const char *client)
{
	uint64_t h = 0xcbf29ce484222325ull;
	const char *p;

	for (p = id; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
	h *= 0x100000001b3ull;
	for (p = client; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
	return h;
}

static const char *string(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

static double number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void add_row(struct trace *t, cJSON *o)
{
	const char *id = string(o, "request_id");
	struct trace_row *r;
	uint64_t h;

	if (strncmp(id, t->ours, strlen(t->ours))) {
		t->foreign++;
		t->foreign_j += number(o, "energy_j");
		cJSON_Delete(o);
		return;
	}
	t->ours_j += number(o, "energy_j");
	h = sum(id, string(o, "client"));
	r = malloc(sizeof(*r));
	if (!r) {
		cJSON_Delete(o);
		return;
	}
	*r = (struct trace_row){ hash_get(&t->rows, h), o };
	if (hash_put(&t->rows, h, r)) {
		free(r);
		cJSON_Delete(o);
	}
}

cJSON *trace_take(struct trace *t, const char *request_id, const char *client)
{
	uint64_t h = sum(request_id, client);
	struct trace_row *first = hash_get(&t->rows, h), **at = &first, *r;
	cJSON *row;

	while (*at && (strcmp(string((*at)->row, "request_id"), request_id) ||
		       strcmp(string((*at)->row, "client"), client)))
		at = &(*at)->next;
	r = *at;
	if (!r)
		return NULL;
	*at = r->next;
	if (!first)
		hash_del(&t->rows, h);
	else
		(void)hash_put(&t->rows, h, first); /* it is there: needs no memory */
	row = r->row;
	free(r);
	return row;
}

static void out_line(struct trace *t, char *line, size_t n)
{
	cJSON *o = cJSON_ParseWithLength(line, n);
	const char *type = string(o, "type");

	if (!strcmp(type, "query")) {
		add_row(t, o);
		return;
	}
	if (!strcmp(type, "summary")) {
		cJSON_Delete(t->summary);
		t->summary = o;
		return;
	}
	cJSON_Delete(o);
}

static void err_line(struct trace *t, char *line, size_t n)
{
	static const char name[] = "ipw-trace: ";

	line[n] = 0;
	if (!strncmp(line, name, sizeof(name) - 1))
		line += sizeof(name) - 1;
	snprintf(t->last, sizeof(t->last), "%s", line);
	if (!strncmp(line, "attached to ", 12))
		t->attached = 1;
	if (t->attached && t->said)
		t->said(t->ctx, line);
}

/* --- pipes -------------------------------------------------------------------------------------------------------- */

/* All whole lines that there are. 0: the other end is closed. */
static int read_lines(struct trace *t, struct trace_pipe *p, void (*fn)(struct trace *t, char *line, size_t n))
{
	size_t from, cap;
	char *nl, *more;
	ssize_t n;

	for (;;) {
		if (p->cap - p->n < 4096) {
			cap = p->cap ? 2 * p->cap : 65536;
			more = cap > LINE_MAX_BYTES ? NULL : realloc(p->buf, cap);
			if (!more)
				return 0;
			p->buf = more;
			p->cap = cap;
		}
		n = p->fd < 0 ? 0 : read(p->fd, p->buf + p->n, p->cap - p->n);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		p->n += (size_t)n;
		for (from = 0; (nl = memchr(p->buf + from, '\n', p->n - from)); from = (size_t)(nl - p->buf) + 1)
			fn(t, p->buf + from, (size_t)(nl - p->buf) - from);
		memmove(p->buf, p->buf + from, p->n - from);
		p->n -= from;
	}
}

static void shut(struct trace_pipe *p)
{
	if (p->fd >= 0)
		close(p->fd);
	free(p->buf);
	*p = (struct trace_pipe){ .fd = -1 };
}

int trace_read(struct trace *t)
{
	int goes_on;

	if (!t->pid)
		return 0;
	(void)read_lines(t, &t->err, err_line);
	goes_on = read_lines(t, &t->out, out_line);
	if (goes_on)
		return 1;
	(void)read_lines(t, &t->err, err_line);
	kill(t->pid, SIGINT); /* it has closed its end, or says what cannot be read */
	shut(&t->out);
	shut(&t->err);
	waitpid(t->pid, NULL, 0);
	t->pid = 0;
	return 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Ctrl-C at a terminal is ours to pass on, when the queries that run are over; and it never outlives us. */
static _Noreturn void be_tracer(const int out[2], const int err[2], char *const *argv, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGINT);
	if (getppid() == parent && dup2(out[1], STDOUT_FILENO) >= 0 && dup2(err[1], STDERR_FILENO) >= 0) {
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv("/proc/self/exe", argv);
	}
	_exit(127);
}

int trace_start(struct trace *t, const char *const *args, int n)
{
	const char *argv[TRACE_ARGS + 3] = { "ipw-trace", "--json" };
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, i, ret;
	pid_t parent = getpid();

	t->out.fd = t->err.fd = -1;
	if (n > TRACE_ARGS)
		return -E2BIG;
	for (i = 0; i < n; i++)
		argv[2 + i] = args[i];
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		ret = -errno;
		goto fail;
	}
	t->pid = fork();
	if (!t->pid)
		be_tracer(out, err, (char *const *)argv, parent);
	if (t->pid < 0) {
		t->pid = 0;
		ret = -errno;
		goto fail;
	}
	close(out[1]);
	close(err[1]);
	t->out.fd = out[0];
	t->err.fd = err[0];
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	return 0;
fail:
	for (i = 0; i < 2; i++) {
		if (out[i] >= 0)
			close(out[i]);
		if (err[i] >= 0)
			close(err[i]);
	}
	return ret;
}

int trace_attach(struct trace *t)
{
	struct pollfd p[2] = { { t->out.fd, POLLIN, 0 }, { t->err.fd, POLLIN, 0 } };
	int left = ATTACH_MS;

	while (trace_read(t) && !t->attached && left > 0) {
		(void)poll(p, 2, 100);
		left -= 100;
	}
	return t->attached && t->pid ? 0 : -ECHILD;
}

void trace_stop(struct trace *t)
{
	if (t->pid)
		kill(t->pid, SIGINT);
}

void trace_release(struct trace *t)
{
	struct trace_row *r, *next;
	size_t i = 0;

	if (t->pid) {
		kill(t->pid, SIGTERM);
		waitpid(t->pid, NULL, 0);
		t->pid = 0;
	}
	shut(&t->out);
	shut(&t->err);
	while ((r = hash_next(&t->rows, &i)))
		for (; r; r = next) {
			next = r->next;
			cJSON_Delete(r->row);
			free(r);
		}
	hash_release(&t->rows);
	cJSON_Delete(t->summary);
	t->summary = NULL;
}
