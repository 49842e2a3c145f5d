/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which model a running server has: by the files that its processes have mapped or open, else by their commands. */
#ifndef IPW_SERVED_H
#define IPW_SERVED_H

#include <stddef.h>

/*
 * A path at which this process can read it: a GGUF file, or a folder with config.json. pid: "PID[,PID...]"; NULL: of
 * who listens at this TCP port. 0; -ENOENT, -ENOTUNIQ or another -errno, with the reason.
 */
int served_model(const char *pid, unsigned port, char *path, size_t size, char *why, size_t wsize);

/*
 * A line of /proc/PID/maps, or the target of a link in /proc/PID/fd: where in it the path of a model's file begins;
 * NULL: it is none. The newline is cut off.
 */
const char *served_path(char *line);

/*
 * The word of a command line, words terminated each, that says which model: behind -m, --model, --model-path or
 * "serve"; NULL: none does.
 */
const char *served_word(const char *buf, size_t n);

#endif
