// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * LM Studio's own chat. The events of a stream have a type; text comes in message.delta and reasoning.delta, and the
 * counts with chat.end. Its OpenAI-like /api/v0 is read as OpenAI's.
 */
#include <string.h>

#include "userspace/wire/wire.h"

static const char *const ends[] = { "/api/v1/chat", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "type", WF_TYPE },
	{ "error", WF_ERROR },
	{ "content", WF_TEXT },
	{ "model_instance_id", WF_MODEL },
	{ "stats.input_tokens", WF_PROMPT },
	{ "stats.total_output_tokens", WF_COMPLETION },
	{ "result.model_instance_id", WF_MODEL },
	{ "result.stats.input_tokens", WF_PROMPT },
	{ "result.stats.total_output_tokens", WF_COMPLETION },
};

static void fix(struct wire_fields *f)
{
	f->finish |= !strcmp(f->type, "chat.end");
}

const struct wire_ops wire_lmstudio = {
	.name  = "lmstudio",
	.doc   = "LM Studio chat",
	.paths = ends,
	.sniff = "\"message.delta\"",
	.fix   = fix,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
