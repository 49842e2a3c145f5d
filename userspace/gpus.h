/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The GPUs of a run: what they are called, and whose processes compute there. */
#ifndef IPW_GPUS_H
#define IPW_GPUS_H

#include "collectors/sampler.h"
#include "userspace/follow.h"
#include "userspace/pipeline.h"

struct gpus {
	struct sampler     *sampler;
	const struct meter *meters;
	int                 nmeter;
	uint64_t            asked_ns;
};

/* What this machine is: CPUs, GPUs by what the meters say of them, kernel. */
void gpus_this_machine(char *hardware, size_t size);

/* Adds the GPUs to the name of the machine, alike ones once. */
void gpus_name(const struct gpus *g, char *hardware, size_t size);
/* Once a second: tells the pipeline whose work is on each GPU. */
void gpus_ask(struct gpus *g, const struct follow *f, struct pipeline *p, uint64_t now);

#endif
