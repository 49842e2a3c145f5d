// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One result as a line. What is not known is null. */
#include "userspace/ipw/bench.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/ipw/bench_internal.h"
#include "userspace/ipw/grade.h"
#include "userspace/util/json_out.h"

static const cJSON *traced(const struct bench_row *row, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(row->traced, key);
}

static double traced_num(const struct bench_row *row, const char *key)
{
	const cJSON *v = traced(row, key);

	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static double seconds(uint64_t from, uint64_t to)
{
	return from && to ? (double)(int64_t)(to - from) * 1e-9 : NAN;
}

static void copy(struct json_out *j, const char *key, const cJSON *v)
{
	char *s = v ? cJSON_PrintUnformatted(v) : NULL;

	json_raw(j, key, s ? s : "null");
	free(s);
}

/* "package-0+dram-0": whose joules are summed. */
static void scope(struct json_out *j, const struct bench_row *row)
{
	const cJSON *d, *all = traced(row, "energy_by_domain");
	char buf[256] = "";
	size_t n = 0;

	cJSON_ArrayForEach(d, all)
		if (cJSON_IsNumber(d) && n < sizeof(buf))
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%s", n ? "+" : "", d->string);
	json_str(j, "scope", buf);
}

static int differ(const struct bench_row *row, const char *key, int64_t mine)
{
	double v = traced_num(row, key);

	return mine >= 0 && !isnan(v) && v != (double)mine;
}

static void flags(struct json_out *j, const struct bench_row *row)
{
	const struct reply *r = row->reply;
	const struct {
		const char *name;
		int on;
	} ours[] = {
		{ "failed", row->verdict == VERDICT_FAILED },
		{ "unparsable", row->verdict == VERDICT_UNREADABLE },
		{ "untraced", row->untraced },
		{ "cut_text", r->cut_text },
		{ "tokens_differ", differ(row, "prompt_tokens", r->prompt) ||
				   differ(row, "completion_tokens", r->completion) },
	};
	const cJSON *f;
	size_t i;

	json_open(j, "flags", '[');
	for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (ours[i].on)
			json_str(j, NULL, ours[i].name);
	cJSON_ArrayForEach(f, traced(row, "flags"))
		json_str(j, NULL, cJSON_GetStringValue(f));
	if (!row->traced && r->completion < 0 && r->parts)
		json_str(j, NULL, "estimated_tokens");
	json_close(j, ']');
}

static void identity(struct json_out *j, const struct bench_row *row)
{
	int correct = grade_correct((enum grade_verdict)row->verdict);

	json_str(j, "type", "result");
	json_str(j, "query_id", row->it->id);
	json_str(j, "model", row->run->model);
	json_str(j, "hardware", row->run->hardware);
	json_str(j, "dataset", row->run->d->name);
	json_str(j, "category", row->it->category);
	json_str(j, "difficulty", row->it->difficulty);
	json_int(j, "repetition", row->repetition);
	json_int_or_null(j, "correct", correct);
}

/* By the server; else, of a stream, as many as it had parts. Negative: not known. */
static int64_t completion(const struct bench_row *row)
{
	const struct reply *r = row->reply;
	double seen = traced_num(row, "completion_tokens");

	return r->completion >= 0 ? r->completion : !isnan(seen) ? (int64_t)seen : r->parts ? (int64_t)r->parts : -1;
}

static void counts(struct json_out *j, const struct bench_row *row)
{
	json_int_or_null(j, "prompt_tokens", row->reply->prompt);
	json_int_or_null(j, "cached_tokens", row->reply->cached);
	json_int_or_null(j, "completion_tokens", completion(row));
}

static double mean_concurrency(const struct bench_row *row)
{
	double mean = traced_num(row, "concurrency_mean");

	return isnan(mean) ? row->concurrency : mean;
}

static double count_of(int64_t n)
{
	return n < 0 ? NAN : (double)n;
}

/* What the answer took of the model; in a batch the bytes of a step are not one query's. */
static void compute(struct json_out *j, const struct bench_row *row)
{
	const struct model_file *m = row->run->file;
	double in = count_of(row->reply->prompt), out = count_of(completion(row));
	double flops = m ? model_file_flops(m, in, count_of(row->reply->cached), out, row->run->o->attention) : NAN;

	json_num(j, "flops", flops);
	json_num(j, "read_bytes", m && mean_concurrency(row) <= MODEL_ALONE ? model_file_read_bytes(m, in, out) : NAN);
}

static void energy(struct json_out *j, const struct bench_row *row)
{
	double e = traced_num(row, "energy_j"), s = seconds(row->reply->start_ns, row->reply->end_ns);
	const char *method = cJSON_GetStringValue(traced(row, "method"));

	json_num(j, "energy_j", e);
	json_num(j, "power_w", s > 0 ? e / s : NAN);
	json_num(j, "gross_j", traced_num(row, "gross_j"));
	json_num(j, "bound_j", traced_num(row, "bound_j"));
	copy(j, "energy_by_domain", traced(row, "energy_by_domain"));
	scope(j, row);
	json_str(j, "source", cJSON_GetStringValue(traced(row, "source")));
	json_str(j, "method", method);
	json_num(j, "concurrency_mean", mean_concurrency(row));
}

static void timing(struct json_out *j, const struct bench_row *row)
{
	const struct reply *r = row->reply;

	json_num(j, "duration_s", seconds(r->start_ns, r->end_ns));
	json_num(j, "busy_s", row->busy_s);
	json_num(j, "ttft_s", seconds(r->start_ns, r->first_ns));
	json_num(j, "ttft_visible_s", seconds(r->start_ns, r->visible_ns));
	json_num(j, "ttft_traced_s", traced_num(row, "ttft_ms") * 1e-3);
	json_num(j, "duration_traced_s", traced_num(row, "duration_ms") * 1e-3);
	json_int(j, "start_ns", (int64_t)r->start_ns);
	json_int(j, "tries", row->tries);
	json_num(j, "retry_j", row->retry_j);
	json_num(j, "retry_s", row->retry_s);
}

char *bench_row_json(const struct bench_row *row, const struct bench_out *b, size_t *ret_n)
{
	const struct reply *r = row->reply;
	char *buf = NULL;
	struct json_out j = { .f = open_memstream(&buf, ret_n) };

	if (!j.f)
		return NULL;
	json_open(&j, NULL, '{');
	identity(&j, row);
	json_num(&j, "ppl", r->nlogprob ? exp(-r->logprob / (double)r->nlogprob) : NAN);
	energy(&j, row);
	timing(&j, row);
	counts(&j, row);
	json_str(&j, "end", reply_end_name(r->end));
	json_int_or_null(&j, "status", r->status ? r->status : -1);
	json_str(&j, "why", r->end == REPLY_COMPLETE ? NULL : r->why);
	json_str(&j, "finish_reason", r->finish);
	compute(&j, row);
	json_raw(&j, "cost_usd", "null");
	json_str(&j, "run", b->run);
	json_str(&j, "segment", b->segment);
	json_str(&j, "request_id", row->request_id);
	json_str(&j, "client", r->local);
	flags(&j, row);
	json_close(&j, '}');
	json_line(&j);
	if (fclose(j.f)) {
		free(buf);
		return NULL;
	}
	return buf;
}
