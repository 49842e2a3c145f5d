/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON lines as CSV (RFC 4180; lines end in a newline): one header with each name that any of the lines has, in the
 * order in which they come, then a line for each. A member of an object is "object.member"; the texts of an array that
 * are not empty stand in one cell, by semicolons, its other elements are "array.0", "array.1". An empty cell: null, "",
 * or not there. Numbers stand as they are written.
 */
#ifndef IPW_UTIL_CSV_H
#define IPW_UTIL_CSV_H

#include <stdint.h>
#include <stdio.h>

#define CSV_COLUMNS 4096

struct csv_count {
	uint64_t rows, others; /* others: of another type */
	uint64_t bad, first_bad; /* lines that are no JSON object: left out; the number of the first */
};

/*
 * Reads `in`, which can be sought in, twice from its beginning. type: only objects whose "type" is that; NULL: all.
 * 0, -E2BIG: more than CSV_COLUMNS names; or -errno of reading, writing or memory. ret may be NULL.
 */
int csv_of_json(FILE *in, const char *type, FILE *out, struct csv_count *ret);

/* A file without a name, for lines to be kept until all are there. NULL: errno says why. */
FILE *csv_spool(void);

#endif
