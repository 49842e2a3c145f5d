/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JSON to a stream, one object a line. Strings are escaped; a double that is NAN or infinite is written as null. */
#ifndef IPW_UTIL_JSON_OUT_H
#define IPW_UTIL_JSON_OUT_H

#include <stdint.h>
#include <stdio.h>

struct json_out {
	FILE *f;
	int   comma; /* something stands before in this object or array */
};

/* key NULL: inside an array, or the outermost value */
void json_open(struct json_out *j, const char *key, char bracket);
void json_close(struct json_out *j, char bracket);
void json_str(struct json_out *j, const char *key, const char *val); /* val NULL or "": null */
void json_num(struct json_out *j, const char *key, double val);
void json_int(struct json_out *j, const char *key, int64_t val);
void json_int_or_null(struct json_out *j, const char *key, int64_t val); /* negative: null */
void json_raw(struct json_out *j, const char *key, const char *literal); /* true, false, null */
void json_line(struct json_out *j);

#endif
