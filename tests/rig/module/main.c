// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rig.h"

#include <linux/module.h>

unsigned int rig_packages = 1;
module_param_named(packages, rig_packages, uint, 0444);
MODULE_PARM_DESC(packages, "1 or 2: CPUs belong to that which the machine says, those beyond to the first");
bool rig_dram = true;
module_param_named(dram, rig_dram, bool, 0444);
bool rig_psys;
module_param_named(psys, rig_psys, bool, 0444);

static bool powercap = true;
module_param(powercap, bool, 0444);
static bool perf = true;
module_param(perf, bool, 0444);

static const struct part {
	const char *name;
	bool       *wanted;
	int (*start)(void);
	void (*stop)(void);
} parts[] = {
	{ "truth", NULL, truth_start, truth_stop },         { "meters", NULL, meter_start, meter_stop },
	{ "powercap", &powercap, powercap_start, powercap_stop }, { "perf", &perf, rig_perf_start, rig_perf_stop },
	{ "hwmon", NULL, rig_hwmon_start, rig_hwmon_stop }, { "control", NULL, control_start, control_stop },
};

static void stop_first(size_t n)
{
	while (n--)
		if (!parts[n].wanted || *parts[n].wanted)
			parts[n].stop();
}

static int __init rig_init(void)
{
	size_t i;
	int err;

	if (rig_packages < 1 || rig_packages > 2)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		err = parts[i].wanted && !*parts[i].wanted ? 0 : parts[i].start();
		if (err) {
			pr_err("ipw_rig: %s: %d\n", parts[i].name, err);
			stop_first(i);
			return err;
		}
	}
	return 0;
}

static void __exit rig_exit(void)
{
	stop_first(ARRAY_SIZE(parts));
}

module_init(rig_init);
module_exit(rig_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("a machine whose joules are known, to test energy meters' readers with");
