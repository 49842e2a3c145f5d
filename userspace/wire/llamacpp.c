// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * llama.cpp's own /completion, /infill and /embedding. Each event of a stream lists its tokens; the last one has
 * "stop": true, the counts and `timings`, and repeats the prompt. `tokens_cached` is the length of the KV cache and
 * says nothing of reuse: timings.cache_n does. /embedding counts nothing.
 */
#include "userspace/wire/wire.h"

static const char *const ends[] = { "/completion", "/completions", "/infill", NULL };
static const char *const embed_ends[] = { "/embedding", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "model", WF_MODEL },
	{ "error", WF_ERROR },
	{ "content", WF_TEXT },
	{ "tokens[]", WF_TOKEN },
	{ "stop", WF_FINISH },
	{ "tokens_evaluated", WF_PROMPT },
	{ "tokens_predicted", WF_COMPLETION },
	{ "timings.cache_n", WF_CACHED },
};

const struct wire_ops wire_llamacpp = {
	.name  = "llamacpp",
	.doc   = "llama.cpp /completion and /infill",
	.paths = ends,
	.sniff = "\"id_slot\"",
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};

const struct wire_ops wire_llamacpp_embedding = {
	.name  = "llamacpp-embedding",
	.doc   = "llama.cpp /embedding",
	.paths = embed_ends,
	.no_output = 1,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
