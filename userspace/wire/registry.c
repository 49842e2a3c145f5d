// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/wire/wire.h"

extern const struct wire_ops wire_openai_chat, wire_openai_text, wire_llamacpp;

const struct wire_ops *const dialects[] = {
	&wire_openai_chat,
	&wire_openai_text,
	&wire_llamacpp,
	NULL,
};
