// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A set of times against one flag for each unit of time. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/spans.h"

#define TIMES 400

static void as_flags(void **state)
{
	uint8_t flag[TIMES];
	struct spans s = { 0 };
	uint64_t from, to, want, t;
	size_t i, at, turn;
	unsigned seed;

	for (seed = 1; seed <= 300; seed++) {
		srand(seed);
		memset(flag, 0, sizeof(flag));
		for (turn = 0; turn < 40; turn++) {
			from = (uint64_t)(rand() % TIMES);
			to = from + (uint64_t)(rand() % (seed % 2 ? 12 : 90));
			to = to < TIMES ? to : TIMES;
			assert_int_equal(spans_add(&s, from, to), 0);
			memset(flag + from, 1, to - from);
			for (i = 0; i < s.n; i++) {
				assert_true(s.v[i].from < s.v[i].to);
				assert_true(!i || s.v[i - 1].to < s.v[i].from);
			}
		}
		/* Forwards, as its reader goes; ranges may be empty, and begin in what the one before had. */
		for (at = 0, from = 0; from < TIMES; from += (uint64_t)(rand() % 9)) {
			to = from + (uint64_t)(rand() % 60);
			to = to < TIMES ? to : TIMES;
			for (want = 0, t = from; t < to; t++)
				want += flag[t];
			assert_int_equal(spans_within(&s, from, to, &at), want);
		}
		spans_release(&s);
	}
}

static void bounded(void **state)
{
	struct spans s = { 0 };
	uint64_t i;

	for (i = 0; i < SPANS_MAX; i++)
		assert_int_equal(spans_add(&s, 2 * i, 2 * i + 1), 0);
	assert_false(s.lossy);
	assert_int_equal(spans_add(&s, 0, 2), 0); /* what joins others needs no room */
	assert_int_equal(s.n, SPANS_MAX - 1);
	assert_int_equal(spans_add(&s, 2 * i, 2 * i + 1), 0);
	assert_int_equal(spans_add(&s, 2 * i + 2, 2 * i + 3), -ENOSPC);
	assert_true(s.lossy);
	assert_int_equal(s.n, SPANS_MAX);
	assert_int_equal(spans_add(&s, 7, 7), 0);
	spans_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_flags),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
