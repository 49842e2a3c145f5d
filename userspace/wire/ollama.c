// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ollama's own API. A stream is lines of JSON, and it is what one gets without asking. The last line has the counts;
 * a count of 0 is left out, so one that is missing is not known, but for a request that only loads or unloads a model.
 */
#include <string.h>

#include "userspace/wire/wire.h"

static const char *const ends[] = { "/api/generate", "/api/chat", NULL };
static const char *const embed_ends[] = { "/api/embed", "/api/embeddings", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "model", WF_MODEL },
	{ "error", WF_ERROR },
	{ "response", WF_TEXT },
	{ "thinking", WF_TEXT },
	{ "message.content", WF_TEXT },
	{ "message.thinking", WF_TEXT },
	{ "message.tool_calls[]", WF_PART },
	{ "done", WF_FINISH },
	{ "done_reason", WF_TYPE },
	{ "prompt_eval_count", WF_PROMPT },
	{ "eval_count", WF_COMPLETION },
};

static void fix(struct wire_fields *f)
{
	if (f->usage.prompt < 0 && f->usage.completion < 0 && (!strcmp(f->type, "load") || !strcmp(f->type, "unload")))
		f->usage.prompt = f->usage.completion = 0;
}

const struct wire_ops wire_ollama = {
	.name  = "ollama",
	.doc   = "Ollama generate and chat",
	.paths = ends,
	.sniff = "\"created_at\":\"",
	.fix   = fix,
	.lines = 1,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};

const struct wire_ops wire_ollama_embed = {
	.name  = "ollama-embed",
	.doc   = "Ollama embed",
	.paths = embed_ends,
	.no_output = 1,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
