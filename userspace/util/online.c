// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/online.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void online_init(struct online *o, int fd)
{
	memset(o, 0, sizeof(*o));
	memset(o->bits, 0xff, sizeof(o->bits));
	o->fd = fd;
}

static void add(struct online *o, unsigned long from, unsigned long to)
{
	for (; from <= to && from < ONLINE_MAX; from++)
		o->bits[from / 64] |= 1ull << from % 64;
}

/* What cannot be read, or is no list, changes nothing. */
int online_look(struct online *o)
{
	char text[sizeof(o->text)], *p = text, *end;
	unsigned long from, to;
	ssize_t n = o->fd < 0 ? -1 : pread(o->fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	if (!strcmp(text, o->text))
		return 0;
	strcpy(o->text, text);
	memset(o->bits, 0, sizeof(o->bits));
	for (;; p = end + 1) {
		from = to = strtoul(p, &end, 10);
		if (end != p && *end == '-')
			to = strtoul(end + 1, &end, 10);
		if (end == p)
			break;
		add(o, from, to);
		if (*end != ',')
			break;
	}
	return 1;
}

int online_has(const struct online *o, int cpu)
{
	return cpu >= ONLINE_MAX || (o->bits[cpu / 64] >> cpu % 64 & 1);
}

void online_release(struct online *o)
{
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}
