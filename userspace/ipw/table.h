/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Small tables that a user writes: a line a row, columns by tabs, '#' begins a comment. */
#ifndef IPW_IPW_TABLE_H
#define IPW_IPW_TABLE_H

#include <stddef.h>

/* The whole file, terminated. 0 or -errno. */
int table_read(const char *path, char **ret);
/* Cuts a line into its columns. Returns how many there are, max + 1 if too many; 0: a line without any. */
int table_columns(char *line, char **col, int max);
/* A number that is not below 0; "-": not known, NAN. 0, or -EBADMSG. */
int table_value(const char *s, double *ret);
/* Whether a row of that name is meant: the whole name, or what follows its last '/'; case does not matter. */
int table_is(const char *row, const char *name);
/* Room for one more in an array that doubles: of n rows, each of this size. 0 or -ENOMEM. */
int table_room(void **row, size_t n, size_t size);

#endif
