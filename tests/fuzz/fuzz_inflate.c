// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A coded body: the first byte says in which coding, the rest is the body. In pieces of any size the same comes out, as
 * far as it is good; and of a bomb not more than the header says.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/util/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint64_t n, sum;
};

static void on_text(void *ctx, const char *p, size_t n)
{
	struct seen *s = ctx;

	s->n += n;
	while (n--)
		s->sum = s->sum * 31 + (unsigned char)*p++;
}

static int play(const char *coding, const char *p, size_t n, size_t step, struct seen *ret)
{
	struct inflate *z = inflate_new(coding, on_text, ret);
	size_t at, m;
	int err = 0;

	*ret = (struct seen){ 0 };
	if (!z)
		return -1;
	for (at = 0; at < n && !err; at += m) {
		m = n - at < step ? n - at : step;
		err = inflate_feed(z, p + at, m);
	}
	inflate_free(z);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = { "gzip", "deflate", "zstd", "br" };
	struct seen a, b;
	int x, y;

	if (size < 2)
		return 0;
	x = play(codings[data[0] % 4], (const char *)data + 1, size - 1, size, &a);
	y = play(codings[data[0] % 4], (const char *)data + 1, size - 1, 3, &b);
	/* libzstd also reads formats from before its first release, and does not take those in pieces of any size. */
	if (data[0] % 4 != 2 && !x != !y)
		abort();
	if (!x && !y && (a.n != b.n || a.sum != b.sum))
		abort();
	if (a.n > INFLATE_FREE + (uint64_t)INFLATE_RATIO * size + 65536)
		abort();
	return 0;
}
