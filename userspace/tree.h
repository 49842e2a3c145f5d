/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A server is a tree of processes, and whoever names one may name any part of it: its supervisor, a worker, the front.
 * From the process named this goes up to the top of what belongs to it, and says what each member is, and why.
 */
#ifndef IPW_TREE_H
#define IPW_TREE_H

#include <stdint.h>

#include "userspace/sockets.h"

enum role {
	ROLE_SERVER,     /* listens, and computes itself */
	ROLE_FRONT,      /* listens */
	ROLE_ENGINE,     /* computes */
	ROLE_SUPERVISOR, /* has started others, and does neither */
	ROLE_HELPER,     /* none of these; it may listen for one above it */
};

struct member {
	uint32_t  pid;
	int       up, depth; /* place of its parent in the tree, -1 of the top; how far below the top */
	const char *lib;     /* tree_computes() */
	char      comm[16];
	enum role role;
	char      why[128];
};

struct tree {
	struct member *v;   /* v[0] is the top; a parent comes before its children */
	int  n;
	char up[128];       /* why the top and the process named are one server; empty: it was the top itself */
};

/*
 * The tree that the process `pid` belongs to; climb 0: the one below it. s is filled for its network namespace. 0 or
 * -errno.
 */
int  tree_find(struct tree *t, uint32_t pid, int climb, struct sockets *s);
void tree_release(struct tree *t);

const char *role_name(enum role r);

/* A library that computes for models is mapped: its name, else NULL. */
const char *tree_computes(uint32_t pid);

#endif
