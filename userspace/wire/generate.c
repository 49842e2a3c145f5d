// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Text Generation Inference, and SGLang's own language on the same path; the request's fields say which it is, or else
 * the answer's.
 *
 * TGI: one event, one token; the last one has `details`. An answer that is not streamed has its counts in the head
 * (X-Prompt-Tokens, X-Generated-Tokens). SGLang: each event repeats the whole text so far and says how many tokens it
 * is.
 */
#include "userspace/wire/wire.h"

static const char *const ends[] = { "/generate", "/generate_stream", "/invocations", "/vertex", NULL };
static const char *const none[] = { NULL };

static const struct json_path request_paths[] = {
	{ "sampling_params", WF_TWIN },
	{ "input_ids", WF_TWIN },
	{ "text", WF_TWIN },
};

static const struct json_path answer_paths[] = {
	{ "error", WF_ERROR },
	{ "token.id", WF_TOKEN },
	{ "details.finish_reason", WF_FINISH },
	{ "details.input_length", WF_PROMPT },
	{ "details.generated_tokens", WF_COMPLETION },
	{ "meta_info", WF_TWIN },
	{ "text", WF_TEXT },
	{ "output_ids[]", WF_PART },
	{ "meta_info.prompt_tokens", WF_PROMPT },
	{ "meta_info.cached_tokens", WF_CACHED },
	{ "meta_info.completion_tokens", WF_COMPLETION },
	{ "meta_info.finish_reason.type", WF_FINISH },
};

const struct wire_ops wire_sglang = {
	.name  = "sglang",
	.doc   = "SGLang generate",
	.paths = none,
	.sniff = "\"meta_info\"",
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};

const struct wire_ops wire_tgi = {
	.name  = "tgi",
	.doc   = "Text Generation Inference generate",
	.paths = ends,
	.sniff = "\"generated_text\"",
	.twin  = &wire_sglang,
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
