// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/json_out.h"

#include <math.h>

static void quoted(FILE *f, const char *s)
{
	const unsigned char *p;

	fputc('"', f);
	for (p = (const unsigned char *)s; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(f, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(f, "\\u%04x", *p);
		else
			fputc(*p, f);
	}
	fputc('"', f);
}

static void lead(struct json_out *j, const char *key)
{
	if (j->comma)
		fputc(',', j->f);
	j->comma = 1;
	if (!key)
		return;
	quoted(j->f, key);
	fputc(':', j->f);
}

void json_open(struct json_out *j, const char *key, char bracket)
{
	lead(j, key);
	fputc(bracket, j->f);
	j->comma = 0;
}

void json_close(struct json_out *j, char bracket)
{
	fputc(bracket, j->f);
	j->comma = 1;
}

void json_str(struct json_out *j, const char *key, const char *val)
{
	lead(j, key);
	if (val && *val)
		quoted(j->f, val);
	else
		fputs("null", j->f);
}

void json_num(struct json_out *j, const char *key, double val)
{
	lead(j, key);
	if (isfinite(val))
		fprintf(j->f, "%.12g", val);
	else
		fputs("null", j->f);
}

void json_int(struct json_out *j, const char *key, int64_t val)
{
	lead(j, key);
	fprintf(j->f, "%lld", (long long)val);
}

void json_int_or_null(struct json_out *j, const char *key, int64_t val)
{
	if (val < 0)
		json_str(j, key, NULL);
	else
		json_int(j, key, val);
}

void json_raw(struct json_out *j, const char *key, const char *literal)
{
	lead(j, key);
	fputs(literal, j->f);
}

void json_line(struct json_out *j)
{
	fputc('\n', j->f);
	j->comma = 0;
}
