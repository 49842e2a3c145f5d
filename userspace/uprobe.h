/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A BPF program at an instruction of a file, for one process: the kernel writes its breakpoint into that process's
 * memory alone, so others that map the file pay nothing. By the bpf(2) and perf_event_open(2) calls themselves, as the
 * libbpf of the build may be older than what the kernel can do.
 */
#ifndef IPW_UPROBE_H
#define IPW_UPROBE_H

#include <stdint.h>

/* BPF_TRACE_UPROBE_MULTI: what a program must be loaded for, where uprobe_multi() says 1. */
#define UPROBE_MULTI_ATTACH_TYPE 48

enum uprobe_edge { UPROBE_ENTRY = 0, UPROBE_RETURN };

/*
 * The kernel has uprobe_multi, and its filter means the process: in the first kernels that had it (6.6 to 6.9) it let
 * one thread through. One descriptor, no perf event that is switched with the thread, and detached in no time.
 */
int uprobe_multi(void);

/* Returns a descriptor that keeps it attached, or -errno. The program is loaded as uprobe_multi() says. */
int uprobe_attach(int prog_fd, const char *path, uint64_t offset, enum uprobe_edge edge, uint32_t pid);

/*
 * On x86 a return is seen by a system call that the kernel makes the process do; from 6.11 until it was mended (6.14,
 * and stable releases of 6.12 and 6.13) a seccomp filter that does not know of it breaks the process. 1: not in this.
 */
int uprobe_return_breaks(uint32_t pid);

#endif
