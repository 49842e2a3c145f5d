// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How long reading results takes, and what score, compare, cover and route make of them.
 *
 * Usage: results QUERIES MODELS DRAWS
 * The rows are written here, a model after the other. Prints "NAME VALUE" lines: read_mb_s, score_b and route_b (bytes
 * of memory a row, once all is read), score_s, cover_s, route_s (no draws), pair_s (DRAWS draws); seconds of CPU time.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/ipw/compare.h"
#include "userspace/ipw/cover.h"
#include "userspace/ipw/route.h"
#include "userspace/ipw/score.h"

#define CHUNK (1 << 20)

static const char *const names[] = { "Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "GPT-OSS-20B" };

/* Of this process alone: what else runs here is not measured. */
static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t draw(void)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33);
}

static double used_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return (double)m.uordblks + (double)m.hblkhd;
}

static size_t row(char *to, uint32_t query, int model)
{
	unsigned ms = 100 + draw() % 5000, w = 150 + draw() % 100, mj = ms * w, in = 20 + draw() % 3000;
	unsigned out = 1 + draw() % 800, more = draw() % 1000;

	return (size_t)sprintf(to, "{\"type\":\"result\",\"query_id\":\"q-%07u\",\"model\":\"%s-%d\","
		"\"hardware\":\"H200\",\"dataset\":\"mmlu-pro\",\"category\":\"category %u\",\"correct\":%u,"
		"\"energy_j\":%u.%03u%03u,\"power_w\":%u.%03u,\"duration_s\":%u.%03u%03u,\"ttft_s\":0.%03u,"
		"\"prompt_tokens\":%u,\"cached_tokens\":0,\"completion_tokens\":%u,\"flops\":%ue9,"
		"\"cost_usd\":0.000%03u,\"source\":\"nvml\",\"scope\":\"accelerator\",\"gross_j\":%u.%03u,"
		"\"concurrency_mean\":1.0,\"flags\":[]}\n", query, names[model % 4], model, query % 23,
		draw() % 100 < 55, mj / 1000, mj % 1000, more, w, more, ms / 1000, ms % 1000, more, 10 + ms / 10, in,
		out, 2 * (in + out), 1 + in / 10, mj / 900, more);
}

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "results: %s: %s\n", what, strerror(-err));
	exit(1);
}

/* Seconds that it took. */
static double read_rows(struct results *r, unsigned want, uint32_t queries, int models)
{
	char *text = malloc(CHUNK + 1024);
	double begin, took = 0;
	size_t n = 0;
	uint32_t q;
	int m;

	if (!text)
		abort();
	*r = (struct results){ .want = want };
	for (m = 0; m < models; m++)
		for (q = 0; q < queries; q++) {
			n += row(text + n, q, m);
			if (n < CHUNK && (m < models - 1 || q < queries - 1))
				continue;
			begin = now_s();
			check(results_feed(r, text, n), "feed");
			took += now_s() - begin;
			n = 0;
		}
	free(text);
	begin = now_s();
	check(results_finish(r), "finish");
	return took + now_s() - begin;
}

static void scored(const struct results *r)
{
	struct score_opts o = { 0, 0, 1 };
	double begin = now_s();
	struct score s;
	int i;

	for (i = 0; i < r->nconfig; i++)
		check(score_of(r->config[i], NULL, 0, &o, &s), "score");
	printf("score_s %.4f\n", now_s() - begin);
}

static void paired(const struct results *r, unsigned draws)
{
	struct comparison c;
	double begin = now_s();

	check(compare(r->config[0], r->config[1], draws, 1, &c), "compare");
	printf("pair_s %.4f\n", now_s() - begin);
}

static void covered(const struct results *r)
{
	uint32_t n, solved, *level = malloc((r->nquery + 1u) * sizeof(*level));
	double size[COVER_MODELS], begin = now_s();
	struct cover v;
	int i;

	if (!level)
		abort();
	check(cover_init(&v, (const struct config *const *)r->config, r->nconfig, r->nquery), "cover");
	for (i = 0; i < r->nconfig; i++) {
		size[i] = i + 1;
		n = solved = 0;
		cover_count(&v, 1ull << i, NULL, &n, &solved);
		cover_count(&v, (2ull << i) - 1, NULL, &n, &solved);
		cover_alone(&v, i);
	}
	cover_levels(&v, size, r->nconfig, level);
	cover_release(&v);
	free(level);
	printf("cover_s %.4f\n", now_s() - begin);
}

static void routed(const struct results *r)
{
	struct route_opts o = { 0.8, 1, 0, 1 };
	struct route route = { .pool = r->nconfig - 1 };
	struct route_sums sums;
	struct saving s;
	double begin = now_s();
	int i;

	for (i = 0; i < r->nconfig; i++)
		route.model[i] = r->config[i];
	check(route_init(&route), "route");
	route_sum(&route, route.pool, 1, &sums);
	check(route_saving(&route, route.pool, &sums, &o, &s), "route");
	route_release(&route);
	printf("route_s %.4f\n", now_s() - begin);
}

int main(int argc, char **argv)
{
	double before = used_bytes(), took;
	static struct results r;
	uint32_t queries;
	int models;

	if (argc != 4) {
		fputs("usage: results QUERIES MODELS DRAWS\n", stderr);
		return 2;
	}
	queries = (uint32_t)strtoul(argv[1], NULL, 10);
	models = atoi(argv[2]);
	took = read_rows(&r, WANT(COL_ENERGY) | WANT(COL_DURATION) | WANT(COL_POWER) | WANT(COL_PPL) |
			 WANT(COL_CONCURRENCY), queries, models);
	printf("read_mb_s %.2f\nrow_b %.1f\n", (double)r.bytes / 1e6 / took, (double)r.bytes / (double)r.rows);
	printf("score_b %.3f\n", (used_bytes() - before) / (double)r.rows);
	scored(&r);
	paired(&r, (unsigned)atoi(argv[3]));
	results_release(&r);
	before = used_bytes();
	read_rows(&r, WANT(COL_ENERGY) | WANT(COL_FLOPS) | WANT(COL_COST), queries, models);
	printf("route_b %.3f\n", (used_bytes() - before) / (double)r.rows);
	covered(&r);
	routed(&r);
	results_release(&r);
	return 0;
}
