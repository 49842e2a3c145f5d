/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a server draws per hardware thread, idle and at full load, by the microarchitecture of its CPU: watts at the
 * wall of the whole machine (memory, fans and power supply included), divided by its threads, as a mean over the
 * machines with such a CPU in the published results of SPECpower_ssj2008.
 *
 * The figures are those of the Cloud Carbon Footprint project (data under Apache-2.0):
 *
 *	github.com/cloud-carbon-footprint/ccf-coefficients
 *	commit b0032d928c787cf76cecd7d1d611c5b46f366e29 (2026-04-24)
 *	output/coefficients-aws-use.csv, columns "Min Watts" and "Max Watts"; made from data/SPECpower-2026-03-09.csv
 *	and the lists of CPU names in data/
 *
 * Three rows are not in that CSV; they are what the same rule (mean of "avg. watts @ active idle" and of
 * "avg. watts @ 100%", each over "Total Threads") gives for the same data and lists, and a recomputation that gives
 * every other row to the last digit:
 *	- Skylake server and client, which the CSV has in one row, and Neoverse N1; the project's own
 *	  tests/test_power_averages.py has them too, with two digits.
 *	- EPYC 5th Gen. The published 3.68 and 8.96 W are wrong: data/amd-epyc-gen5.csv ends in 49 empty lines, each
 *	  a pattern that matches almost every CPU, so that they are a mean over 1,039 machines of all makes. Without
 *	  those lines 41 machines remain.
 */
#ifndef IPW_COLLECTOR_MODEL_TABLE_H
#define IPW_COLLECTOR_MODEL_TABLE_H

enum uarch {
	SANDY_BRIDGE, IVY_BRIDGE, HASWELL, BROADWELL, SKYLAKE_SERVER, SKYLAKE_CLIENT, CASCADE_LAKE, COFFEE_LAKE,
	ICE_LAKE, SAPPHIRE_RAPIDS, EMERALD_RAPIDS, GRANITE_RAPIDS, EPYC_1, EPYC_2, EPYC_3, EPYC_4, EPYC_5, NEOVERSE_N1,
	UARCH_COUNT
};

static const struct {
	const char *name;
	double      idle_w, max_w; /* one thread's share */
} uarchs[UARCH_COUNT] = {
	[SANDY_BRIDGE]    = { "Sandy Bridge", 2.2122, 8.6309 },
	[IVY_BRIDGE]      = { "Ivy Bridge", 1.7074, 5.5569 },
	[HASWELL]         = { "Haswell", 1.8574, 5.5954 },
	[BROADWELL]       = { "Broadwell", 0.7128, 3.6853 },
	[SKYLAKE_SERVER]  = { "Skylake server", 0.5505, 4.0104 },
	[SKYLAKE_CLIENT]  = { "Skylake client", 1.8156, 5.8594 },
	[CASCADE_LAKE]    = { "Cascade Lake", 0.6903, 4.0632 },
	[COFFEE_LAKE]     = { "Coffee Lake", 1.1384, 5.4218 },
	[ICE_LAKE]        = { "Ice Lake", 0.7668, 3.7582 },
	[SAPPHIRE_RAPIDS] = { "Sapphire Rapids", 1.0363, 4.1605 },
	[EMERALD_RAPIDS]  = { "Emerald Rapids", 0.8140, 4.4820 },
	[GRANITE_RAPIDS]  = { "Granite Rapids", 0.5816, 2.5275 },
	[EPYC_1]          = { "EPYC 1st Gen", 0.8468, 2.6042 },
	[EPYC_2]          = { "EPYC 2nd Gen", 0.4743, 1.6930 },
	[EPYC_3]          = { "EPYC 3rd Gen", 0.4556, 1.9573 },
	[EPYC_4]          = { "EPYC 4th Gen", 0.7391, 2.2822 },
	[EPYC_5]          = { "EPYC 5th Gen", 0.2667, 1.4805 },
	[NEOVERSE_N1]     = { "Neoverse N1", 0.7351, 1.7059 },
};

/*
 * Which CPU is which, by /proc/cpuinfo: "vendor_id", "cpu family", "model" and "stepping" (arch/x86/include/asm/
 * intel-family.h has Intel's); on arm64 "CPU implementer" and "CPU part", the latter as the model. The EPYC rows also
 * take in the desktop parts that share a family and model with them.
 */
static const struct {
	const char *vendor;
	int         family, model_lo, model_hi, stepping_lo, stepping_hi;
	enum uarch  uarch;
} cpus[] = {
	{ "GenuineIntel", 6, 42, 42, 0, 255, SANDY_BRIDGE },
	{ "GenuineIntel", 6, 45, 45, 0, 255, SANDY_BRIDGE },
	{ "GenuineIntel", 6, 58, 58, 0, 255, IVY_BRIDGE },
	{ "GenuineIntel", 6, 62, 62, 0, 255, IVY_BRIDGE },
	{ "GenuineIntel", 6, 60, 60, 0, 255, HASWELL },
	{ "GenuineIntel", 6, 63, 63, 0, 255, HASWELL },
	{ "GenuineIntel", 6, 69, 70, 0, 255, HASWELL },
	{ "GenuineIntel", 6, 61, 61, 0, 255, BROADWELL },
	{ "GenuineIntel", 6, 71, 71, 0, 255, BROADWELL },
	{ "GenuineIntel", 6, 79, 79, 0, 255, BROADWELL },
	{ "GenuineIntel", 6, 86, 86, 0, 255, BROADWELL },
	{ "GenuineIntel", 6, 85, 85, 0, 4, SKYLAKE_SERVER },
	{ "GenuineIntel", 6, 85, 85, 5, 7, CASCADE_LAKE },
	{ "GenuineIntel", 6, 78, 78, 0, 255, SKYLAKE_CLIENT },
	{ "GenuineIntel", 6, 94, 94, 0, 255, SKYLAKE_CLIENT },
	{ "GenuineIntel", 6, 158, 158, 10, 255, COFFEE_LAKE },
	{ "GenuineIntel", 6, 106, 106, 0, 255, ICE_LAKE },
	{ "GenuineIntel", 6, 108, 108, 0, 255, ICE_LAKE },
	{ "GenuineIntel", 6, 143, 143, 0, 255, SAPPHIRE_RAPIDS },
	{ "GenuineIntel", 6, 207, 207, 0, 255, EMERALD_RAPIDS },
	{ "GenuineIntel", 6, 173, 174, 0, 255, GRANITE_RAPIDS },
	{ "AuthenticAMD", 23, 1, 1, 0, 255, EPYC_1 },
	{ "AuthenticAMD", 23, 49, 49, 0, 255, EPYC_2 },
	{ "AuthenticAMD", 25, 1, 1, 0, 255, EPYC_3 },
	{ "AuthenticAMD", 25, 17, 17, 0, 255, EPYC_4 },
	{ "AuthenticAMD", 25, 160, 175, 0, 255, EPYC_4 },
	{ "AuthenticAMD", 26, 2, 2, 0, 255, EPYC_5 },
	{ "AuthenticAMD", 26, 17, 17, 0, 255, EPYC_5 },
	{ "0x41", 0, 0xd0c, 0xd0c, 0, 255, NEOVERSE_N1 },
};

#endif
