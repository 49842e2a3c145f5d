// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/sink/sink.h"

#include <errno.h>
#include <string.h>

extern const struct sink_ops sink_text, sink_tasks, sink_json, sink_script, sink_recording;

const struct sink_ops *const sinks[] = {
	&sink_text,
	&sink_tasks,
	&sink_json,
	&sink_script,
	&sink_recording,
	NULL,
};

int sink_flush(struct sink *s)
{
	return fflush(s->out) || ferror(s->out) ? -EIO : 0;
}

const struct sink_ops *sink_find(const char *name)
{
	int i;

	for (i = 0; sinks[i]; i++)
		if (!strcmp(sinks[i]->name, name))
			return sinks[i];
	return NULL;
}
