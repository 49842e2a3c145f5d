// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Anthropic's messages. The prompt's tokens come with message_start, in three parts that do not overlap: computed, read
 * from a cache, written to one. The answer's tokens come with message_delta, which also says why it stopped; what
 * message_start says of them is only a beginning and is not taken.
 */
#include "userspace/wire/wire.h"

static const char *const ends[] = { "/v1/messages", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "error", WF_ERROR },
	{ "message.model", WF_MODEL },
	{ "message.usage.input_tokens", WF_PROMPT_NEW },
	{ "message.usage.cache_creation_input_tokens", WF_PROMPT_MADE },
	{ "message.usage.cache_read_input_tokens", WF_CACHED },
	{ "content_block.text", WF_TEXT },
	{ "content_block.thinking", WF_TEXT },
	{ "content_block.name", WF_TEXT },
	{ "delta.text", WF_TEXT },
	{ "delta.thinking", WF_TEXT },
	{ "delta.partial_json", WF_TEXT },
	{ "delta.stop_reason", WF_FINISH },
	{ "model", WF_MODEL },
	{ "usage.input_tokens", WF_PROMPT_NEW },
	{ "usage.cache_creation_input_tokens", WF_PROMPT_MADE },
	{ "usage.cache_read_input_tokens", WF_CACHED },
	{ "usage.output_tokens", WF_COMPLETION },
};

const struct wire_ops wire_anthropic = {
	.name  = "anthropic",
	.doc   = "Anthropic messages",
	.paths = ends,
	.sniff = "\"content_block_delta\"",
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
