/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wanted values out of a JSON text, byte by byte, keeping nothing of the rest.
 *
 * A struct json_tree says which paths are wanted; it is made once from a table. A struct json_scan reads one text in
 * pieces of any size and calls back at the end of each value whose path is in the tree. It allocates nothing, and what
 * it keeps is bounded: deeper than JSON_DEPTH it only counts brackets, of a string it keeps JSON_STR bytes. It is
 * lenient about what no reader of ours depends on (a stray comma), and strict about structure: after an error it
 * ignores everything until json_init().
 *
 * Grammar: RFC 8259. Paths: keys joined by '.', "[]" for any element of an array: "choices[].delta.content".
 */
#ifndef IPW_UTIL_JSON_SCAN_H
#define IPW_UTIL_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 32
#define JSON_STR   192
#define JSON_KEY   32
#define JSON_NODES 64

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUM, JSON_STRING, JSON_OBJECT, JSON_ARRAY };

struct json_path {
	const char *path;
	int         id; /* given to the callback; >= 0 */
};

struct json_node {
	const char *key;
	uint8_t     len;
	int8_t      child, next; /* first child, next sibling; -1 none */
	int16_t     id;          /* -1: only on the way to others */
};

struct json_tree {
	struct json_node node[JSON_NODES]; /* node 0 is the whole text */
	int              n;
};

/* A value that ended. An object or array is reported when it begins, as a sign that it is there. */
struct json_val {
	enum json_type type;
	const char    *str;   /* JSON_STRING: its first bytes, escapes decoded, not terminated; JSON_NUM: as written */
	size_t         len;   /* bytes at str */
	size_t         total; /* bytes the string has, counted with its escapes as written */
	double         num;   /* JSON_NUM; NAN: too long to say */
};

typedef void (*json_fn)(void *ctx, int id, const struct json_val *v);

struct json_scan {
	const struct json_tree *tree;
	json_fn   fn;
	void     *ctx;
	uint8_t   state;
	uint8_t   esc;        /* of a \uXXXX: digits still to come */
	uint8_t   wanted;     /* this string or number is kept */
	uint8_t   is_key;
	uint32_t  depth;
	uint32_t  arrays;     /* bit d: the container at depth d+1 is an array */
	int8_t    at[JSON_DEPTH + 1]; /* node of each open container */
	int8_t    cur;        /* node of the value that comes next, -1 unwanted */
	uint16_t  nbuf;
	uint32_t  code, high; /* of a \u escape; a high surrogate waiting for its low one */
	size_t    total;
	char      buf[JSON_STR];
};

/* 0, or -E2BIG when the table needs more than JSON_NODES. The paths stay the caller's. */
int  json_tree_init(struct json_tree *t, const struct json_path *paths, size_t n);

void json_init(struct json_scan *s, const struct json_tree *tree, json_fn fn, void *ctx);
/* Starts inside the top-level object, where a key is expected: for the tail of a text (json_tail_start). */
void json_init_members(struct json_scan *s, const struct json_tree *tree, json_fn fn, void *ctx);
void json_feed(struct json_scan *s, const char *p, size_t n);
/* Something but space has been read of the text. */
int  json_begun(const struct json_scan *s);
/* The text is over: 0 if it was one complete value, -EBADMSG if not. A number at top level is reported here. */
int  json_end(struct json_scan *s);

/* Where the first byte of p is that is not plain in a string: a quote, a backslash, a control character; n: none. */
size_t json_plain_len(const char *p, size_t n);
/* p is behind a quote: where the string ends. n: not in p, or it is no good string. */
size_t json_string_len(const char *p, size_t n);
/* s[0 .. n) is a good string: what it says, which is never longer. to may be s. Returns the end of it. */
char *json_unescape(char *to, const char *s, size_t n);
/* How many of p's first bytes are those of numbers and words. */
size_t json_bare_len(const char *p, size_t n);

/*
 * p[0 .. n) is the end of a JSON object whose beginning is not known. Returns where the first member of the top-level
 * object starts that lies wholly in it, or n. Exact, not a guess: read backwards from the end, a quote closes a string,
 * and the string begins at the next quote that no odd number of backslashes precedes.
 */
size_t json_tail_start(const char *p, size_t n);

#endif
