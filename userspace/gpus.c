// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/gpus.h"

#include <stdio.h>
#include <string.h>

#include "userspace/util/clock.h"
#include "userspace/util/host.h"

#define USERS_NS NS_PER_S /* how often the GPUs are asked who computes there */

/* A board under another cap is another machine. */
static void name_one(const struct channel *ch, char *buf, size_t size)
{
	if (ch->limit_w > 0)
		snprintf(buf, size, "%s (cap %.0f W)", ch->device, ch->limit_w);
	else
		snprintf(buf, size, "%s", ch->device);
}

void gpus_name(const struct gpus *g, char *hardware, size_t size)
{
	char mine[CHANNEL_DEVICE + 32], other[CHANNEL_DEVICE + 32];
	const struct meter *m = g->meters;
	int i, k, n;

	for (i = 0; i < g->nmeter; i++) {
		name_one(&m[i].ch, mine, sizeof(mine));
		for (k = n = 0; k < g->nmeter; k++) {
			name_one(&m[k].ch, other, sizeof(other));
			if (m[k].ch.domain == DOMAIN_GPU && !strcmp(other, mine))
				n += k >= i ? 1 : -CHANNEL_MAX; /* named before */
		}
		if (m[i].ch.domain == DOMAIN_GPU && n > 0)
			host_add(hardware, size, mine, n);
	}
}

void gpus_this_machine(char *hardware, size_t size)
{
	struct meter_opts opts = { "/sys", "/proc", -1, -1 };
	struct gpus g = { 0 };
	struct sampler *s = NULL;
	const char *bad;
	char kernel[128];
	size_t n;

	host_describe(opts.procfs, hardware, size, kernel, sizeof(kernel));
	if (!sampler_new(&opts, NULL, &s, &bad)) {
		g.nmeter = sampler_meters(s, &g.meters);
		gpus_name(&g, hardware, size);
	}
	sampler_free(s);
	n = strlen(hardware);
	snprintf(hardware + n, size - n, ", Linux %s", kernel);
}

/*
 * By utilisation where several share it. Where the driver does not say who computes there, or not how much of a shared
 * GPU each one takes, it is not known.
 */
static void ask_one(const struct gpus *gpus, const struct follow *f, struct pipeline *p, int ch, uint64_t now)
{
	struct gpu_share g = { .t_ns = now, .channel = (uint32_t)ch };
	struct gpu_user u[GPU_USER_MAX];
	int n = sampler_users(gpus->sampler, ch, u, GPU_USER_MAX), i, blind = 0, ours = 0;
	double sum = 0, part;
	uint32_t slot;

	for (i = 0; i < n; i++) {
		ours += follow_slot(f, u[i].pid) != 0;
		blind |= u[i].util_permille < 0;
		sum += u[i].util_permille;
	}
	g.known = n >= 0 && (!ours || ours == n || !blind);
	for (i = 0; i < n && g.known && ours; i++) {
		slot = follow_slot(f, u[i].pid);
		part = blind || sum <= 0 ? 1.0 / n : u[i].util_permille / sum;
		if (slot)
			g.slot[slot] += part;
	}
	pipeline_gpu(p, &g);
}

void gpus_ask(struct gpus *g, const struct follow *f, struct pipeline *p, uint64_t now)
{
	int i;

	if (g->asked_ns && now - g->asked_ns < USERS_NS)
		return;
	g->asked_ns = now;
	for (i = 0; i < g->nmeter; i++)
		if (g->meters[i].ch.domain == DOMAIN_GPU)
			ask_one(g, f, p, i, now);
}
