// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From a table of paths to the tree that the scanner walks. */
#include "userspace/util/json_scan.h"

#include <errno.h>
#include <string.h>

static int tree_child(struct json_tree *t, int parent, const char *key, size_t len)
{
	struct json_node *n;
	int i;

	for (i = t->node[parent].child; i >= 0; i = t->node[i].next)
		if (t->node[i].len == len && !memcmp(t->node[i].key, key, len))
			return i;
	if (t->n == JSON_NODES || len >= JSON_KEY)
		return -1;
	n = &t->node[t->n];
	*n = (struct json_node){ .key = key, .len = (uint8_t)len, .child = -1, .next = t->node[parent].child,
				 .id = -1 };
	t->node[parent].child = (int8_t)t->n;
	return t->n++;
}

/* Length of the step at p: a key up to '.' or '[', or "[]". */
static size_t step_len(const char *p)
{
	return p[0] == '[' ? 2 : strcspn(p, ".[");
}

int json_tree_init(struct json_tree *t, const struct json_path *paths, size_t n)
{
	const char *p;
	size_t i, len;
	int at;

	t->n = 1;
	t->node[0] = (struct json_node){ .key = "", .child = -1, .next = -1, .id = -1 };
	for (i = 0; i < n; i++) {
		for (at = 0, p = paths[i].path; *p; p += len) {
			p += *p == '.';
			len = step_len(p);
			at = tree_child(t, at, p, len);
			if (at < 0)
				return -E2BIG;
		}
		t->node[at].id = (int16_t)paths[i].id;
	}
	return 0;
}
