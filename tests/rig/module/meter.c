// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a counter makes of the truth: it refreshes now and then, late, by a little too much or too little, or not. */
#include "rig.h"

#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/random.h>

static unsigned int refresh_us = 1000;
module_param(refresh_us, uint, 0644);
MODULE_PARM_DESC(refresh_us, "period of the refresh of all meters; 0: each is right whenever it is read");
static unsigned int jitter_us;
module_param(jitter_us, uint, 0644);
MODULE_PARM_DESC(jitter_us, "each period is longer or shorter by at most this");
static unsigned long long range_uj = 262143328850ull;
module_param(range_uj, ullong, 0444);
MODULE_PARM_DESC(range_uj, "where the counters start again");
static unsigned long long start_uj = 1000000000ull;
module_param(start_uj, ullong, 0444);
MODULE_PARM_DESC(start_uj, "what they stand at in the beginning");

struct meter meters[ZONES] = {
	[ZONE_PACKAGE_0] = { .name = "package-0" }, [ZONE_DRAM_0] = { .name = "dram-0" },
	[ZONE_PACKAGE_1] = { .name = "package-1" }, [ZONE_DRAM_1] = { .name = "dram-1" },
	[ZONE_PLATFORM] = { .name = "psys" },
};

static struct hrtimer refresh_timer;

bool meter_exists(enum rig_zone zone)
{
	if (zone == ZONE_PLATFORM)
		return rig_psys;
	return zone / 2 < rig_packages && (rig_dram || zone % 2 == 0);
}

/* With the truth settled. */
static void meter_count(struct meter *m)
{
	u64 pj = truth.pj[m->zone] - m->seen_pj;

	m->count_pj += pj + div_s64(div_s64(pj, 1000) * m->gain_ppm, 1000);
	m->seen_pj += pj;
}

static void meter_latch(struct meter *m)
{
	if (m->stall > 0) {
		m->stall--;
		return;
	}
	meter_count(m);
	m->latch[m->nlatch++ % RIG_LATCHES] = m->count_pj;
}

/* What it shows. Before there are refreshes enough, the first. */
static u64 meter_shown(const struct meter *m)
{
	u64 lag = clamp_t(s64, m->lag, 0, RIG_LATCHES - 1);

	return m->latch[(m->nlatch > lag ? m->nlatch - 1 - lag : 0) % RIG_LATCHES];
}

static enum hrtimer_restart refresh_tick(struct hrtimer *timer)
{
	u64 period_us = refresh_us ? refresh_us : 10000;
	unsigned long flags;
	int zone;

	raw_spin_lock_irqsave(&rig_lock, flags);
	if (refresh_us) {
		truth_settle();
		for (zone = 0; zone < ZONES; zone++)
			if (meters[zone].ticks++ % (meters[zone].every > 0 ? meters[zone].every : 1) == 0)
				meter_latch(&meters[zone]);
	}
	raw_spin_unlock_irqrestore(&rig_lock, flags);
	if (refresh_us && jitter_us && jitter_us < refresh_us)
		period_us = refresh_us - jitter_us + get_random_u32_below(2 * jitter_us + 1);
	hrtimer_forward_now(timer, ns_to_ktime(period_us * 1000));
	return HRTIMER_RESTART;
}

int meter_read_pj(struct meter *m, u64 *ret)
{
	unsigned long flags;
	int err;

	raw_spin_lock_irqsave(&rig_lock, flags);
	if (!refresh_us) {
		truth_settle();
		meter_latch(m);
	}
	*ret = meter_shown(m);
	err = m->fail ? -EIO : 0;
	raw_spin_unlock_irqrestore(&rig_lock, flags);
	return err;
}

u64 meter_uj(const struct meter *m, u64 pj)
{
	u64 uj = div_u64(pj, 1000000), rest;

	div64_u64_rem(uj, m->range_uj > 0 ? m->range_uj : 1, &rest);
	return rest;
}

void meter_jump(struct meter *m, s64 uj)
{
	m->count_pj += uj * 1000000;
}

void meter_reset(struct meter *m)
{
	truth_settle();
	meter_count(m);
	m->count_pj = 0;
}

int meter_start(void)
{
	int zone;

	for (zone = 0; zone < ZONES; zone++) {
		meters[zone].zone = zone;
		meters[zone].every = 1;
		meters[zone].range_uj = range_uj;
		meters[zone].latch[0] = meters[zone].count_pj = start_uj * 1000000;
		meters[zone].nlatch = 1;
	}
	rig_timer_start(&refresh_timer, refresh_tick);
	return 0;
}

void meter_stop(void)
{
	hrtimer_cancel(&refresh_timer);
}
