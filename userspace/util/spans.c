// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/spans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void spans_release(struct spans *s)
{
	free(s->v);
	*s = (struct spans){ 0 };
}

/* Room for one more; 0 or -errno. */
static int make_room(struct spans *s)
{
	size_t cap = s->cap ? 2 * s->cap : 64;
	struct span *v;

	if (s->n < s->cap)
		return 0;
	if (s->n >= SPANS_MAX)
		return -ENOSPC;
	v = realloc(s->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	s->cap = cap;
	return 0;
}

int spans_add(struct spans *s, uint64_t from, uint64_t to)
{
	size_t i = s->n, end;
	int err;

	if (from >= to)
		return 0;
	while (i && s->v[i - 1].to >= from)
		i--;
	for (end = i; end < s->n && s->v[end].from <= to; end++) {
		from = s->v[end].from < from ? s->v[end].from : from;
		to = s->v[end].to > to ? s->v[end].to : to;
	}
	err = end == i ? make_room(s) : 0;
	if (err) {
		s->lossy = 1;
		return err;
	}
	memmove(s->v + i + 1, s->v + end, (s->n - end) * sizeof(*s->v));
	s->n += 1 + i - end;
	s->v[i] = (struct span){ from, to };
	return 0;
}

uint64_t spans_within(const struct spans *s, uint64_t from, uint64_t to, size_t *at)
{
	uint64_t sum = 0, a, b;
	size_t i;

	while (*at < s->n && s->v[*at].to <= from)
		++*at;
	for (i = *at; i < s->n && s->v[i].from < to; i++) {
		a = s->v[i].from > from ? s->v[i].from : from;
		b = s->v[i].to < to ? s->v[i].to : to;
		sum += b > a ? b - a : 0;
	}
	return sum;
}
