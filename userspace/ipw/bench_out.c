// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The file of results: its first line, what is there of it already, and one more line. */
#include "userspace/ipw/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/ipw/bench_internal.h"
#include "userspace/util/fd.h"
#include "userspace/util/json_out.h"

#define SCHEMA 1

static void new_id(char id[17])
{
	uint64_t v = 0;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		v = (uint64_t)getpid();
	snprintf(id, 17, "%016llx", (unsigned long long)v);
}

/* The first line. What one run and its continuation have in common is in `config`. */
static char *head(const struct bench_run *r, const char *run)
{
	const struct bench_opts *o = r->o;
	char *buf = NULL, sum[17];
	size_t size;
	struct json_out j = { .f = open_memstream(&buf, &size) };

	if (!j.f)
		return NULL;
	snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)r->d->sum);
	json_open(&j, NULL, '{');
	json_str(&j, "type", "run");
	json_int(&j, "schema", SCHEMA);
	json_str(&j, "version", IPW_VERSION);
	json_str(&j, "run", run);
	json_open(&j, "config", '{');
	json_str(&j, "dataset", r->d->name);
	json_str(&j, "dataset_sum", sum);
	json_str(&j, "url", o->url);
	json_str(&j, "model", r->model);
	json_str(&j, "hardware", r->hardware);
	json_int(&j, "seed", (int64_t)o->seed);
	json_int(&j, "queries", (int64_t)r->plan->n);
	json_int(&j, "repetitions", o->repetitions);
	json_int(&j, "concurrency", o->concurrency);
	json_num(&j, "rate", o->rate);
	json_raw(&j, "request", r->request);
	model_file_json(&j, "model_file", r->file);
	json_raw(&j, "attention", o->attention ? "true" : "false");
	json_close(&j, '}');
	json_close(&j, '}');
	json_line(&j);
	if (fclose(j.f)) {
		free(buf);
		return NULL;
	}
	return buf;
}

/* 0: they are the same; else -EEXIST with the first member that is not. */
/* What the server's machine tells, or not, from one start to the next; and what older files do not have. */
static int may_differ(const cJSON *then, const cJSON *now)
{
	return (!strcmp(now->string, "model_file") && (!then || cJSON_IsNull(then) || cJSON_IsNull(now))) ||
	       (!strcmp(now->string, "attention") && !then && cJSON_IsFalse(now));
}

static int compare(const cJSON *old, const char *now, char *why, size_t size)
{
	cJSON *mine = cJSON_Parse(now);
	const cJSON *a, *b, *config = cJSON_GetObjectItem(mine, "config");
	char *x, *y;
	int err = 0;

	cJSON_ArrayForEach(b, config) {
		a = cJSON_GetObjectItem(cJSON_GetObjectItem(old, "config"), b->string);
		if (err || cJSON_Compare(a, b, 1) || may_differ(a, b))
			continue;
		x = cJSON_PrintUnformatted(a);
		y = cJSON_PrintUnformatted(b);
		snprintf(why, size, "%s is %s there, and %s now", b->string, x ? x : "not said", y ? y : "?");
		free(x);
		free(y);
		err = -EEXIST;
	}
	cJSON_Delete(mine);
	return err;
}

/* --- what is there ------------------------------------------------------------------------------------------------ */

/* Places in the plan by query and repetition. */
struct places {
	const struct bench_run *r;
	uint32_t *at; /* by repetition and item: place, from 1 */
};

static int places_init(struct places *p, const struct bench_run *r)
{
	size_t i, rep;

	*p = (struct places){ r, calloc(r->d->n * (size_t)r->o->repetitions + 1, sizeof(uint32_t)) };
	if (!p->at)
		return -ENOMEM;
	for (i = 0; i < r->plan->total; i++) {
		rep = i / r->plan->n;
		p->at[rep * r->d->n + r->plan->item[i]] = (uint32_t)i + 1;
	}
	return 0;
}

static void old_row(struct bench_out *b, const struct places *p, const cJSON *row)
{
	const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(row, "type"));
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(row, "query_id"));
	const cJSON *rep = cJSON_GetObjectItem(row, "repetition");
	const struct item *it = id ? dataset_find(p->r->d, id) : NULL;
	uint32_t at;

	if (!type) {
		b->bad++;
		return;
	}
	if (strcmp(type, "result"))
		return;
	if (!it || !cJSON_IsNumber(rep) || rep->valueint < 0 || rep->valueint >= p->r->o->repetitions) {
		b->bad++;
		return;
	}
	at = p->at[(size_t)rep->valueint * p->r->d->n + (size_t)(it - p->r->d->item)];
	if (at && !b->done[at - 1]) {
		b->done[at - 1] = 1;
		b->ndone++;
	}
}

/* All whole lines behind the first; ret_end: where they end. */
static int old_rows(struct bench_out *b, const struct bench_run *r, FILE *f, off_t *ret_end)
{
	struct places p;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	cJSON *row;
	int err = places_init(&p, r);

	while (!err && (n = getline(&line, &cap, f)) > 0 && line[n - 1] == '\n') {
		row = cJSON_ParseWithLength(line, (size_t)n);
		old_row(b, &p, row);
		cJSON_Delete(row);
		*ret_end = ftello(f);
	}
	if (!err && ferror(f))
		err = -EIO;
	free(line);
	free(p.at);
	return err;
}

/* A run of ours is in the file: goes on behind its last whole line. */
static int go_on(struct bench_out *b, const struct bench_run *r, char *why, size_t size)
{
	int fd = dup(b->fd), err = -EBADMSG;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char *line = NULL, *mine = NULL;
	const char *type, *run;
	size_t cap = 0;
	cJSON *old;
	off_t end;
	ssize_t n;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	n = getline(&line, &cap, f);
	old = n > 0 ? cJSON_ParseWithLength(line, (size_t)n) : NULL;
	type = cJSON_GetStringValue(cJSON_GetObjectItem(old, "type"));
	run = cJSON_GetStringValue(cJSON_GetObjectItem(old, "run"));
	if (type && run && !strcmp(type, "run") && line[n - 1] == '\n') {
		snprintf(b->run, sizeof(b->run), "%s", run);
		mine = head(r, b->run);
		err = mine ? compare(old, mine, why, size) : -ENOMEM;
	}
	end = ftello(f);
	if (!err)
		err = old_rows(b, r, f, &end);
	b->torn = !err && lseek(b->fd, 0, SEEK_END) > end;
	if (b->torn && ftruncate(b->fd, end))
		err = -errno;
	cJSON_Delete(old);
	free(mine);
	free(line);
	fclose(f);
	return err;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static int begin(struct bench_out *b, const struct bench_run *r)
{
	char *line;
	int err;

	new_id(b->run);
	line = head(r, b->run);
	err = line ? fd_write(b->fd, line, strlen(line)) : -ENOMEM;
	free(line);
	return err;
}

int bench_out_open(struct bench_out *b, const struct bench_run *r, char *why, size_t size)
{
	struct stat st;
	int err = 0;

	*b = (struct bench_out){ .fd = -1, .answers = -1, .done = calloc(r->plan->total + 1, 1) };
	new_id(b->segment);
	*why = 0;
	if (!b->done)
		return -ENOMEM;
	b->fd = open(r->o->out, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (b->fd < 0 || fstat(b->fd, &st))
		err = -errno;
	else if (flock(b->fd, LOCK_EX | LOCK_NB))
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else
		err = st.st_size ? go_on(b, r, why, size) : begin(b, r);
	if (!err && r->o->answers) {
		b->answers = open(r->o->answers, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		err = b->answers < 0 ? -errno : 0;
		snprintf(why, size, "%s", err ? r->o->answers : "");
	}
	if (err)
		bench_out_close(b);
	return err;
}

void bench_out_close(struct bench_out *b)
{
	if (b->fd >= 0)
		close(b->fd);
	if (b->answers >= 0)
		close(b->answers);
	free(b->done);
	*b = (struct bench_out){ .fd = -1, .answers = -1 };
}

int bench_out_line(struct bench_out *b, const char *json, size_t n)
{
	return fd_write(b->fd, json, n);
}

static int answer(struct bench_out *b, const struct bench_row *row)
{
	char *buf = NULL;
	size_t size;
	struct json_out j = { .f = open_memstream(&buf, &size) };
	int err;

	if (!j.f)
		return -ENOMEM;
	json_open(&j, NULL, '{');
	json_str(&j, "type", "answer");
	json_str(&j, "run", b->run);
	json_str(&j, "query_id", row->it->id);
	json_int(&j, "repetition", row->repetition);
	json_str(&j, "model", row->run->model);
	json_str(&j, "end", reply_end_name(row->reply->end));
	json_str(&j, "text", row->reply->text);
	json_close(&j, '}');
	json_line(&j);
	err = fclose(j.f) ? -ENOMEM : fd_write(b->answers, buf, size);
	free(buf);
	return err;
}

/* First the answer: one that has no row is written again, and the last one counts. */
int bench_out_row(struct bench_out *b, const struct bench_row *row)
{
	size_t n;
	int err = b->answers >= 0 ? answer(b, row) : 0;
	char *line = err ? NULL : bench_row_json(row, b, &n);

	if (!err)
		err = line ? fd_write(b->fd, line, n) : -ENOMEM;
	free(line);
	return err;
}
