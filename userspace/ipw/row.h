/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One line of a results file: a JSON object whose "type" is "result" (RESULTS of the man page). No tree is built and
 * nothing allocated: texts point into the line. A field that is not ours is skipped, whatever its value.
 */
#ifndef IPW_IPW_ROW_H
#define IPW_IPW_ROW_H

#include <stddef.h>
#include <stdint.h>

enum row_text {
	ROW_TYPE, ROW_QUERY, ROW_MODEL, ROW_HARDWARE, ROW_DATASET, ROW_CATEGORY, ROW_DIFFICULTY, ROW_SCOPE,
	ROW_END, ROW_TEXTS
};

enum row_num {
	ROW_CORRECT, /* 0 or 1 */
	ROW_ENERGY, ROW_GROSS, ROW_POWER, ROW_DURATION, ROW_PPL, /* J, J, W, s: above 0 */
	ROW_TTFT, ROW_PROMPT, ROW_CACHED, ROW_COMPLETION, ROW_FLOPS, ROW_COST, ROW_CONCURRENCY, ROW_BUSY, ROW_BYTES,
	/* not below 0 */
	ROW_NUMS
};

#define ROW_DECODED 4096 /* bytes of one line's texts that are written with escapes */

struct row {
	const char *text[ROW_TEXTS]; /* not terminated */
	uint32_t    len[ROW_TEXTS];  /* 0: not given, null or "" */
	double      num[ROW_NUMS];   /* NAN: not given, null, or odd; right to two units in the last place */
	uint32_t    odd;             /* bits of row_num: given, and cannot be, or not as a float */
	uint8_t     next;            /* the field that the next key is expected to be */
	uint8_t     estimated;       /* one of its flags is that */
	uint16_t    decoded;
	char        buf[ROW_DECODED];
};

/*
 * 0: a result; 1: an object of another type; -EBADMSG: malformed, ret_why says how. line has no newline. row may be
 * what a line before left: keys are looked for where the last line had them.
 */
int row_parse(struct row *r, const char *line, size_t n, const char **ret_why);

void row_num_name(enum row_num f, char *buf, size_t size);

#endif
