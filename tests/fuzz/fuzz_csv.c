// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* JSON lines as CSV: whatever they are, each record has the cells that the header has names. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cells of the record at *at, which goes behind it. */
static size_t cells(const char *p, size_t n, size_t *at)
{
	size_t got = 1, i = *at;
	int in = 0;

	for (; i < n && (in || p[i] != '\n'); i++) {
		in ^= p[i] == '"';
		got += !in && p[i] == ',';
	}
	if (i == n)
		abort(); /* no end, or a quote is open */
	*at = i + 1;
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *type = size && data[0] & 1 ? "result" : NULL;
	FILE *in = fmemopen((void *)data, size, "r"), *out;
	struct csv_count n;
	size_t len, at = 0, names;
	uint64_t rows = 0;
	char *text;

	if (!in)
		return 0;
	out = open_memstream(&text, &len);
	if (!out || csv_of_json(in, type, out, &n) || fclose(out))
		abort();
	fclose(in);
	for (names = len ? cells(text, len, &at) : 0; at < len; rows++)
		if (cells(text, len, &at) != names)
			abort();
	if (len && rows != n.rows)
		abort();
	free(text);
	return 0;
}
