/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's side: loads and attaches the BPF programs, reads the ring and the counters. Alone knows libbpf. */
#ifndef IPW_LIVE_H
#define IPW_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "userspace/probes.h"
#include "userspace/timeline.h"

#define LIVE_RING_BYTES (8u << 20)

struct live;

/*
 * Loads the programs of a tier (NET_AUTO: the first that works) and attaches them; nothing is traced before
 * live_add(). 0 or -errno, with the reason for people in `why`. edge_slots: slots that edges (EV_EDGE) count on the
 * CPUs; 0: there are no edges. Where the kernel does not take them, there are none either: live_edges_why().
 */
int  live_new(enum net_tier tier, uint32_t ring_bytes, uint32_t edge_slots, struct live **ret, char *why, size_t size);
void live_free(struct live *l);

enum net_tier live_tier(const struct live *l);
/* By row of probes[]. */
const struct probe_status *live_probes(const struct live *l);

/* Traces process tgid (of the initial pid namespace), its threads and the children that it will have. */
int  live_add(struct live *l, uint32_t tgid, uint32_t slot);

/* On-CPU time of a traced process, up to its last switch off a CPU. 0 or -errno. */
int  live_cpu(const struct live *l, uint32_t tgid, uint64_t *ret_ns);

/* Sees unix sockets too, from now on. 0 or -errno; tier sys sees them anyway. */
int  live_watch_unix(struct live *l);

/* Readable when much waits in the ring. */
int  live_fd(const struct live *l);
/* Hands over all events that wait. Returns how many, or -errno. */
int  live_drain(struct live *l, void (*fn)(void *ctx, const struct ev_hdr *e), void *ctx);
/* On-CPU time up to now; ret->t_ns is now. */
int  live_activity(struct live *l, struct activity *ret);
/*
 * Edges read this perf event too, of CPU package `unit`: returns its place, group * EV_EDGE_METERS + bit of
 * ev_edge.read, or -errno.
 */
int  live_edge_meter(struct live *l, int fd, int32_t unit);
/* Why there are no edges; empty if there are. Those that were given up, as a CPU switched just then. */
const char *live_edges_why(const struct live *l);
uint64_t live_edges_torn(const struct live *l);
/* Events lost since attach, of all kinds. */
uint64_t live_lost(struct live *l);
/*
 * The programs of engine steps, which others attach: descriptor of one, -1 if it could not be loaded; how often all of
 * them ran; err 0: it is on somewhere, else why not; why they could not be loaded.
 */
int  live_prog(const struct live *l, const char *program);
uint64_t live_step_hits(const struct live *l);
void live_step_state(struct live *l, const char *program, int err);
const char *live_step_why(const struct live *l);
/* The bytes of this socket need not be copied any more. */
void live_mute(struct live *l, uint64_t cookie);

#endif
