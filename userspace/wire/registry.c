// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/wire/wire.h"

extern const struct wire_ops wire_openai_chat, wire_openai_text, wire_openai_responses, wire_openai_embeddings;
extern const struct wire_ops wire_anthropic, wire_llamacpp, wire_llamacpp_embedding, wire_ollama, wire_ollama_embed;
extern const struct wire_ops wire_tgi, wire_sglang, wire_kserve, wire_kobold, wire_lmstudio;

const struct wire_ops *const dialects[] = {
	&wire_openai_chat,
	&wire_openai_text,
	&wire_openai_responses,
	&wire_openai_embeddings,
	&wire_anthropic,
	&wire_llamacpp,
	&wire_llamacpp_embedding,
	&wire_ollama,
	&wire_ollama_embed,
	&wire_tgi,
	&wire_sglang,
	&wire_kserve,
	&wire_kobold,
	&wire_lmstudio,
	NULL,
};
