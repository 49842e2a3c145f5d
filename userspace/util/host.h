/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What machine this is, in words that results carry. */
#ifndef IPW_UTIL_HOST_H
#define IPW_UTIL_HOST_H

#include <stddef.h>
#include <stdint.h>

/*
 * "Intel(R) Xeon(R) Processor @ 2.50GHz, 1 socket, 2 threads, NVIDIA driver 550.54.15" from procfs/cpuinfo and
 * procfs/driver/nvidia/version, if there is one; and "6.18.44 x86_64".
 */
void host_describe(const char *procfs, char *hardware, size_t hsize, char *kernel, size_t ksize);
/* Adds ", 2 x NAME". */
void host_add(char *hardware, size_t size, const char *name, int n);
/* The package that a CPU is in; 0 where that is not said. */
int32_t host_package(int cpu);

#endif
