// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Calls of a server on up to four sockets, as records through conn, http and wire. The input is a list of
 *
 *	byte   what (bits 0-2), socket (3-4), its records come twice (5), or never (6)
 *	u16    length, cut to what is left and to 16 kB
 *	bytes  for a gap: u16 where, u8 how long; then `length` bytes
 *
 * (tests/lib/wire_fuzz.h). As long as no byte is missing and the framing is not lost, the same bytes in messages of one
 * byte, and of a few, must give the same log.
 */
#include "tests/lib/wire_fuzz.h"
#include "userspace/http_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int lost_framing;

/* Called for every record: asks the connection how it stands. */
static void watch(struct play *y)
{
	struct conn *c;
	struct http *h;

	for (c = y->p->conns.newest; c; c = c->older) {
		h = c->user;
		if (h && (h->side[0].state == LOST || h->side[1].state == LOST || h->opaque))
			lost_framing = 1;
		if (h && h->depth > HTTP_PIPELINE_MAX)
			abort();
	}
}

static char *play_log(const struct call *c, size_t n, size_t step, size_t head_max)
{
	static struct play y;
	struct call part;
	size_t i, at;
	char *log;

	play_begin(&y, 1, 1);
	y.head_max = head_max;
	for (i = 0; i < n; i++) {
		part = c[i];
		for (at = 0; at < c[i].len || !at; at += part.len ? part.len : 1) {
			part.data = c[i].data + at;
			part.len = c[i].len - at;
			if ((part.what == CALL_IN || part.what == CALL_OUT) && part.len > step)
				part.len = step;
			if (part.len != c[i].len)
				part.ncut = 0;
			play_call(&y, &part);
			watch(&y);
			if (part.what != CALL_IN && part.what != CALL_OUT)
				break;
		}
	}
	play_end(&y);
	log = strdup(y.log.p ? y.log.p : "");
	play_free(&y);
	return log;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct call call[FUZZ_CALLS];
	char *a, *b, why[160];
	size_t n, i;
	int whole = fuzz_decode(data, size, call, &n);

	lost_framing = 0;
	if (!pipeline_up && wire_tasks("auto", why, sizeof(why)))
		abort();
	a = play_log(call, n, SIZE_MAX / 2, whole ? SIZE_MAX / 2 : EV_HEAD_MAX);
	for (i = 0; i < 2 && whole && !lost_framing; i++) {
		b = play_log(call, n, i ? 5 : 1, SIZE_MAX / 2);
		if (!lost_framing && strcmp(a, b)) {
			fprintf(stderr, "--- as it is\n%s--- cut up\n%s", a, b);
			abort();
		}
		free(b);
	}
	free(a);
	play_pipeline_end(); /* nothing is left, or each input would be searched for leaks */
	return 0;
}
