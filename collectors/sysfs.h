/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Small files of /sys and /proc, under the root that the user named. All return 0 (or a descriptor) or -errno and leave
 * their output alone on failure; a file without content is -ENODATA, one that holds something else -EBADMSG.
 */
#ifndef IPW_COLLECTOR_SYSFS_H
#define IPW_COLLECTOR_SYSFS_H

#include <stddef.h>
#include <stdint.h>

int sysfs_open(const char *root, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first line, without its newline; -EMSGSIZE when it does not fit. */
int sysfs_text(char *ret, size_t size, const char *root, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A whole number, decimal or 0x. */
int sysfs_u64(uint64_t *ret, const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int sysfs_pread_u64(int fd, uint64_t *ret); /* the same from a descriptor that stays open */

/* "0-1,64" into cpu[]; returns how many there are, of which the first `max` are stored. */
int sysfs_cpulist(const char *text, int *cpu, int max);

/* What the first processor of procfs/cpuinfo says of `key` ("vendor_id"). -ENOENT when it says nothing. */
int cpuinfo_get(const char *procfs, const char *key, char *ret, size_t size);

#endif
