// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* OpenAI's embeddings, and the rerankers that answer in the same manner: tokens go in and none come out. */
#include "userspace/wire/wire.h"

static const char *const ends[] = { "/embeddings", "/rerank", "/reranking", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "model", WF_MODEL },
	{ "error", WF_ERROR },
	{ "usage.prompt_tokens", WF_PROMPT },
};

const struct wire_ops wire_openai_embeddings = {
	.name  = "openai-embeddings",
	.doc   = "OpenAI embeddings, rerankers",
	.paths = ends,
	.no_output = 1,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
