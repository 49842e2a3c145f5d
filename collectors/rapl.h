/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What rapl_powercap and rapl_perf both need to know of RAPL: which counters there are, and how they are called.
 *
 * The kernel's zones (Documentation/power/powercap, drivers/powercap/intel_rapl_common.c) lie flat in
 * class/powercap, in no order and with holes in their numbers:
 *
 *	intel-rapl:0       name package-0, or package-0-die-1 where a package has several dies
 *	intel-rapl:0:0     name core, uncore or dram: inside package intel-rapl:0
 *	intel-rapl:1       name psys, or psys-1 where package 1 is the one whose platform register counts
 *	intel-rapl-mmio:0  name package-0: the same counter once more, by another road
 */
#ifndef IPW_COLLECTOR_RAPL_H
#define IPW_COLLECTOR_RAPL_H

#include "collectors/collector.h"

struct rapl_zone {
	enum domain domain;
	int         unit; /* physical_package_id; of the platform: the package whose register counts */
	int         die;  /* -1 where a package has one counter */
	double      wrap; /* max_energy_range_uj; 0: not known */
	char        dir[48];
};

/*
 * The zones, each counter once, by domain, unit and die. Returns how many, or -errno; `why` gets what was left out.
 * On AMD only packages are taken, and one counter each: kernels up to 6.11 may show it once per die (8d72eba1cf8c,
 * 26096aed255f), which would count it several times, and what they call core there is one core of all.
 */
int rapl_zones(const struct meter_opts *opts, struct rapl_zone *zone, int max, char *why, size_t size);

int rapl_is_amd(const struct meter_opts *opts); /* or Hygon */

/* Fills in all of a channel but scale and wrap. */
void rapl_channel(struct channel *ch, enum domain domain, int unit, int die);

#endif
