/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a device can do at most: FLOP/s at 16 bits, dense, and bytes/s from its memory. The built-in table is small; a
 * file takes its place. What is not known stays NAN.
 */
#ifndef IPW_IPW_DEVICES_H
#define IPW_IPW_DEVICES_H

#include <stddef.h>

struct device {
	const char *name;   /* as its driver calls it, and the hardware of results does */
	double      tflops; /* 1e12 FLOP/s */
	double      gb_s;   /* 1e9 bytes/s */
};

struct devices {
	struct device *row;
	size_t         n;
	char          *text; /* of a file */
};

struct peak {
	double flops, bytes; /* a second, of all devices */
};

/* path NULL: the built-in table. 0 or -errno; -EBADMSG: ret_line is the line that is no row. */
int  devices_load(struct devices *d, const char *path, unsigned *ret_line);
void devices_release(struct devices *d);

/*
 * Of all devices that a hardware names: of "CPU, 2 sockets, 64 threads, 4 x GPU (cap 400 W), Linux 6.1" the four GPUs;
 * where there are none, what else is in the table, by sockets. By whole names, with or without the maker's, case does
 * not matter. One GPU that is not known makes all unknown.
 */
struct peak devices_peak(const struct devices *d, const char *hardware);

#endif
