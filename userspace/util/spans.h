/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A set of times: spans [from, to) in order, which neither overlap nor touch. */
#ifndef IPW_UTIL_SPANS_H
#define IPW_UTIL_SPANS_H

#include <stddef.h>
#include <stdint.h>

#define SPANS_MAX (1u << 20) /* of a set */

struct span {
	uint64_t from, to;
};

struct spans {
	struct span *v;
	size_t n, cap;
	int    lossy; /* something found no room: the set is not whole */
};

void spans_release(struct spans *s);
/* Fast where most come at the end. Empty ones are nothing. 0, or -ENOSPC or -ENOMEM, once it is lossy. */
int  spans_add(struct spans *s, uint64_t from, uint64_t to);
/* How much of [from, to) is in the set. *at: where to look first; 0 at the beginning, kept by who goes forwards. */
uint64_t spans_within(const struct spans *s, uint64_t from, uint64_t to, size_t *at);

#endif
