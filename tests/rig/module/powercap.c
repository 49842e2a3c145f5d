// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The zones of intel-rapl. No driver of real ones binds in a guest, so that the name is free. */
#include "rig.h"

#include <linux/err.h>
#include <linux/powercap.h>

static struct powercap_control_type *type;
static struct powercap_zone *zones[ZONES];

/* A package before its DRAM, and psys last: as the kernel numbers them. */
static const enum rig_zone order[] = { ZONE_PACKAGE_0, ZONE_DRAM_0, ZONE_PACKAGE_1, ZONE_DRAM_1, ZONE_PLATFORM };

static int get_range(struct powercap_zone *z, u64 *ret)
{
	*ret = ((struct meter *)powercap_get_zone_data(z))->range_uj;
	return 0;
}

static int get_energy(struct powercap_zone *z, u64 *ret)
{
	struct meter *m = powercap_get_zone_data(z);
	u64 pj;
	int err = m ? meter_read_pj(m, &pj) : -ENODATA;

	if (!err)
		*ret = meter_uj(m, pj);
	return err;
}

static int zone_release(struct powercap_zone *z)
{
	return 0;
}

static const struct powercap_zone_ops zone_ops = {
	.get_max_energy_range_uj = get_range, .get_energy_uj = get_energy, .release = zone_release,
};

/* powercap takes no zone without a limit. */
static int get_limit(struct powercap_zone *z, int id, u64 *ret)
{
	*ret = 0;
	return 0;
}

static int set_limit(struct powercap_zone *z, int id, u64 value)
{
	return -EPERM;
}

static const struct powercap_zone_constraint_ops limit_ops = {
	.set_power_limit_uw = set_limit, .get_power_limit_uw = get_limit,
	.set_time_window_us = set_limit, .get_time_window_us = get_limit,
};

static int zone_add(enum rig_zone zone)
{
	bool is_dram = zone != ZONE_PLATFORM && zone % 2;
	struct powercap_zone *z;

	if (is_dram && !zones[zone - 1])
		return 0;
	z = powercap_register_zone(NULL, type, is_dram ? "dram" : meters[zone].name, is_dram ? zones[zone - 1] : NULL,
				   &zone_ops, 1, &limit_ops);
	if (IS_ERR(z))
		return PTR_ERR(z);
	powercap_set_zone_data(z, &meters[zone]);
	zones[zone] = z;
	return 0;
}

static void zone_remove(enum rig_zone zone)
{
	if (zones[zone])
		powercap_unregister_zone(type, zones[zone]);
	zones[zone] = NULL;
}

/* DRAM's zone hangs from its package's. */
static bool is_gone(enum rig_zone zone)
{
	return meters[zone].gone || (zone != ZONE_PLATFORM && zone % 2 && meters[zone - 1].gone);
}

int powercap_sync(void)
{
	int i, err = 0;

	if (!type)
		return 0;
	for (i = ARRAY_SIZE(order) - 1; i >= 0; i--)
		if (is_gone(order[i]))
			zone_remove(order[i]);
	for (i = 0; i < ARRAY_SIZE(order) && !err; i++)
		if (meter_exists(order[i]) && !is_gone(order[i]) && !zones[order[i]])
			err = zone_add(order[i]);
	return err;
}

int powercap_start(void)
{
	int err;

	type = powercap_register_control_type(NULL, "intel-rapl", NULL);
	if (IS_ERR(type)) {
		err = PTR_ERR(type);
		type = NULL;
		return err;
	}
	err = powercap_sync();
	if (err)
		powercap_stop();
	return err;
}

void powercap_stop(void)
{
	int i;

	for (i = ARRAY_SIZE(order) - 1; i >= 0; i--)
		zone_remove(order[i]);
	if (type)
		powercap_unregister_control_type(type);
	type = NULL;
}
