// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif
#ifdef HAVE_BROTLI
#include <brotli/decode.h>
#endif

#define OUT_SIZE 16384
#define ZLIB_HELD 45056 /* zconf.h: 32 kB of window, and some for the state */
#define ZSTD_WINDOW_LOG 23 /* 8 MiB: what RFC 8878 asks a decoder to bear, and browsers do not go beyond */

struct coding {
	const char *name;
	int  (*open)(struct inflate *z);
	/* Takes from *p up to *n and writes up to *room into out; all three move. 0 or -EBADMSG. */
	int  (*step)(struct inflate *z, const char **p, size_t *n, char **out, size_t *room);
	void (*close)(struct inflate *z);
};

struct inflate {
	const struct coding *coding;
	inflate_fn fn;
	void      *ctx;
	void      *state;
	uint64_t   in, out;
	int        begun; /* deflate: it is known whether there is a zlib header */
	int        whole;
	size_t     held;  /* bytes, as far as they are known */
};

static size_t held; /* by all */

static void hold(struct inflate *z, size_t n)
{
	held += n - z->held;
	z->held = n;
}

/* --- zlib --------------------------------------------------------------------------------------------------------- */

static int zlib_open_as(struct inflate *z, int window)
{
	z_stream *s = calloc(1, sizeof(*s));

	z->state = s;
	if (!s || inflateInit2(s, window) != Z_OK) {
		free(s);
		return -ENOMEM;
	}
	hold(z, ZLIB_HELD);
	return 0;
}

static int gzip_open(struct inflate *z)
{
	return zlib_open_as(z, 15 + 16);
}

static int deflate_open(struct inflate *z)
{
	return zlib_open_as(z, 15);
}

static int zlib_step(struct inflate *z, const char **p, size_t *n, char **out, size_t *room)
{
	z_stream *s = z->state;
	int err;

	/* "deflate" means a zlib stream, and some send a bare one: its first byte tells. */
	if (!z->begun && z->coding->open == deflate_open && (**p & 0x0f) != 8)
		inflateReset2(s, -15);
	z->begun = 1;
	if (z->whole && *n)
		inflateReset(s); /* another member follows */
	s->next_in = (Bytef *)(uintptr_t)*p;
	s->avail_in = (uInt)*n;
	s->next_out = (Bytef *)*out;
	s->avail_out = (uInt)*room;
	err = inflate(s, Z_NO_FLUSH);
	*p = (const char *)s->next_in;
	*n = s->avail_in;
	*out = (char *)s->next_out;
	*room = s->avail_out;
	z->whole = err == Z_STREAM_END || (z->whole && err == Z_BUF_ERROR);
	return err == Z_OK || err == Z_BUF_ERROR || z->whole ? 0 : -EBADMSG;
}

static void zlib_close(struct inflate *z)
{
	inflateEnd(z->state);
	free(z->state);
}

/* --- zstd --------------------------------------------------------------------------------------------------------- */

#ifdef HAVE_ZSTD
static int zstd_open(struct inflate *z)
{
	z->state = ZSTD_createDStream();
	if (!z->state)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(z->state, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	return 0;
}

static int zstd_step(struct inflate *z, const char **p, size_t *n, char **out, size_t *room)
{
	ZSTD_inBuffer i = { *p, *n, 0 };
	ZSTD_outBuffer o = { *out, *room, 0 };
	size_t ret = ZSTD_decompressStream(z->state, &o, &i);

	*p += i.pos;
	*n -= i.pos;
	*out += o.pos;
	*room -= o.pos;
	z->whole = !ret;
	hold(z, ZSTD_sizeof_DStream(z->state));
	return ZSTD_isError(ret) ? -EBADMSG : 0;
}

static void zstd_close(struct inflate *z)
{
	ZSTD_freeDStream(z->state);
}
#endif

/* --- brotli ------------------------------------------------------------------------------------------------------- */

#ifdef HAVE_BROTLI
/* Its size stands before what the decoder gets. */
static void *brotli_alloc(void *ctx, size_t n)
{
	struct inflate *z = ctx;
	size_t *p = malloc(n + 2 * sizeof(*p));

	if (!p)
		return NULL;
	p[0] = n;
	hold(z, z->held + n);
	return p + 2;
}

static void brotli_free(void *ctx, void *at)
{
	struct inflate *z = ctx;
	size_t *p = at;

	if (!p)
		return;
	hold(z, z->held - p[-2]);
	free(p - 2);
}

static int brotli_open(struct inflate *z)
{
	z->state = BrotliDecoderCreateInstance(brotli_alloc, brotli_free, z);
	return z->state ? 0 : -ENOMEM;
}

static int brotli_step(struct inflate *z, const char **p, size_t *n, char **out, size_t *room)
{
	const uint8_t *in = (const uint8_t *)*p;
	uint8_t *to = (uint8_t *)*out;
	BrotliDecoderResult ret = BrotliDecoderDecompressStream(z->state, n, &in, room, &to, NULL);

	*p = (const char *)in;
	*out = (char *)to;
	z->whole = ret == BROTLI_DECODER_RESULT_SUCCESS;
	if (ret == BROTLI_DECODER_RESULT_SUCCESS && *n)
		return -EBADMSG; /* nothing may follow */
	return ret == BROTLI_DECODER_RESULT_ERROR ? -EBADMSG : 0;
}

static void brotli_close(struct inflate *z)
{
	BrotliDecoderDestroyInstance(z->state);
}
#endif

/* --- all ---------------------------------------------------------------------------------------------------------- */

static const struct coding codings[] = {
	{ "gzip", gzip_open, zlib_step, zlib_close },
	{ "x-gzip", gzip_open, zlib_step, zlib_close },
	{ "deflate", deflate_open, zlib_step, zlib_close },
#ifdef HAVE_ZSTD
	{ "zstd", zstd_open, zstd_step, zstd_close },
#endif
#ifdef HAVE_BROTLI
	{ "br", brotli_open, brotli_step, brotli_close },
#endif
};

const char *inflate_codings(void)
{
	return "gzip, deflate"
#ifdef HAVE_ZSTD
	       ", zstd"
#endif
#ifdef HAVE_BROTLI
	       ", br"
#endif
	       ;
}

struct inflate *inflate_new(const char *coding, inflate_fn fn, void *ctx)
{
	struct inflate *z;
	size_t i;

	for (i = 0; i < sizeof(codings) / sizeof(*codings); i++)
		if (!strcasecmp(codings[i].name, coding))
			break;
	if (i == sizeof(codings) / sizeof(*codings))
		return NULL;
	z = malloc(sizeof(*z));
	if (!z)
		return NULL;
	z->coding = &codings[i];
	z->fn = fn;
	z->ctx = ctx;
	z->in = z->out = 0;
	z->held = 0;
	z->begun = z->whole = 0;
	if (z->coding->open(z)) {
		free(z);
		return NULL;
	}
	if (held > INFLATE_MEMORY) {
		inflate_free(z);
		return NULL;
	}
	return z;
}

int inflate_feed(struct inflate *z, const char *p, size_t n)
{
	static char buf[OUT_SIZE];
	size_t room, left;
	char *out;
	int err;

	z->in += n;
	do {
		left = n;
		out = buf;
		room = OUT_SIZE;
		err = z->coding->step(z, &p, &n, &out, &room);
		z->out += OUT_SIZE - room;
		if (!err && z->out > INFLATE_FREE && z->out / INFLATE_RATIO > z->in)
			err = -E2BIG;
		if (!err && held > INFLATE_MEMORY)
			err = -E2BIG;
		if (!err && room < OUT_SIZE)
			z->fn(z->ctx, buf, OUT_SIZE - room);
		if (!err && n && n == left && room == OUT_SIZE)
			err = -EBADMSG; /* it neither takes nor gives */
	} while (!err && (n || !room));
	return err;
}

int inflate_whole(const struct inflate *z)
{
	return z->whole;
}

void inflate_free(struct inflate *z)
{
	if (!z)
		return;
	z->coding->close(z);
	hold(z, 0);
	free(z);
}
