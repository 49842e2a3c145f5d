// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OpenAI's chat completions and completions, as llama.cpp, vLLM, SGLang and others speak them. A stream is server-sent
 * events, one JSON text each, ended by "[DONE]"; usage comes in an event of its own, with empty `choices`, if the
 * client asked for it. llama.cpp adds `timings` to the last event whether asked or not.
 */
#include "userspace/wire/wire.h"

static const char *const chat_ends[] = { "/chat/completions", NULL };
static const char *const text_ends[] = { "/v1/completions", NULL };

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

#define COMMON                                                              \
	{ "model", WF_MODEL },                                              \
	{ "error", WF_ERROR },                                              \
	{ "choices[]", WF_CHOICE },                                         \
	{ "choices[].index", WF_INDEX },                                    \
	{ "choices[].finish_reason", WF_FINISH },                           \
	{ "usage.prompt_tokens", WF_PROMPT },                               \
	{ "usage.completion_tokens", WF_COMPLETION },                       \
	{ "usage.prompt_tokens_details.cached_tokens", WF_CACHED },         \
	{ "timings.cache_n", WF_CACHED },                                   \
	{ "timings.prompt_n", WF_PROMPT_NEW },                              \
	{ "timings.predicted_n", WF_COMPLETION }

static const struct json_path chat_paths[] = {
	COMMON,
	{ "choices[].delta.content", WF_TEXT },
	{ "choices[].delta.reasoning_content", WF_TEXT },
	{ "choices[].delta.reasoning", WF_TEXT },
	{ "choices[].delta.refusal", WF_TEXT },
	{ "choices[].delta.tool_calls[]", WF_PART },
};

static const struct json_path text_paths[] = {
	COMMON,
	{ "choices[].text", WF_TEXT },
};

#define TABLE(paths) .answer = paths, .nanswer = sizeof(paths) / sizeof(*(paths))

const struct wire_ops wire_openai_chat = {
	.name  = "openai-chat",
	.doc   = "OpenAI chat completions",
	.paths = chat_ends,
	.sniff = "\"chat.completion",
	WIRE_PATHS(request),
	TABLE(chat_paths),
};

const struct wire_ops wire_openai_text = {
	.name  = "openai-completions",
	.doc   = "OpenAI completions",
	.paths = text_ends,
	.sniff = "\"text_completion\"",
	WIRE_PATHS(request),
	TABLE(text_paths),
};
