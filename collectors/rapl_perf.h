/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two halves of rapl_perf, apart so that each can be tried without RAPL hardware: what to open, from a tree; and
 * opening it, which only the running kernel can do.
 */
#ifndef IPW_COLLECTOR_RAPL_PERF_H
#define IPW_COLLECTOR_RAPL_PERF_H

#include "collectors/collector.h"

/* One counter to open. */
struct rapl_event {
	enum domain domain;
	int         unit, die; /* as in struct rapl_zone */
	int         cpu;       /* of the package: the event counts for all of it, wherever it is read */
	uint32_t    type;
	uint64_t    config;
	double      scale; /* microjoule in one count */
	uint64_t    range; /* see rapl_perf_raw() */
};

/* Returns how many there are, at most `max`; -errno, with the reason in `why`, when there is none. */
int rapl_perf_plan(const struct meter_opts *opts, struct rapl_event *ev, int max, char *why, size_t size);

/* Opens them as the channels of c; 0 when one at least could be opened. */
int rapl_perf_start(struct collector *c, const struct rapl_event *ev, int n);

/*
 * What the collector reports for a count of the kernel.
 *
 * There are two PMUs called `power`. The one in arch/x86/events/rapl.c extends the 32-bit register to 64 bits, so that
 * its count only rises. The one in drivers/powercap/intel_rapl_common.c (servers with TPMI; later kernels on more)
 * adds the plain difference of two register values: when the register wraps, the count steps back by the range of
 * the register, below 0 even, since it began at 0 when the event was opened. Modulo that range both PMUs say the same,
 * and it is what a counter with a declared wrap is: so the collector reports the count modulo the range.
 *
 * The range follows from powercap's max_energy_range_uj, as that driver computes it: one unit in nanojoules is
 * range / (2^32 - 1), one unit in counts (2^-32 J) is that rounded down, and the register has 2^32 units. Without
 * powercap zones there is no such driver, the count only rises, and the range is 0: the count is reported as it is.
 */
uint64_t rapl_perf_raw(uint64_t count, uint64_t range);
uint64_t rapl_perf_range(double max_energy_range_uj);

#endif
