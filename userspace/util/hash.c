// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/hash.h"

#include <errno.h>
#include <stdlib.h>

static size_t home(const struct hash *h, uint64_t key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15ull;
	return (key >> 29) & (h->cap - 1);
}

static struct hash_slot *find(const struct hash *h, uint64_t key)
{
	size_t i = home(h, key);

	while (h->slots[i].val && h->slots[i].key != key)
		i = (i + 1) & (h->cap - 1);
	return &h->slots[i];
}

static int grow(struct hash *h)
{
	struct hash n = { .cap = h->cap ? 2 * h->cap : 64 };
	size_t i;

	n.slots = calloc(n.cap, sizeof(*n.slots));
	if (!n.slots)
		return -ENOMEM;
	for (i = 0; i < h->cap; i++)
		if (h->slots[i].val)
			*find(&n, h->slots[i].key) = h->slots[i];
	n.used = h->used;
	free(h->slots);
	*h = n;
	return 0;
}

void hash_release(struct hash *h)
{
	free(h->slots);
	*h = (struct hash){ 0 };
}

void *hash_get(const struct hash *h, uint64_t key)
{
	return h->cap ? find(h, key)->val : NULL;
}

int hash_put(struct hash *h, uint64_t key, void *val)
{
	struct hash_slot *s;

	if (2 * (h->used + 1) > h->cap && grow(h))
		return -ENOMEM;
	s = find(h, key);
	h->used += !s->val;
	s->key = key;
	s->val = val;
	return 0;
}

void *hash_del(struct hash *h, uint64_t key)
{
	struct hash_slot *s;
	size_t hole, i, want;
	void *val;

	if (!h->cap)
		return NULL;
	s = find(h, key);
	val = s->val;
	if (!val)
		return NULL;
	/* Close the hole, so that no search ends at it too early. */
	hole = s - h->slots;
	for (i = (hole + 1) & (h->cap - 1); h->slots[i].val; i = (i + 1) & (h->cap - 1)) {
		want = home(h, h->slots[i].key);
		if (((i - want) & (h->cap - 1)) < ((i - hole) & (h->cap - 1)))
			continue;
		h->slots[hole] = h->slots[i];
		hole = i;
	}
	h->slots[hole].val = NULL;
	h->used--;
	return val;
}

void *hash_next(const struct hash *h, size_t *i)
{
	while (*i < h->cap) {
		void *val = h->slots[(*i)++].val;

		if (val)
			return val;
	}
	return NULL;
}
