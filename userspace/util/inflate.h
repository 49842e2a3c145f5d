/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Content codings of HTTP (RFC 9110, 8.4.1), decoded as the bytes come: gzip, deflate, zstd and br, as far as this
 * build has their libraries. What comes out is handed on in pieces and not kept.
 */
#ifndef IPW_UTIL_INFLATE_H
#define IPW_UTIL_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/*
 * What all of them may hold together. A sender chooses how much of what came before is needed, so it could make many of
 * them large: one that would go beyond is given up.
 */
#define INFLATE_MEMORY (128u << 20)

/* A body that becomes longer than this, and is not worth reading, is a bomb: INFLATE_RATIO times what came in. */
#define INFLATE_FREE  (64u << 20)
#define INFLATE_RATIO 200

struct inflate;

typedef void (*inflate_fn)(void *ctx, const char *p, size_t n);

/* coding: as in Content-Encoding, alone. NULL: there is none of that name here, or no memory. */
struct inflate *inflate_new(const char *coding, inflate_fn fn, void *ctx);
/*
 * 0; -EBADMSG: this is not what it was said to be; -E2BIG: it is a bomb, or there is no room for it. After an error
 * nothing more can be read.
 */
int  inflate_feed(struct inflate *z, const char *p, size_t n);
/* The body ends here: whether it is complete. */
int  inflate_whole(const struct inflate *z);
void inflate_free(struct inflate *z);

/* "gzip, deflate, zstd": the codings of this build. */
const char *inflate_codings(void);

#endif
