// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Queries that the server puts off: 429 and 503 (RFC 6585, 4; RFC 9110, 15.6.4). They are sent again when Retry-After
 * says, or after a time that doubles, with a random part, so that those which were refused together do not come back
 * together (RFC 9110, 10.2.3; M. Brooker, Exponential Backoff and Jitter, 2015). Meanwhile others are sent: what waits
 * takes no place among those that run.
 */
#include "userspace/ipw/bench_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/util/clock.h"

#define FIRST_S  0.5 /* then 1, 2, 4, ... */
#define LONGEST_S 30
#define SPREAD   0.1 /* of what the server asks for, on top of it */

void bench_flight_free(struct flight *f)
{
	reply_release(&f->reply);
	cJSON_Delete(f->traced);
	free(f->tried);
	free(f);
}

static double delay_s(struct bench *b, const struct flight *f, const struct reply *r)
{
	double u = (double)(plan_random(&b->jitter) >> 11) * 0x1p-53;

	if (r->retry_after_s > 0)
		return r->retry_after_s * (1 + SPREAD * u);
	return fmin(ldexp(FIRST_S, f->ntried), LONGEST_S) * (1 + u) / 2;
}

static void insert(struct bench *b, struct flight *f)
{
	struct flight **at = &b->later;

	while (*at && (*at)->due_ns <= f->due_ns)
		at = &(*at)->next;
	f->next = *at;
	*at = f;
	b->nlater++;
}

int bench_put_off(struct bench *b, struct flight *f, const struct reply *r)
{
	struct attempt *more;

	if (!f->it || (r->status != 429 && r->status != 503) || r->end != REPLY_ERROR ||
	    f->ntried >= b->o->retries || r->retry_after_s > b->o->timeout_s)
		return 0;
	more = realloc(f->tried, (size_t)(f->ntried + 1) * sizeof(*more));
	if (!more)
		return 0;
	f->tried = more;
	f->first_ns = f->ntried ? f->first_ns : r->start_ns;
	f->due_ns = r->end_ns + (uint64_t)(delay_s(b, f, r) * 1e9);
	more += f->ntried++;
	memcpy(more->request_id, f->request_id, sizeof(more->request_id));
	memcpy(more->client, r->local, sizeof(more->client));
	b->sum.retries++;
	insert(b, f);
	return 1;
}

struct flight *bench_due(struct bench *b, uint64_t now)
{
	struct flight *f = b->later;

	if (!f || f->due_ns > now)
		return NULL;
	b->later = f->next;
	b->nlater--;
	return f;
}

void bench_give_up(struct bench *b)
{
	struct flight *f;

	while ((f = bench_due(b, UINT64_MAX))) {
		*f->request_id = 0;
		f->reply.end = REPLY_CANCELLED;
		f->reply.end_ns = clock_mono_ns();
		f->next = NULL;
		*b->wait_end = f;
		b->wait_end = &f->next;
	}
}

int bench_retries_traced(struct bench *b, struct flight *f)
{
	const cJSON *e;
	int i, left = 0;
	cJSON *row;

	for (i = 0; i < f->ntried; i++) {
		if (!*f->tried[i].request_id)
			continue;
		row = trace_take(&b->trace, f->tried[i].request_id, f->tried[i].client);
		e = cJSON_GetObjectItemCaseSensitive(row, "energy_j");
		left += !row;
		if (row) {
			f->retry_j += cJSON_IsNumber(e) ? e->valuedouble : NAN;
			*f->tried[i].request_id = 0;
		}
		cJSON_Delete(row);
	}
	return !left;
}
