// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * KoboldAI's API, as KoboldCpp and TabbyAPI have it. An event has all the text since the last one, whatever tokens that
 * was, and nothing is counted.
 */
#include "userspace/wire/wire.h"

static const char *const ends[] = {
	"/api/v1/generate", "/api/latest/generate", "/api/extra/generate/stream", NULL,
};

static const struct json_path request_paths[] = {
	{ "model", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "model", WF_MODEL },
	{ "detail", WF_ERROR },
	{ "error", WF_ERROR },
	{ "token", WF_TEXT },
	{ "finish_reason", WF_FINISH },
};

const struct wire_ops wire_kobold = {
	.name  = "kobold",
	.doc   = "Kobold generate",
	.paths = ends,
	.sniff = "{\"token\": ",
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
