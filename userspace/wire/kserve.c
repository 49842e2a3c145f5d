// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * KServe's v2 protocol, Triton's generate extension, and MLServer, of whose streams each event is what `infer` answers.
 * What a model takes and gives is its own affair and tokens are not counted: of a stream each event with text or an
 * output is one, of an answer to `infer` nothing is known.
 */
#include "userspace/wire/wire.h"

static const char *const ends[] = {
	"/v2/models/*/infer", "/v2/models/*/versions/*/infer",
	"/v2/models/*/generate", "/v2/models/*/versions/*/generate",
	"/v2/models/*/generate_stream", "/v2/models/*/versions/*/generate_stream",
	"/v2/models/*/infer_stream", "/v2/models/*/versions/*/infer_stream", NULL,
};

static const struct json_path request_paths[] = {
	{ "model_name", WF_MODEL },
};

static const struct json_path answer_paths[] = {
	{ "model_name", WF_MODEL },
	{ "error", WF_ERROR },
	{ "text_output", WF_TEXT },
	{ "outputs[]", WF_PART },
};

const struct wire_ops wire_kserve = {
	.name  = "kserve",
	.doc   = "KServe v2 infer, Triton generate",
	.paths = ends,
	.sniff = "\"model_version\"",
	WIRE_PATHS(request),
	WIRE_PATHS(answer),
};
