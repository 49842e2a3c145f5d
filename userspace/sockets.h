/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stream sockets of a network namespace, as the kernel lists them, and which of them a process holds: what it
 * listens on, and whom it talks to.
 */
#ifndef IPW_SOCKETS_H
#define IPW_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "userspace/util/hash.h"

struct sock_one {
	uint64_t inode;
	uint64_t peer;      /* inode of the other end of a unix socket; 0: not known */
	struct ev_sock ends; /* of TCP: without a cookie */
	uint8_t  listens;
	char     name[72];  /* of one that listens, for people: "127.0.0.1:8080", "unix /run/x.sock" */
};

struct sockets {
	struct sock_one *v; /* by inode */
	size_t      n, cap;
	uint64_t    netns;  /* of which; 0: nothing loaded */
	struct hash by_tuple; /* of TCP: conn_tuple() -> its place in v, from 1 */
};

/*
 * Those of the network namespace of this process; what is there of the same namespace is kept. Where the kernel does
 * not say who is at the other end of a unix socket, peers are not known. 0 or -errno.
 */
int  sockets_load(struct sockets *s, uint32_t pid);
void sockets_release(struct sockets *s);

const struct sock_one *sockets_get(const struct sockets *s, uint64_t inode);
/* The other end, if it is on this machine; NULL if not. */
const struct sock_one *sockets_other_end(const struct sockets *s, const struct sock_one *k);

/* Inodes of the sockets that a process holds, sorted; free() them. Returns how many, or -errno. */
int  sockets_held(uint32_t pid, uint64_t **ret);
/* Those that are its standard input, output and error, by which it talks to who started it or logs; 0: it is none. */
void sockets_stdio(uint32_t pid, uint64_t ret[3]);
int  sockets_holds(const uint64_t *held, int n, uint64_t inode);

/*
 * What a process listens on, for people: "127.0.0.1:8080, unix /run/x.sock". Returns how many sockets, 0 with an empty
 * text, -errno when it cannot be read. ret_unix: how many of them are unix sockets.
 */
int  sockets_listens(struct sockets *s, uint32_t pid, char *buf, size_t size, int *ret_unix);
/* Whether it listens on this TCP port. */
int  sockets_listens_on(struct sockets *s, uint32_t pid, unsigned port);

/* A number that changes when a unix stream socket begins to listen in the process's network namespace. Cheap. */
uint64_t sockets_unix_signature(uint32_t pid);

/* The readers of what the kernel says. A line of /proc/net/tcp, tcp6 and unix; whether it is a socket we want. */
int  sockets_tcp_line(const char *line, struct sock_one *ret);
int  sockets_unix_line(const char *line, struct sock_one *ret);
/* Messages of NETLINK_SOCK_DIAG on unix sockets. 1: go on, 0: that was all, -errno: the kernel refuses. */
int  sockets_diag(struct sockets *s, const void *buf, size_t n);
/* For sockets_diag(): adds one that is not there yet, in any order; sockets_sort() after the last. */
int  sockets_add(struct sockets *s, const struct sock_one *k);
void sockets_sort(struct sockets *s);

#endif
