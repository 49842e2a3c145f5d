// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Plays a scenario of tests/wire/ through the real conn, http and wire stages and compares what they say with what the
 * file expects; then again with the same bytes cut up otherwise, which must change nothing, and with bytes missing,
 * which must never make it say what is not so. tests/wire/README.md has the modes and the invariants.
 */
#include "tests/lib/wire_check.h"
#include "tests/lib/wire_fuzz.h"

#include <getopt.h>

/* Megabytes that one mode may play of one file; above, it takes every n-th case. */
#ifdef __SANITIZE_ADDRESS__
#define BUDGET_DEFAULT 3
#else
#define BUDGET_DEFAULT 12
#endif

static size_t nbytes;      /* of all messages together */
static double budget = BUDGET_DEFAULT;

/* --- the same bytes, cut up otherwise ----------------------------------------------------------------------------- */

struct calls {
	struct call *c;
	size_t n, cap;
};

static struct call *calls_add(struct calls *to, const struct call *from, size_t at, size_t len)
{
	struct call *c;

	if (to->n == to->cap) {
		to->cap = to->cap ? 2 * to->cap : 64;
		to->c = realloc(to->c, to->cap * sizeof(*to->c));
		if (!to->c)
			abort();
	}
	c = &to->c[to->n++];
	*c = *from;
	c->data = from->data ? from->data + at : NULL; /* shared with the scenario */
	c->len = len;
	if (len != from->len) {
		c->cut = NULL;
		c->ncut = 0;
	}
	return c;
}

static int is_bytes(const struct call *c)
{
	return c->what == CALL_IN || c->what == CALL_OUT;
}

/* Plays calls; the result has to be freed. */
static void play(struct play *y, const struct call *c, size_t n, int text, size_t head_max)
{
	play_begin(y, text, sc.timed);
	y->head_max = head_max;
	play_calls(y, c, n);
	play_end(y);
}

/* 1 and the difference, if the log is not that of the scenario as it is. */
static int same_log(const struct calls *cs, const char *mode)
{
	struct play y;
	int err = 0;

	play(&y, cs->c, cs->n, 1, SIZE_MAX / 2);
	if (strcmp(y.log.p, full.log.p)) {
		err = fail("%s: the log differs", mode);
		diff(full.log.p, y.log.p);
	}
	play_free(&y);
	return err;
}

static int split_every(size_t n)
{
	struct calls cs = { 0 };
	char mode[128];
	size_t i, at;
	int err;

	for (i = 0; i < sc.ncall; i++) {
		if (!is_bytes(&sc.call[i]) || sc.call[i].late) {
			calls_add(&cs, &sc.call[i], 0, sc.call[i].len);
			continue;
		}
		for (at = 0; at < sc.call[i].len; at += n)
			calls_add(&cs, &sc.call[i], at, sc.call[i].len - at < n ? sc.call[i].len - at : n);
	}
	snprintf(mode, sizeof(mode), "--split %zu", n);
	err = same_log(&cs, mode);
	free(cs.c);
	return err;
}

/* One message cut in two. */
static int split_one(size_t k, size_t at)
{
	struct calls cs = { 0 };
	char mode[128];
	size_t i;
	int err;

	for (i = 0; i < sc.ncall; i++) {
		if (i != k) {
			calls_add(&cs, &sc.call[i], 0, sc.call[i].len);
			continue;
		}
		calls_add(&cs, &sc.call[i], 0, at);
		calls_add(&cs, &sc.call[i], at, sc.call[i].len - at);
	}
	snprintf(mode, sizeof(mode), "message %zu of %zu bytes cut at %zu", k, sc.call[k].len, at);
	err = same_log(&cs, mode);
	free(cs.c);
	return err;
}

/* So many cases of nbytes each fit the budget when only every n-th is played. */
static size_t stride_of(double cases)
{
	double n = cases * ((double)nbytes + 2000) / (budget * 1e6);

	return n > 1 ? (size_t)n + 1 : 1;
}

static int split_all(void)
{
	static const size_t sizes[] = { 1, 2, 3, 7, 64, 1000 };
	size_t i, at, turn = 0, stride = stride_of((double)nbytes);

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if (split_every(sizes[i]))
			return 1;
	for (i = 0; i < sc.ncall; i++)
		for (at = 1; is_bytes(&sc.call[i]) && !sc.call[i].late && at < sc.call[i].len; at++)
			if (turn++ % stride == 0 && split_one(i, at))
				return 1;
	return 0;
}

/* --- bytes that are missing --------------------------------------------------------------------------------------- */

/* The play again, to show its log. */
static void show(const struct calls *cs, long lose, size_t head, size_t tail)
{
	struct play y;

	play_begin(&y, 1, sc.timed);
	y.lose = lose;
	if (head) {
		y.head_max = head;
		y.tail_max = tail;
	}
	play_calls(&y, cs->c, cs->n);
	play_end(&y);
	diff(full.log.p, y.log.p);
	play_free(&y);
}

static void calls_all(struct calls *cs)
{
	size_t i;

	for (i = 0; i < sc.ncall; i++)
		calls_add(cs, &sc.call[i], 0, sc.call[i].len);
}

static int gap_one(size_t k, size_t at, size_t n)
{
	struct calls cs = { 0 };
	struct play y;
	char mode[128];
	int err;

	calls_all(&cs);
	cs.c[k].gap_at = at;
	cs.c[k].gap_n = n;
	play(&y, cs.c, cs.n, 0, EV_HEAD_MAX);
	snprintf(mode, sizeof(mode), "message %zu without bytes %zu to %zu of %zu", k, at, at + n, cs.c[k].len);
	err = holds(&y, cs.c[k].ret_ns, 1, mode);
	if (err)
		show(&cs, -1, 0, 0);
	play_free(&y);
	free(cs.c);
	return err;
}

static int gaps(void)
{
	static const size_t lens[] = { 1, 7, 100, SIZE_MAX };
	size_t i, at, k, n, turn = 0, stride = stride_of(4 * (double)nbytes);

	for (k = 0; k < sizeof(lens) / sizeof(*lens); k++)
		for (i = 0; i < sc.ncall; i++)
			for (at = 0; is_bytes(&sc.call[i]) && !sc.call[i].late && at < sc.call[i].len; at++) {
				n = sc.call[i].len - at < lens[k] ? sc.call[i].len - at : lens[k];
				if (turn++ % stride == 0 && gap_one(i, at, n))
					return 1;
			}
	return 0;
}

static int gap_at(size_t offset, size_t n)
{
	size_t i;

	for (i = 0; i < sc.ncall; i++) {
		if (!is_bytes(&sc.call[i]))
			continue;
		if (offset < sc.call[i].len)
			return gap_one(i, offset, n < sc.call[i].len - offset ? n : sc.call[i].len - offset);
		offset -= sc.call[i].len;
	}
	return 0;
}

/*
 * Where a direction of the stream begins is known from its first record, so that one cannot be missed: the answers of
 * that connection may then be taken for those to the requests before. (A record of a read that told the place of the
 * next byte to be written would mend that.)
 */
static int is_first_out(const struct call *c)
{
	const struct call *p;

	for (p = sc.call; c->what == CALL_OUT && p < c; p++)
		if (p->what == CALL_OUT && p->conn == c->conn && p->gen == c->gen && !p->hidden)
			return 0;
	return c->what == CALL_OUT;
}

static int lose_one(long k)
{
	struct calls cs = { 0 };
	struct play y;
	char mode[128];
	int err;

	calls_all(&cs);
	play_begin(&y, 0, sc.timed);
	y.lose = k;
	play_calls(&y, cs.c, cs.n);
	play_end(&y);
	snprintf(mode, sizeof(mode), "--lose %ld", k);
	err = !is_first_out(&sc.call[y.lost_call]) && holds(&y, 0, 0, mode);
	if (err)
		show(&cs, k, 0, 0);
	play_free(&y);
	free(cs.c);
	return err;
}

static int lose_all(void)
{
	long k, n = full.nrec;
	size_t stride = stride_of((double)n);

	for (k = 0; k < n; k += (long)stride)
		if (lose_one(k))
			return 1;
	return 0;
}

static const char *log_of(size_t head, size_t tail)
{
	int i;

	for (i = 0; i < sc.nlog; i++)
		if (sc.log[i].head == head && sc.log[i].tail == tail)
			return sc.log[i].text;
	return NULL;
}

static int truncated(size_t head, size_t tail)
{
	const char *want = log_of(head, tail);
	struct calls cs = { 0 };
	struct play y;
	char mode[128];
	int err = 0;

	calls_all(&cs);
	play_begin(&y, 1, sc.timed);
	y.head_max = head;
	y.tail_max = tail;
	play_calls(&y, cs.c, cs.n);
	play_end(&y);
	snprintf(mode, sizeof(mode), "--truncate %zu,%zu", head, tail);
	if (want && strcmp(want, y.log.p)) {
		err = fail("%s: the log differs", mode);
		diff(want, y.log.p);
	} else if (holds(&y, 0, 1, mode)) {
		err = 1;
		show(&cs, -1, head, tail);
	}
	play_free(&y);
	free(cs.c);
	return err;
}

static int truncate_all(void)
{
	static const size_t sizes[] = { 16, 64, 100, 256, 1000 };
	int i, err = 0;

	for (i = 0; i < sc.nlog; i++)
		if (sc.log[i].head)
			err |= truncated(sc.log[i].head, sc.log[i].tail);
	for (i = 0; i < 5 && !err; i++)
		err = truncated(sizes[i], sizes[i]);
	return err;
}

/* --- everything at once ------------------------------------------------------------------------------------------- */

static uint64_t rng = 88172645463325252ull;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % n;
}

/* Messages cut at random, some with a gap, one that comes twice; a record lost. */
static int random_one(unsigned seed)
{
	struct calls cs = { 0 };
	struct play y;
	struct call *c;
	char mode[128];
	size_t i, at, n;
	int err;

	rng = 88172645463325252ull + seed * 0x9e3779b97f4a7c15ull;
	for (i = 0; i < sc.ncall; i++) {
		for (at = 0; is_bytes(&sc.call[i]) && !sc.call[i].late && sc.call[i].len - at > 1 && rnd(3); at += n) {
			n = 1 + rnd((uint32_t)(sc.call[i].len - at - 1));
			c = calls_add(&cs, &sc.call[i], at, n);
			c->lost |= !rnd(20) && !is_first_out(&sc.call[i]);
			c->twice |= !rnd(20);
		}
		c = calls_add(&cs, &sc.call[i], at, sc.call[i].len - at);
		c->lost |= !rnd(20) && !is_first_out(&sc.call[i]);
		if (is_bytes(c) && c->len && !rnd(8)) {
			c->gap_at = rnd((uint32_t)c->len);
			c->gap_n = 1 + rnd((uint32_t)(c->len - c->gap_at));
		}
	}
	play(&y, cs.c, cs.n, 0, EV_HEAD_MAX);
	snprintf(mode, sizeof(mode), "--random %u", seed);
	err = holds(&y, 0, 0, mode);
	if (err)
		show(&cs, -1, 0, 0);
	play_free(&y);
	free(cs.c);
	return err;
}

static int random_all(void)
{
	unsigned i, n = (unsigned)(1000 / stride_of(1000));

	for (i = 0; i < n; i++)
		if (random_one(i))
			return 1;
	return 0;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static int as_is(void)
{
	const char *want = log_of(0, 0);

	if (want && !strcmp(want, real.log.p))
		return 0;
	fail("%s", want ? "the log is not the one that is expected" : "no log is expected");
	diff(want, real.log.p);
	return 1;
}

static void all(void)
{
	as_is();
	if (!(sc.skip & NO_SPLIT))
		split_all();
	if (!(sc.skip & NO_GAPS))
		gaps();
	if (!(sc.skip & NO_LOSE))
		lose_all();
	if (!(sc.skip & NO_TRUNCATE))
		truncate_all();
	if (!(sc.skip & NO_RANDOM))
		random_all();
}

static void load(const char *path)
{
	const char *base = strrchr(path, '/');
	char why[160];
	size_t i;

	scenario_read(&sc, path);
	snprintf(sc.name, sizeof(sc.name), "%s", base ? base + 1 : path);
	sc.name[strcspn(sc.name, ".")] = 0;
	for (i = nbytes = 0; i < sc.ncall; i++) {
		nbytes += sc.call[i].len;
		/* What is found again after a loss depends on where messages begin. */
		if (sc.call[i].lost || sc.call[i].late)
			sc.skip |= NO_SPLIT | NO_REGAIN;
	}
	if (*sc.task && wire_tasks(sc.task, why, sizeof(why))) {
		fprintf(stderr, "%s: bad task: %s\n", path, why);
		exit(2);
	}
	play(&real, sc.call, sc.ncall, 1, EV_HEAD_MAX);
	play(&full, sc.call, sc.ncall, 1, SIZE_MAX / 2);
}

/* The scenario as an input for the fuzzer. */
static void seed(const char *path)
{
	struct text t = { 0 };
	FILE *f = fopen(path, "we");
	size_t i;

	for (i = 0; i < sc.ncall; i++)
		if (!sc.call[i].hidden)
			fuzz_encode(&sc.call[i], &t);
	if (!f || fwrite(t.p, 1, t.n, f) != t.n || fclose(f))
		perror(path);
	free(t.p);
}

/* The calls as lines for tests/root/test_wire.py: what, socket, which of that number, its kind, whether it is sure. */
static void print_calls(void)
{
	static const char *const what[] = {
		"in", "out", "peek", "eof", "reset", "broken", "shut", "shut-peer", "close",
	};
	static const char *const kinds[] = { "ip4", "ip6", "unix" };
	const struct call *c;
	size_t i, j;

	for (i = 0; i < sc.ncall; i++) {
		c = &sc.call[i];
		printf("%s %d %u %s %s ", what[c->what], c->conn, c->gen, kinds[c->kind],
		       c->lost || c->late || c->twice || c->hidden ? "unseen" : "seen");
		for (j = 0; j < c->len; j++)
			printf("%02x", (unsigned char)c->data[j]);
		putchar('\n');
	}
}

static void usage(void)
{
	fputs("usage: wire_play [MODE]... FILE\n"
	      "  --log             print the log\n"
	      "  --as-is           compare the log with the expected one\n"
	      "  --split N         the same in messages of N bytes\n"
	      "  --split-all       every way to cut one message in two, and all in 1, 2, 3, 7, 64, 1000 bytes\n"
	      "  --gap-at AT,N     N bytes from AT on are not copied, counted over all messages\n"
	      "  --gaps            every gap of 1, 7, 100 bytes and to the end of a message\n"
	      "  --lose N          record N never comes\n"
	      "  --lose-all        each of them in turn\n"
	      "  --truncate H,T    of a longer message only H and T bytes are copied\n"
	      "  --truncate-all    several of those\n"
	      "  --random SEED     cuts, gaps, losses and duplicates at random\n"
	      "  --random-all      1000 of those\n"
	      "  --all             all of it\n"
	      "  --seed FILE       write it as an input for tests/fuzz/fuzz_http\n"
	      "  --calls           print them, as lines\n"
	      "  --budget MB       how much each of the modes may play\n", stderr);
	exit(2);
}

static void pair(const char *s, size_t *a, size_t *b)
{
	if (sscanf(s, "%zu,%zu", a, b) != 2)
		usage();
}

static void mode(int what, const char *arg)
{
	size_t a, b;

	switch (what) {
	case 'l': fputs(real.log.p, stdout); break;
	case 'i': as_is(); break;
	case 's': split_every((size_t)atol(arg)); break;
	case 'S': split_all(); break;
	case 'g': pair(arg, &a, &b); gap_at(a, b); break;
	case 'G': gaps(); break;
	case 'n': lose_one(atol(arg)); break;
	case 'N': lose_all(); break;
	case 't': pair(arg, &a, &b); truncated(a, b); break;
	case 'T': truncate_all(); break;
	case 'r': random_one((unsigned)atol(arg)); break;
	case 'R': random_all(); break;
	case 'A': all(); break;
	case 'e': seed(arg); break;
	case 'c': print_calls(); break;
	default: usage();
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "log", 0, NULL, 'l' }, { "as-is", 0, NULL, 'i' }, { "split", 1, NULL, 's' },
		{ "split-all", 0, NULL, 'S' }, { "gap-at", 1, NULL, 'g' }, { "gaps", 0, NULL, 'G' },
		{ "lose", 1, NULL, 'n' }, { "lose-all", 0, NULL, 'N' }, { "truncate", 1, NULL, 't' },
		{ "truncate-all", 0, NULL, 'T' }, { "random", 1, NULL, 'r' }, { "random-all", 0, NULL, 'R' },
		{ "all", 0, NULL, 'A' }, { "seed", 1, NULL, 'e' }, { "budget", 1, NULL, 'b' },
		{ "calls", 0, NULL, 'c' }, { NULL, 0, NULL, 0 },
	};
	struct { int what; const char *arg; } todo[16];
	int c, n = 0, i, quiet = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'b') {
			budget = atof(optarg);
			continue;
		}
		if (c == '?' || n == 16)
			usage();
		quiet |= c == 'l' || c == 'e' || c == 'c';
		todo[n].what = c;
		todo[n++].arg = optarg;
	}
	if (optind != argc - 1)
		usage();
	load(argv[optind]);
	for (i = 0; i < n; i++)
		mode(todo[i].what, todo[i].arg);
	if (!n)
		all();
	if (!failures && !quiet)
		printf("ok %s\n", sc.name);
	play_free(&full);
	play_free(&real);
	scenario_free(&sc);
	play_pipeline_end();
	return failures ? 1 : 0;
}
