/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A table from a 64-bit key to a pointer that the caller owns. Open addressing; grows, never shrinks. */
#ifndef IPW_UTIL_HASH_H
#define IPW_UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_slot {
	uint64_t key;
	void    *val; /* NULL: empty */
};

struct hash {
	struct hash_slot *slots;
	size_t            cap; /* a power of two, or 0 */
	size_t            used;
};

void  hash_release(struct hash *h);
void *hash_get(const struct hash *h, uint64_t key);
/* Replaces what was there. val is not NULL. 0 or -ENOMEM. */
int   hash_put(struct hash *h, uint64_t key, void *val);
/* Returns what was there, or NULL. */
void *hash_del(struct hash *h, uint64_t key);

/* for (size_t i = 0; (val = hash_next(h, &i));) ...; the table may not change meanwhile */
void *hash_next(const struct hash *h, size_t *i);

#endif
