// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* To add a source: its file, and a line in each of the two lists here. */
#include "collectors/collector.h"

extern const struct collector_ops rapl_perf_collector;
extern const struct collector_ops rapl_powercap_collector;
extern const struct collector_ops nvml_collector;
extern const struct collector_ops model_collector;

const struct collector_ops *const collectors[] = {
	&rapl_perf_collector,
	&rapl_powercap_collector,
	&nvml_collector,
	&model_collector,
	NULL,
};
