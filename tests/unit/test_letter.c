// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What an answer says in the end: letters by the table of cases in tests/ipw/letters.json, numbers and phrases here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "userspace/ipw/letter.h"

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *buf = calloc(1, 1 << 16);
	size_t n;

	assert_non_null(f);
	assert_non_null(buf);
	n = fread(buf, 1, (1 << 16) - 1, f);
	assert_in_range(n, 1, (1 << 16) - 2);
	fclose(f);
	return buf;
}

static void letters(void **state)
{
	char *buf = slurp("tests/ipw/letters.json");
	cJSON *all = cJSON_Parse(buf), *c;
	int wrong = 0, n = 0;

	assert_true(cJSON_IsArray(all));
	cJSON_ArrayForEach(c, all) {
		const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(c, "text"));
		const char *want = cJSON_GetStringValue(cJSON_GetObjectItem(c, "want"));
		cJSON *options = cJSON_GetObjectItem(c, "n");
		int got = letter_find(text, options ? options->valueint : 10);

		if (want ? got != *want - 'A' : got >= 0) {
			print_message("'%s': %c, not %s\n", text, got >= 0 ? 'A' + got : '-', want ? want : "none");
			wrong++;
		}
		n++;
	}
	assert_int_equal(wrong, 0);
	assert_in_range(n, 50, 1000);
	cJSON_Delete(all);
	free(buf);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		double want;
	} cases[] = {
		{ "42", 42 }, { "The answer is 42.", 42 }, { "Answer: -3.5 V", -3.5 }, { "Answer: 1,234,567", 1234567 },
		{ "\\boxed{3e8}", 3e8 }, { "Answer: $12.50", 12.5 }, { "answer = 50%", 50 }, { "Answer: 3/4", 0.75 },
		{ "First 3, then 4, so 7", 7 }, { "Answer: 5\nIn 2 steps.", 5 },
		{ "<think>answer: 1</think>answer: 2", 2 }, { "x2 is 9", 9 }, { "Answer: .5", 0.5 },
		{ "Answer: +2", 2 }, { "1,23", 23 }, { "answer is x = -2", -2 }, { "Answer: 1e5.", 1e5 },
		{ "The answer is 4. No, the answer is 5", 5 }, { "Answer: 6.02e23 1/mol", 6.02e23 },
		{ "Answer: none", NAN }, { "", NAN }, { "no number", NAN }, { "<think>7", NAN },
		{ "Answer: 1e999", NAN },
		{ "3/0", 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double got = letter_number(cases[i].text);

		if (isnan(cases[i].want) ? !isnan(got) : got != cases[i].want)
			print_message("'%s': %g, not %g\n", cases[i].text, got, cases[i].want);
		assert_true(isnan(cases[i].want) ? isnan(got) : got == cases[i].want);
	}
}

static void phrases(void **state)
{
	static const char *const cases[][2] = {
		{ "Paris", "Paris" }, { "Answer: The Beatles", "The Beatles" },
		{ "The answer is: right\nindeed", "right" }, { "<think>Answer: no</think>yes", "yes" },
		{ "Answer me!", "Answer me!" }, { "answer is\n\nB 12", "B 12" },
	};
	size_t i, n;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *got = letter_phrase(cases[i][0], &n);

		if (n != strlen(cases[i][1]) || memcmp(got, cases[i][1], n))
			print_message("'%s': '%.*s'\n", cases[i][0], (int)n, got);
		assert_int_equal(n, strlen(cases[i][1]));
		assert_memory_equal(got, cases[i][1], n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters), cmocka_unit_test(numbers), cmocka_unit_test(phrases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
