/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A scenario of tests/wire/ (README.md there), read into calls: what the server read and wrote, and when. */
#ifndef IPW_TEST_WIRE_SCENARIO_H
#define IPW_TEST_WIRE_SCENARIO_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNS  16
#define CUTS   256
#define LOGS   8
#define US     1000ull
#define T0_NS  1000000000000ull /* time 0 of a scenario */

enum call_what {
	CALL_IN, CALL_OUT, CALL_PEEK, CALL_EOF, CALL_RESET, CALL_BROKEN, CALL_SHUT, CALL_SHUT_PEER, CALL_CLOSE
};
enum sock_kind { SOCK_IP4, SOCK_IP6, SOCK_UNIX };

/* One call of the server, or a change of a socket's state. */
struct call {
	enum call_what what;
	int       conn;
	unsigned  gen;           /* which socket of that number */
	enum sock_kind kind;
	uint32_t  tid;
	uint64_t  enter_ns, ret_ns;
	char     *data;
	size_t    len;
	size_t   *cut;           /* ends of the packets that a receive was made of, but for the last */
	size_t    ncut;
	size_t    gap_at, gap_n; /* bytes that are not copied */
	uint8_t   hidden;        /* before we looked */
	uint8_t   lost;          /* its records never come */
	uint8_t   twice;         /* its records come twice */
	uint8_t   late;          /* its records come after those of the next call */
};

enum mode_bit { NO_SPLIT = 1, NO_GAPS = 2, NO_LOSE = 4, NO_TRUNCATE = 8, NO_RANDOM = 16, NO_REGAIN = 32 };

struct scenario {
	char      name[128];
	struct call *call;
	size_t    ncall;
	int       timed;        /* the log gives times */
	unsigned  skip;         /* enum mode_bit */
	char      task[256];    /* --task */
	struct {
		size_t head, tail;  /* copy limits of this log; 0: the real ones */
		char  *text;
	} log[LOGS];
	int       nlog;
};

/* Text that grows. */
struct text {
	char  *p;
	size_t n, cap;
};

__attribute__((unused)) static void text_add(struct text *t, const char *p, size_t n)
{
	if (t->n + n + 1 > t->cap) {
		t->cap = 2 * (t->n + n + 1);
		t->p = realloc(t->p, t->cap);
		if (!t->p)
			abort();
	}
	memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = 0;
}

__attribute__((unused, format(printf, 2, 3))) static void text_printf(struct text *t, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	text_add(t, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
}

/* --- reading a file ----------------------------------------------------------------------------------------------- */

struct reader {
	struct scenario *s;
	const char *path;
	int         line;
	size_t      cap;
	/* the message being put together */
	struct text msg;
	int         dir;            /* '>', '<', 0: none */
	size_t      end[65536], nend; /* where calls end in it */
	size_t      cut[CUTS], ncut;
	/* the block being wrapped: where it starts; 'c' chunk, 'l' length, 0 none */
	int         block;
	size_t      block_at, block_end0;
	/* of the calls to come */
	uint64_t    clock_ns, enter_ns, ret_ns;
	int         conn, hidden, lost, twice, late;
	uint32_t    tid;
	struct {
		unsigned gen;
		enum sock_kind kind;
	} sock[CONNS];
};

__attribute__((noreturn, format(printf, 2, 3))) static void bad(const struct reader *r, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", r->path, r->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static struct call *call_new(struct reader *r, enum call_what what)
{
	struct scenario *s = r->s;
	struct call *c;

	if (s->ncall == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		s->call = realloc(s->call, r->cap * sizeof(*s->call));
		if (!s->call)
			abort();
	}
	if (!r->enter_ns) {
		r->enter_ns = r->clock_ns;
		r->ret_ns = r->enter_ns + 250 * US;
	}
	c = &s->call[s->ncall++];
	*c = (struct call){ .what = what, .conn = r->conn, .gen = r->sock[r->conn].gen, .kind = r->sock[r->conn].kind,
			    .tid = r->tid, .enter_ns = r->enter_ns, .ret_ns = r->ret_ns, .hidden = r->hidden,
			    .lost = r->lost, .twice = r->twice, .late = r->late };
	r->clock_ns = r->enter_ns + 1000 * US;
	r->enter_ns = 0;
	r->lost = r->twice = r->late = 0;
	return c;
}

/* The message is complete: one call for each part of it. */
static void flush(struct reader *r)
{
	size_t at = 0, i, k = 0;
	struct call *c;

	if (r->block)
		bad(r, "a block is not ended");
	if (r->dir && (!r->nend || r->end[r->nend - 1] != r->msg.n))
		r->end[r->nend++] = r->msg.n;
	for (i = 0; i < r->nend; i++) {
		c = call_new(r, r->dir == '>' ? CALL_IN : CALL_OUT);
		c->len = r->end[i] - at;
		c->data = malloc(c->len + 1);
		c->cut = malloc((r->ncut + 1) * sizeof(*c->cut));
		if (!c->data || !c->cut)
			abort();
		memcpy(c->data, r->msg.p + at, c->len);
		for (; k < r->ncut && r->cut[k] < r->end[i]; k++)
			c->cut[c->ncut++] = r->cut[k] - at;
		at = r->end[i];
	}
	r->dir = 0;
	r->msg.n = r->nend = r->ncut = 0;
}

static void part_end(struct reader *r)
{
	if (r->dir && (!r->nend || r->end[r->nend - 1] != r->msg.n) && r->nend < 65535)
		r->end[r->nend++] = r->msg.n;
	if (!r->block)
		flush(r);
}

static int hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The bytes of a data line, escapes decoded; "\#" is the number of the repetition. */
static void bytes_add(struct reader *r, const char *p, unsigned long turn)
{
	static const char from[] = "rnt\\0", to[] = "\r\n\t\\\0";
	const char *e;
	char c;

	for (; *p; p++) {
		if (*p != '\\') {
			text_add(&r->msg, p, 1);
			continue;
		}
		p++;
		e = *p ? strchr(from, *p) : NULL;
		if (*p == '#') {
			text_printf(&r->msg, "%lu", turn);
		} else if (*p == 'x' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
			c = (char)(hex(p[1]) << 4 | hex(p[2]));
			text_add(&r->msg, &c, 1);
			p += 2;
		} else if (e) {
			text_add(&r->msg, &to[e - from], 1);
		} else {
			bad(r, "bad escape '\\%c'", *p ? *p : ' ');
		}
	}
}

static void block_begin(struct reader *r, int kind)
{
	if (r->block)
		bad(r, "a block within a block");
	r->block = kind;
	r->block_at = r->msg.n;
	r->block_end0 = r->nend;
}

/* Puts text before the block, which moves it and the ends of calls in it. */
static void block_prefix(struct reader *r, const char *p)
{
	size_t n = strlen(p), i, len = r->msg.n - r->block_at;

	text_add(&r->msg, p, n);
	memmove(r->msg.p + r->block_at + n, r->msg.p + r->block_at, len);
	memcpy(r->msg.p + r->block_at, p, n);
	for (i = r->block_end0; i < r->nend; i++)
		r->end[i] += n;
}

static void block_end(struct reader *r)
{
	char buf[64];

	if (!r->block || !r->dir)
		bad(r, "'end' of nothing");
	snprintf(buf, sizeof(buf), r->block == 'c' ? "%zx\r\n" : "Content-Length: %zu\r\n\r\n", r->msg.n - r->block_at);
	block_prefix(r, buf);
	if (r->block == 'c')
		text_add(&r->msg, "\r\n", 2);
	r->block = 0;
}

/* [chunk]> text, [chunk]< text; a '.' after the arrow ends the message. Whether the line is one. */
static int data_line(struct reader *r, const char *l, unsigned long times)
{
	int chunk = !strncmp(l, "chunk", 5), dot;
	unsigned long i;

	l += chunk ? 5 : 0;
	if (*l != '>' && *l != '<')
		return 0;
	dot = l[1] == '.';
	if (l[1 + dot] && l[1 + dot] != ' ')
		bad(r, "a space is missing after the arrow");
	if (r->dir && r->dir != *l) {
		flush(r);
	}
	r->dir = *l;
	l += 1 + dot;
	l += *l == ' ';
	if (chunk)
		block_begin(r, 'c');
	for (i = 1; i <= times; i++)
		bytes_add(r, l, i);
	if (chunk)
		block_end(r);
	if (dot)
		part_end(r);
	return 1;
}

/* The message so far, in calls of n bytes. */
static void cut_up(struct reader *r, size_t n)
{
	size_t at;

	if (r->block)
		bad(r, "not in a block");
	for (at = n; n && at < r->msg.n && r->nend < 65535; at += n)
		r->end[r->nend++] = at;
	flush(r);
}

static void peek(struct reader *r, size_t n)
{
	struct text keep = r->msg;
	int dir = r->dir;
	struct call *c;

	if (n && (dir != '>' || n > keep.n))
		bad(r, "there is nothing to peek at");
	r->dir = 0;
	c = call_new(r, CALL_PEEK);
	c->len = n;
	c->data = malloc(n + 1);
	if (!c->data)
		abort();
	if (n)
		memcpy(c->data, keep.p, n);
	r->dir = dir;
}

static void take_at(struct reader *r, const char *l)
{
	double enter = 0, ret = 0;
	int n = sscanf(l, "%lf %lf", &enter, &ret);

	if (n < 1)
		bad(r, "at ENTER [RETURN], in ms");
	flush(r);
	r->s->timed = 1;
	r->enter_ns = T0_NS + (uint64_t)(enter * 1e6 + 0.5);
	r->ret_ns = n == 2 ? T0_NS + (uint64_t)(ret * 1e6 + 0.5) : r->enter_ns + 250 * US;
}

static void take_skip(struct reader *r, char *l)
{
	static const struct { const char *name; unsigned bit; } bits[] = {
		{ "split", NO_SPLIT }, { "gaps", NO_GAPS }, { "lose", NO_LOSE }, { "truncate", NO_TRUNCATE },
		{ "random", NO_RANDOM }, { "regain", NO_REGAIN },
	};
	char *w;
	size_t i;

	for (w = strtok(l, " "); w; w = strtok(NULL, " ")) {
		for (i = 0; i < sizeof(bits) / sizeof(*bits) && strcmp(bits[i].name, w); i++)
			;
		if (i == sizeof(bits) / sizeof(*bits))
			bad(r, "unknown mode '%s'", w);
		r->s->skip |= bits[i].bit;
	}
}

static void take_conn(struct reader *r, const char *l)
{
	flush(r);
	r->conn = atoi(l);
	if (r->conn < 0 || r->conn >= CONNS)
		bad(r, "connections are 0 to %d", CONNS - 1);
	r->tid = 100 + (uint32_t)r->conn;
}

static void take_sock(struct reader *r, const char *l)
{
	flush(r);
	r->sock[r->conn].kind = !strcmp(l, "ip6") ? SOCK_IP6 : !strcmp(l, "unix") ? SOCK_UNIX : SOCK_IP4;
}

static int event_line(struct reader *r, const char *l)
{
	static const struct { const char *word; enum call_what what; } words[] = {
		{ "eof", CALL_EOF }, { "reset", CALL_RESET }, { "broken", CALL_BROKEN }, { "shut", CALL_SHUT },
		{ "shut peer", CALL_SHUT_PEER }, { "close", CALL_CLOSE },
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(l, words[i].word)) {
			flush(r);
			call_new(r, words[i].what);
			if (words[i].what == CALL_CLOSE)
				r->sock[r->conn].gen++;
			return 1;
		}
	return 0;
}

static void directive(struct reader *r, char *l)
{
	unsigned long times;
	int at = 0;

	if (sscanf(l, "repeat %lu %n", &times, &at) == 1 && at) {
		if (!data_line(r, l + at, times))
			bad(r, "repeat N DATA");
	} else if (!strcmp(l, "recv") || !strcmp(l, "send")) {
		part_end(r);
	} else if (!strncmp(l, "recv ", 5) || !strncmp(l, "send ", 5)) {
		cut_up(r, (size_t)atol(l + 5));
	} else if (!strcmp(l, "piece")) {
		if (r->dir != '>' || r->ncut == CUTS)
			bad(r, "piece: within what is received");
		r->cut[r->ncut++] = r->msg.n;
	} else if (!strcmp(l, "chunk") || !strcmp(l, "length")) {
		block_begin(r, *l);
	} else if (!strcmp(l, "end")) {
		block_end(r);
	} else if (!strncmp(l, "at ", 3)) {
		take_at(r, l + 3);
	} else if (!strncmp(l, "peek ", 5)) {
		peek(r, (size_t)atol(l + 5));
	} else if (!strncmp(l, "conn ", 5)) {
		take_conn(r, l + 5);
	} else if (!strncmp(l, "thread ", 7)) {
		flush(r);
		r->tid = (uint32_t)atoi(l + 7);
	} else if (!strncmp(l, "sock ", 5)) {
		take_sock(r, l + 5);
	} else if (!strcmp(l, "before")) {
		flush(r);
		r->hidden = 1;
	} else if (!strcmp(l, "attach")) {
		flush(r);
		r->hidden = 0;
	} else if (!strcmp(l, "lost") || !strcmp(l, "twice") || !strcmp(l, "late")) {
		flush(r);
		*(*l == 't' ? &r->twice : l[1] == 'o' ? &r->lost : &r->late) = 1;
	} else if (!strncmp(l, "task ", 5)) {
		snprintf(r->s->task, sizeof(r->s->task), "%s", l + 5);
	} else if (!strncmp(l, "skip ", 5)) {
		take_skip(r, l + 5);
	} else if (!event_line(r, l)) {
		bad(r, "what is '%s'?", l);
	}
}

/* "--- [truncate HEAD TAIL]" */
static void log_begin(struct reader *r, const char *l)
{
	struct scenario *s = r->s;
	unsigned long head = 0, tail = 0;

	if (s->nlog == LOGS || (l[3] && sscanf(l + 3, " truncate %lu %lu", &head, &tail) != 2))
		bad(r, "--- [truncate HEAD TAIL]");
	s->log[s->nlog].head = head;
	s->log[s->nlog].tail = tail;
	s->log[s->nlog++].text = strdup("");
}

__attribute__((unused)) static void scenario_read(struct scenario *s, const char *path)
{
	struct reader *r = calloc(1, sizeof(*r));
	FILE *f = fopen(path, "re");
	struct text log = { 0 };
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!r || !f) {
		perror(path);
		exit(2);
	}
	*s = (struct scenario){ .skip = 0 };
	r->s = s;
	r->path = path;
	r->clock_ns = T0_NS;
	r->tid = 100;
	while ((n = getline(&line, &cap, f)) >= 0) {
		r->line++;
		while (n && line[n - 1] == '\n')
			line[--n] = 0;
		if (!strncmp(line, "---", 3)) {
			flush(r);
			log_begin(r, line);
			log.n = 0;
		} else if (s->nlog && line[0] != '#') {
			text_add(&log, line, (size_t)n);
			text_add(&log, "\n", 1);
			free(s->log[s->nlog - 1].text);
			s->log[s->nlog - 1].text = strdup(log.p);
		} else if (!s->nlog && n && line[0] != '#' && !data_line(r, line, 1)) {
			directive(r, line);
		}
	}
	flush(r);
	fclose(f);
	free(line);
	free(log.p);
	free(r->msg.p);
	free(r);
}

__attribute__((unused)) static void calls_free(struct call *c, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(c[i].data);
		free(c[i].cut);
	}
	free(c);
}

__attribute__((unused)) static void scenario_free(struct scenario *s)
{
	int i;

	calls_free(s->call, s->ncall);
	for (i = 0; i < s->nlog; i++)
		free(s->log[i].text);
}

#endif
