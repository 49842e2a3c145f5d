// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OpenAI's responses. The events of a stream have a type; those that end in ".delta" carry text, reasoning, arguments
 * of a tool or a refusal in `delta`, and the last one of all has the whole answer with its usage in `response`.
 */
#include <string.h>

#include "userspace/wire/wire.h"

static const char *const ends[] = { "/v1/responses", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "type", WF_TYPE },
	{ "delta", WF_TEXT },
	{ "error", WF_ERROR },
	{ "response.error", WF_ERROR },
	{ "response.model", WF_MODEL },
	{ "response.usage.input_tokens", WF_PROMPT },
	{ "response.usage.output_tokens", WF_COMPLETION },
	{ "response.usage.input_tokens_details.cached_tokens", WF_CACHED },
	{ "model", WF_MODEL },
	{ "usage.input_tokens", WF_PROMPT },
	{ "usage.output_tokens", WF_COMPLETION },
	{ "usage.input_tokens_details.cached_tokens", WF_CACHED },
};

static void fix(struct wire_fields *f)
{
	f->finish |= !strcmp(f->type, "response.completed") || !strcmp(f->type, "response.incomplete");
	f->error |= !strcmp(f->type, "response.failed") || !strcmp(f->type, "error");
}

const struct wire_ops wire_openai_responses = {
	.name  = "openai-responses",
	.doc   = "OpenAI responses",
	.paths = ends,
	.sniff = "\"response.output_",
	.fix   = fix,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
