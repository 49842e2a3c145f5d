// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What an edge costs the thread that has it (bpf/edge.bpf.h). Here is no RAPL: in place of its events two of the
 * kernel's software clock are read.
 *
 * Usage: edge ROUNDS
 * For each round one line: nanoseconds of a call on a socket that turns round, with an edge and without one. The same
 * calls, one after the other: first while edges are allowed, then when as many as may come at once have come.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userspace/live.h"
#include "userspace/util/clock.h"
#include "userspace/util/host.h"

#define CALLS (EV_EDGE_BURST - 4) /* some may have been used up by then */

static int edges;

static void on_event(void *ctx, const struct ev_hdr *e)
{
	const struct ev_edge *edge = (const struct ev_edge *)e;

	edges += e->type == EV_EDGE && edge->read == 3;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "edge: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Two ends of a connection. */
static void connect_both(int *ret)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	ret[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s, (struct sockaddr *)&a, len) || listen(s, 1) || getsockname(s, (struct sockaddr *)&a, &len) ||
	    connect(ret[0], (struct sockaddr *)&a, len))
		die("connect");
	ret[1] = accept(s, NULL, NULL);
}

/* Each is a turn: one end sends, the other receives and sends back, and so on. */
static double call_ns(const int *fd)
{
	uint64_t t = clock_mono_ns();
	char byte = 0;
	int i;

	for (i = 0; i < CALLS; i++)
		if ((i % 2 ? recv(fd[i / 2 % 2 ? 0 : 1], &byte, 1, 0) : send(fd[i / 2 % 2], &byte, 1, 0)) != 1)
			die("a call");
	return (double)(clock_mono_ns() - t) / CALLS;
}

static void meters(struct live *l)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK };
	int i, fd;

	for (i = 0; i < 2; i++) {
		fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
		if (fd < 0 || live_edge_meter(l, fd, host_package(0)) < 0)
			die("a meter");
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20, fd[2];
	struct live *l = NULL;
	double with, without;
	char why[640] = "";
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
	if (live_new(NET_AUTO, LIVE_RING_BYTES, 1, &l, why, sizeof(why)) || live_edges_why(l)[0]) {
		fprintf(stderr, "edge: %s\n", l ? live_edges_why(l) : why);
		return 1;
	}
	meters(l);
	connect_both(fd);
	live_add(l, (uint32_t)getpid(), 1);
	while (rounds-- > 0) {
		usleep(EV_EDGE_BURST * EV_EDGE_EACH_NS / 1000);
		edges = 0;
		with = call_ns(fd);
		(void)live_drain(l, on_event, NULL);
		if (edges != CALLS)
			continue; /* disturbed */
		(void)call_ns(fd);
		without = call_ns(fd);
		(void)live_drain(l, on_event, NULL);
		printf("%.0f %.0f\n", with, without);
	}
	live_free(l);
	return 0;
}
