// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How long the pipeline takes for one token event, from the record that the kernel wrote to the query's counts, by
 * dialect: 100 streams that get a token each in turn, one send and one chunk a token, as real servers write them.
 *
 * Usage: parse REPEAT [DIALECT]...    with no dialect, all
 * Prints for each "NAME BYTES NS...": bytes of the last event, nanoseconds per token event, once for each repetition. A
 * count that is not what was sent ends it with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/pipeline.h"

#define STREAMS 100
#define TOKENS  200 /* of each stream, after the first */
#define STEP_NS 10000000
#define SSE     "text/event-stream"

/* In an event: @t a token's text, @a all text so far, @n how many tokens, @i a token's number, @f a fraction. */
static const struct shape {
	const char *name, *path, *request, *type, *event;
} shapes[] = {
	{ "openai-chat", "/v1/chat/completions", "{\"model\":\"m\",\"stream\":true}", SSE,
	  "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"@t\"}}],"
	  "\"created\":1795268912,\"id\":\"chatcmpl-QyZs0b1uXx9Rk4m2hVtO7Wc3Np5Ld8Ea\","
	  "\"model\":\"SmolLM2-135M-Instruct.Q4_1.gguf\",\"system_fingerprint\":\"b7100-0a1b2c3d4\","
	  "\"object\":\"chat.completion.chunk\"}\n\n" },
	{ "openai-completions", "/v1/completions", "{\"model\":\"m\",\"stream\":true}", SSE,
	  "data: {\"choices\":[{\"text\":\"@t\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}],"
	  "\"created\":1795269903,\"model\":\"SmolLM2-135M-Instruct.Q4_1.gguf\",\"system_fingerprint\":\"b0-unknown\","
	  "\"object\":\"text_completion\",\"id\":\"chatcmpl-hY9h9YoZ01cOLEVBpJbYVoetgAHchE64\"}\n\n" },
	{ "openai-responses", "/v1/responses", "{\"model\":\"m\",\"stream\":true}", SSE,
	  "event: response.output_text.delta\n"
	  "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":@n,"
	  "\"item_id\":\"msg_68b1b3a0e0d881a29c1f7c0d2b3a4f5e\",\"output_index\":0,\"content_index\":0,"
	  "\"delta\":\"@t\",\"logprobs\":[]}\n\n" },
	{ "anthropic", "/v1/messages", "{\"model\":\"m\",\"stream\":true}", SSE,
	  "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
	  "\"delta\":{\"type\":\"text_delta\",\"text\":\"@t\"}}\n\n" },
	{ "llamacpp", "/completion", "{\"prompt\":\"p\",\"stream\":true}", SSE,
	  "data: {\"index\":0,\"content\":\"@t\",\"tokens\":[@i],\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":@n,"
	  "\"tokens_evaluated\":31}\n\n" },
	{ "ollama", "/api/chat", "{\"model\":\"m\"}", "application/x-ndjson",
	  "{\"model\":\"smollm2:135m\",\"created_at\":\"2026-11-21T10:00:00.@f1234Z\","
	  "\"message\":{\"role\":\"assistant\",\"content\":\"@t\"},\"done\":false}\n" },
	{ "tgi", "/generate_stream", "{\"inputs\":\"p\"}", SSE,
	  "data:{\"index\":@n,\"token\":{\"id\":@i,\"text\":\"@t\",\"logprob\":-0.@f,\"special\":false},"
	  "\"generated_text\":null,\"details\":null}\n\n" },
	{ "sglang", "/generate", "{\"text\":\"p\",\"sampling_params\":{},\"stream\":true}", SSE,
	  "data: {\"text\":\"@a\",\"output_ids\":[@i],\"meta_info\":{\"id\":\"8f2c1d3e4b5a69788796a5b4c3d2e1f0\","
	  "\"finish_reason\":null,\"prompt_tokens\":31,\"weight_version\":\"default\",\"completion_tokens\":@n,"
	  "\"cached_tokens\":1,\"e2e_latency\":null}}\n\n" },
	{ "kserve", "/v2/models/tiny/generate_stream", "{\"text_input\":\"p\"}", SSE,
	  "data: {\"model_name\":\"tiny\",\"model_version\":\"1\",\"sequence_end\":false,\"sequence_id\":0,"
	  "\"sequence_start\":false,\"text_output\":\"@t\"}\n\n" },
	{ "kobold", "/api/extra/generate/stream", "{\"prompt\":\"p\"}", SSE,
	  "event: message\ndata: {\"token\": \"@t\", \"finish_reason\": null}\n\n" },
	{ "lmstudio", "/api/v1/chat", "{\"model\":\"m\",\"stream\":true}", SSE,
	  "event: message.delta\ndata: {\"type\":\"message.delta\",\"content\":\"@t\"}\n\n" },
	{ NULL, NULL, NULL, NULL, NULL },
};

static const char *const words[] = {
	" the", " joule", "s", " of", " a", " query", ",", " which", " is", " answer", "ed", " in", " a", " batch",
	" of", " eight", ".", "\\n\\n", "So", " it", "'s", " \\\"fair\\\"", "ly", " to", " na\xc3\xafve", " read",
	"ers", " that", " they", " share", " it", ":",
};

#define WORDS (sizeof(words) / sizeof(*words))

/* --- records ------------------------------------------------------------------------------------------------------ */

static char *ring;             /* the records, one after the other */
static size_t nring, ring_cap;
static uint32_t seq[STREAMS][2];

static void record(unsigned stream, enum ev_type type, const char *data, size_t n, uint64_t ts_ns)
{
	struct ev_data e = {
		.h = { .ts_ns = ts_ns, .type = (uint8_t)type, .flags = type == EV_RECV ? EV_WHOLE : 0, .slot = 1,
		       .size = (uint32_t)(sizeof(e) + n), .tgid = 1, .tid = 1 },
		.s = { .cookie = 4096 + stream, .family = 2, .lport = 8080, .rport = (uint16_t)(30000 + stream) },
		.enter_ns = ts_ns - 1000, .seq = seq[stream][type == EV_SEND], .ret = (int32_t)n, .head = (uint32_t)n,
	};

	if (nring + sizeof(e) + n + 8 > ring_cap) {
		ring_cap = 2 * (ring_cap + sizeof(e) + n + 8);
		ring = realloc(ring, ring_cap);
		if (!ring)
			abort();
	}
	seq[stream][type == EV_SEND] += (uint32_t)n;
	memcpy(ring + nring, &e, sizeof(e));
	memcpy(ring + nring + sizeof(e), data, n);
	nring += (sizeof(e) + n + 7) & ~(size_t)7;
}

/* The n-th token's event. */
static size_t event(const struct shape *s, unsigned stream, unsigned n, char *to)
{
	const char *p, *from = s->event;
	unsigned id = (stream + n) * 2654435761u, i;
	char *begin = to;

	for (; (p = strchr(from, '@')); from = p + 2) {
		to = (char *)memcpy(to, from, (size_t)(p - from)) + (p - from);
		switch (p[1]) {
		case 't':
			to = stpcpy(to, words[(stream + n) % WORDS]);
			break;
		case 'a':
			for (i = 1; i <= n; i++)
				to = stpcpy(to, words[(stream + i) % WORDS]);
			break;
		default:
			to += sprintf(to, "%u", p[1] == 'n' ? n : p[1] == 'i' ? id >> 16 : id % 90000 + 10000);
		}
	}
	return (size_t)(stpcpy(to, from) - begin);
}

static size_t token(const struct shape *s, unsigned stream, unsigned n, uint64_t ts_ns)
{
	char body[8192], msg[8300];
	size_t len = event(s, stream, n, body);
	int at = sprintf(msg, "%zx\r\n", len);

	memcpy(msg + at, body, len);
	memcpy(msg + at + len, "\r\n", 2);
	record(stream, EV_SEND, msg, (size_t)at + len + 2, ts_ns);
	return len;
}

/* Returns where what is to be measured begins: all after the first tokens. */
static size_t records(const struct shape *s, uint64_t ts_ns, size_t *ret_len)
{
	size_t from = 0;
	char msg[1024];
	unsigned i, n;
	int len;

	nring = 0;
	memset(seq, 0, sizeof(seq));
	for (i = 0; i < STREAMS; i++) {
		len = snprintf(msg, sizeof(msg), "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
			       s->path, strlen(s->request), s->request);
		record(i, EV_RECV, msg, (size_t)len, ts_ns);
		len = snprintf(msg, sizeof(msg), "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
			       "Transfer-Encoding: chunked\r\n\r\n", s->type);
		record(i, EV_SEND, msg, (size_t)len, ts_ns);
	}
	for (n = 1; n <= TOKENS + 1; n++) {
		for (i = 0; i < STREAMS; i++)
			*ret_len = token(s, i, n, ts_ns += STEP_NS / STREAMS);
		from = n == 1 ? nring : from;
	}
	return from;
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void feed(struct pipeline *p, size_t from, size_t to)
{
	const struct ev_hdr *h;

	for (; from < to; from += (h->size + 7) & ~7u) {
		h = (const struct ev_hdr *)(ring + from);
		pipeline_ev(p, h);
	}
}

static uint64_t counted(const struct pipeline *p, const char *dialect)
{
	const struct query *q;
	uint64_t n = 0;
	size_t i = 0;

	while ((q = hash_next(&p->queries.by_id, &i)))
		n += strcmp(q->open.dialect, dialect) ? 0 : q->tokens;
	return n;
}

/* Nanoseconds of one repetition. */
static uint64_t once(const struct shape *s, size_t *ret_len)
{
	struct run run = { .nslot = 1, .start_ns = 1 };
	struct activity a = { .t_ns = 1, .ngroup = 1 };
	static struct idle idle[CHANNEL_MAX];
	static struct pipeline p;
	uint64_t begin, end;
	size_t from = records(s, 1000000000, ret_len);

	if (pipeline_init(&p, &run, NULL, 0, idle, NULL, 0))
		abort();
	pipeline_activity(&p, &a);
	feed(&p, 0, from);
	begin = now_ns();
	feed(&p, from, nring);
	end = now_ns();
	if (counted(&p, s->name) != STREAMS * (TOKENS + 1)) {
		fprintf(stderr, "parse: %s: %llu tokens, not %d\n", s->name, (unsigned long long)counted(&p, s->name),
			STREAMS * (TOKENS + 1));
		exit(1);
	}
	pipeline_release(&p);
	return end - begin;
}

static int wanted(const char *name, char **names)
{
	if (!*names)
		return 1;
	while (*names && strcmp(name, *names))
		names++;
	return *names != NULL;
}

int main(int argc, char **argv)
{
	const struct shape *s;
	uint64_t ns;
	size_t len;
	int i;

	if (argc < 2) {
		fputs("usage: parse REPEAT [DIALECT]...\n", stderr);
		return 2;
	}
	for (s = shapes; s->name; s++) {
		if (!wanted(s->name, argv + 2))
			continue;
		printf("%s", s->name);
		for (i = 0; i < atoi(argv[1]); i++) {
			ns = once(s, &len);
			if (!i)
				printf(" %zu", len);
			printf(" %.1f", (double)ns / (STREAMS * TOKENS));
		}
		printf("\n");
	}
	return 0;
}
