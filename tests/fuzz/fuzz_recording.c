// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A file that calls itself a recording, replayed into a pipeline as `report` does it. First as it is; then with the
 * checksums of its blocks put right, or nothing behind them would ever be reached.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "userspace/playback.h"
#include "userspace/sink/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report(const uint8_t *data, size_t size)
{
	static struct idle floor[CHANNEL_MAX], again[CHANNEL_MAX];
	static struct replay r;

	if (replay_open_mem(&r, (const char *)data, size))
		return;
	playback(&r, 0, r.idle, NULL, 0, floor);
	playback(&r, 0, floor, NULL, 0, again);
	replay_close(&r);
}

/* Whatever looks like a block gets the checksum that it should have. */
static void mend(uint8_t *p, size_t size)
{
	struct rec_block b;
	size_t at = sizeof(struct rec_file);

	while (at + sizeof(b) <= size) {
		memcpy(&b, p + at, sizeof(b));
		if (b.magic != REC_BLOCK_MAGIC || b.len > size - at - sizeof(b)) {
			at++;
			continue;
		}
		b.crc = (uint32_t)crc32(b.seq, p + at + sizeof(b), b.len);
		memcpy(p + at, &b, sizeof(b));
		at += sizeof(b) + b.len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	report(data, size);
	copy = malloc(size ? size : 1);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	mend(copy, size);
	report(copy, size);
	free(copy);
	return 0;
}
