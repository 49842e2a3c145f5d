/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The models' files that a user names, by the models that are in results. */
#ifndef IPW_IPW_MODEL_FILES_H
#define IPW_IPW_MODEL_FILES_H

#include "userspace/ipw/model_file.h"

#define MODEL_FILES 64

struct model_files {
	struct {
		char             *name;
		struct model_file file;
	} *row;
	int n;
};

/* "MODEL=PATH". 0, or -errno: -EINVAL: it is not of that form; else why. */
int  model_files_add(struct model_files *f, const char *arg, char *why, size_t size);
void model_files_release(struct model_files *f);
/* By its whole name, or by what follows its last '/'; case does not matter. NULL: none was named. */
const struct model_file *model_files_find(const struct model_files *f, const char *name);

#endif
