/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strings that came from outside: bounded, and safe to print. */
#ifndef IPW_UTIL_STR_H
#define IPW_UTIL_STR_H

#include <stddef.h>

/*
 * Copies src[0 .. len) to dst, terminated, cut to fit at a character's edge. What is not valid UTF-8, or is a control
 * character (C0, DEL, C1, a bidirectional override), becomes '?': no terminal obeys what is left.
 */
void str_clean(char *dst, size_t size, const char *src, size_t len);

/*
 * Copies an identifier that a client chose, to be kept and shown. What is longer than STR_IDENT bytes, or is not one
 * word that str_clean() would leave alone, may be anything, also a text: of that only a sum is kept, "#" and 16 hex
 * digits (FNV-1a), which tells equal ones and says nothing of them to who cannot guess them.
 */
#define STR_IDENT 64
void str_ident(char dst[STR_IDENT + 1], const char *src, size_t len);

/* Bytes of the well-formed UTF-8 sequence at src[0 .. len); 0: there is none. */
size_t str_utf8_len(const char *src, size_t len);

/* Case does not matter; b is a C string. */
int str_ieq(const char *a, size_t alen, const char *b);
/* b occurs in a, case does not matter. */
int str_ihas(const char *a, size_t alen, const char *b);

#endif
