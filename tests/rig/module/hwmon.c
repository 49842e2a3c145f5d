// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A chip of hwmon with the first package's counter, and its power as a mean over one second. */
#include "rig.h"

#include <linux/err.h>
#include <linux/hwmon.h>
#include <linux/platform_device.h>

static struct platform_device *parent;
static struct device *chip;

static umode_t is_visible(const void *data, enum hwmon_sensor_types type, u32 attr, int channel)
{
	return 0444;
}

static int chip_read(struct device *dev, enum hwmon_sensor_types type, u32 attr, int channel, long *ret)
{
	unsigned long flags;
	u64 pj;
	int err;

	if (type == hwmon_energy) {
		err = meter_read_pj(&meters[ZONE_PACKAGE_0], &pj);
		*ret = meter_uj(&meters[ZONE_PACKAGE_0], pj);
		return err;
	}
	raw_spin_lock_irqsave(&rig_lock, flags);
	*ret = history_mean_uw(ZONE_PACKAGE_0);
	raw_spin_unlock_irqrestore(&rig_lock, flags);
	return 0;
}

static const struct hwmon_ops ops = { .is_visible = is_visible, .read = chip_read };
static const struct hwmon_channel_info *const channels[] = {
	HWMON_CHANNEL_INFO(energy, HWMON_E_INPUT), HWMON_CHANNEL_INFO(power, HWMON_P_AVERAGE), NULL,
};
static const struct hwmon_chip_info info = { .ops = &ops, .info = channels };

int rig_hwmon_start(void)
{
	parent = platform_device_register_simple("ipw_rig", -1, NULL, 0);
	if (IS_ERR(parent))
		return PTR_ERR(parent);
	chip = hwmon_device_register_with_info(&parent->dev, "ipw_rig", NULL, &info, NULL);
	if (!IS_ERR(chip))
		return 0;
	platform_device_unregister(parent);
	return PTR_ERR(chip);
}

void rig_hwmon_stop(void)
{
	if (IS_ERR_OR_NULL(chip))
		return;
	hwmon_device_unregister(chip);
	platform_device_unregister(parent);
}
