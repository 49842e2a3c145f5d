// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/model_files.h"
#include "userspace/ipw/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int model_files_add(struct model_files *f, const char *arg, char *why, size_t size)
{
	const char *eq = strchr(arg, '=');
	struct model_file m;
	void *more;
	char *name;
	int err;

	if (!eq || eq == arg || !eq[1])
		return -EINVAL;
	err = model_file_read(eq + 1, &m, why, size);
	if (err)
		return err;
	more = realloc(f->row, (size_t)(f->n + 1) * sizeof(*f->row));
	if (more)
		f->row = more;
	name = more ? strndup(arg, (size_t)(eq - arg)) : NULL;
	if (!name) {
		snprintf(why, size, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	f->row[f->n].name = name;
	f->row[f->n++].file = m;
	return 0;
}

void model_files_release(struct model_files *f)
{
	while (f->n)
		free(f->row[--f->n].name);
	free(f->row);
	*f = (struct model_files){ NULL, 0 };
}

const struct model_file *model_files_find(const struct model_files *f, const char *name)
{
	int i;

	for (i = 0; i < f->n; i++)
		if (table_is(f->row[i].name, name))
			return &f->row[i].file;
	return NULL;
}
