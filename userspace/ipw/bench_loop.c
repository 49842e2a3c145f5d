// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Queries go out, answers come in, and rows are written. */
#include "userspace/ipw/bench_internal.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "userspace/ipw/grade.h"
#include "userspace/util/args.h"
#include "userspace/util/clock.h"

#define TICK_NS   (200 * NS_PER_MS)
#define LATE_NS   (20 * NS_PER_MS) /* behind its time, an arrival counts as late */
#define WAIT_NS   (120 * NS_PER_S) /* for what the tracer says of a query: twice what it may take to settle */

/* --- rows --------------------------------------------------------------------------------------------------------- */

static double joules(const cJSON *traced)
{
	const cJSON *e = cJSON_GetObjectItemCaseSensitive(traced, "energy_j");

	return cJSON_IsNumber(e) ? e->valuedouble : 0;
}

static void count(struct bench *b, const struct flight *f, const cJSON *traced)
{
	const cJSON *e = cJSON_GetObjectItemCaseSensitive(traced, "energy_j");
	const struct reply *r = &f->reply;
	uint64_t made = r->completion >= 0 ? (uint64_t)r->completion : r->parts;
	struct tally *s = &b->sum;

	s->rows++;
	s->right += f->verdict == VERDICT_RIGHT;
	s->unreadable += f->verdict == VERDICT_UNREADABLE;
	s->failed += f->verdict == VERDICT_FAILED;
	s->ends[r->end]++;
	if (r->end != REPLY_COMPLETE && !*s->first_failed)
		snprintf(s->first_failed, sizeof(s->first_failed), "'%.50s': %s", f->it->id, r->why);
	s->unknown += f->verdict == VERDICT_UNKNOWN;
	s->untraced += b->traces && !traced;
	s->prompt += r->prompt > 0 ? (uint64_t)r->prompt : 0;
	s->completion += made;
	if (cJSON_IsNumber(e)) {
		s->energy_j += e->valuedouble;
		s->joule_tokens += made;
		cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(traced, "flags"))
			s->estimated |= cJSON_IsString(e) && !strcmp(e->valuestring, "estimated");
	}
}

static void write_row(struct bench *b, struct flight *f, const cJSON *traced)
{
	struct bench_row row = {
		.run = &b->run, .it = f->it, .repetition = f->repetition, .request_id = f->request_id,
		.reply = &f->reply, .verdict = f->verdict, .concurrency = f->busy_ns, .busy_s = f->share_ns * 1e-9,
		.traced = traced, .untraced = b->traces && !traced, .tries = f->ntried + 1,
		.retry_j = b->traces && bench_retries_traced(b, f) ? f->retry_j : NAN,
		.retry_s = f->ntried ? (double)(f->reply.start_ns - f->first_ns) * 1e-9 : 0,
	};
	int err;

	if (!f->it || f->reply.end == REPLY_CANCELLED || f->reply.end == REPLY_REFUSED) {
		b->sum.warmup_j += joules(traced) + (isnan(f->retry_j) ? 0 : f->retry_j);
		return;
	}
	b->sum.retry_j += isnan(f->retry_j) ? 0 : f->retry_j;
	count(b, f, traced);
	err = b->err ? 0 : bench_out_row(&b->out, &row);
	if (err) {
		b->err = err;
		b->stop = 2;
	}
}

/* All that the tracer will say of it is there. */
static int is_told(struct bench *b, struct flight *f)
{
	int all = bench_retries_traced(b, f);

	if (!f->traced && *f->request_id)
		f->traced = trace_take(&b->trace, f->request_id, f->reply.local);
	return all && (f->traced || !*f->request_id);
}

void bench_settle(struct bench *b, int all)
{
	struct flight **at = &b->wait, *f;
	uint64_t now = clock_mono_ns();

	while ((f = *at)) {
		if (b->traces && !is_told(b, f) && !all && b->trace.pid && now < f->reply.end_ns + WAIT_NS) {
			at = &f->next;
			continue;
		}
		write_row(b, f, f->traced);
		*at = f->next;
		bench_flight_free(f);
	}
	b->wait_end = at;
}

/* --- in and out --------------------------------------------------------------------------------------------------- */

/* Keeps the integrals of how many run. */
static void busy(struct bench *b, uint64_t now, int running)
{
	double ns = b->busy_at ? (double)(now - b->busy_at) : 0;

	b->busy_ns += ns * running;
	b->share_ns += running ? ns / running : 0;
	b->busy_at = now;
}

void bench_done(void *ctx, void *user, struct reply *r)
{
	struct bench *b = ctx;
	struct flight *f = user;
	double ns = (double)(r->end_ns - f->posted_ns);

	/* The client has taken it off its count already. */
	busy(b, r->end_ns, client_running(b->client) + 1);
	if (bench_put_off(b, f, r))
		return;
	f->busy_ns = ns > 0 ? (b->busy_ns - f->busy_ns) / ns : 1;
	f->share_ns = b->share_ns - f->share_ns;
	f->reply = *r;
	r->text = r->line = NULL; /* ours now */
	f->verdict = r->end != REPLY_COMPLETE || !f->reply.text ? VERDICT_FAILED : !f->it ? VERDICT_UNKNOWN :
		     grade_text(f->it, f->reply.text);
	if (b->out.answers < 0 && f->reply.text)
		f->reply.text[0] = 0; /* nobody wants to keep it */
	if (r->end == REPLY_REFUSED && !b->stop) {
		b->stop = 1;
		snprintf(b->why, sizeof(b->why), "the server does not answer: %s", r->why);
	}
	f->next = NULL;
	*b->wait_end = f;
	b->wait_end = &f->next;
	if (!b->traces)
		bench_settle(b, 0);
}

static char *body_of(struct bench *b, const struct item *it, int repetition)
{
	char *ret;
	size_t n = strlen(b->run.request);
	uint64_t seed = (b->o->seed + (uint64_t)repetition) & 0x7fffffff;
	int got;

	/* request is an object: what is said of all queries, without its last bracket. */
	if (it)
		got = asprintf(&ret, "%.*s,\"seed\":%llu,\"messages\":%s}", (int)n - 1, b->run.request,
			       (unsigned long long)seed, it->messages);
	else
		got = asprintf(&ret, "%.*s,\"messages\":[{\"role\":\"user\",\"content\":\"Warming up, %llu: count to "
			       "ten.\"}]}", (int)n - 1, b->run.request, (unsigned long long)b->seq);
	return got < 0 ? NULL : ret;
}

/* f is gone if it fails. */
static int post(struct bench *b, struct flight *f)
{
	char *body = body_of(b, f->it, f->repetition);
	int err = body ? 0 : -ENOMEM;

	if (!err) {
		snprintf(f->request_id, sizeof(f->request_id), "%s%llu", b->ours, (unsigned long long)b->seq++);
		f->posted_ns = clock_mono_ns();
		busy(b, f->posted_ns, client_running(b->client));
		f->busy_ns = b->busy_ns;
		f->share_ns = b->share_ns;
		err = client_post(b->client, body, f->request_id, f);
	}
	free(body);
	if (err)
		bench_flight_free(f);
	return err;
}

static int send_one(struct bench *b, const struct item *it, int repetition)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->it = it;
	f->repetition = repetition;
	return post(b, f);
}

static int send_next(struct bench *b)
{
	size_t place;

	if (b->warm) {
		b->warm--;
		b->sum.warmups++;
		return send_one(b, NULL, 0);
	}
	while (b->out.done[b->at])
		b->at++;
	place = b->at++;
	b->left--;
	if (!b->start_ns) {
		b->start_ns = clock_mono_ns();
		b->next_ns = b->start_ns;
	}
	return send_one(b, &b->d.item[b->plan.item[place]], (int)(place / b->plan.n));
}

static int room_of(const struct bench *b)
{
	return (b->o->concurrency ? b->o->concurrency : BENCH_MOST) - client_running(b->client);
}

/* How many may be sent now. */
static int may_send(struct bench *b, uint64_t now)
{
	int room = room_of(b);

	if (b->stop || !b->left || room <= 0)
		return 0;
	if (b->warm)
		return room < b->warm ? room : b->warm;
	if (!b->start_ns && client_running(b->client))
		return 0; /* those that warm up are to be over */
	if (b->o->rate > 0)
		return !b->start_ns || now >= b->next_ns;
	return (size_t)room < b->left ? room : (int)b->left;
}

/* Those put off whose time has come go first. */
static void send_again(struct bench *b)
{
	struct flight *f;

	while (!b->stop && room_of(b) > 0 && (f = bench_due(b, clock_mono_ns()))) {
		b->err = post(b, f);
		b->stop |= b->err ? 2 : 0;
	}
}

static void send_all(struct bench *b)
{
	int n, rated;

	send_again(b);
	while ((n = may_send(b, clock_mono_ns())) > 0)
		for (; n > 0 && !b->err; n--) {
			rated = !b->warm && b->o->rate > 0;
			b->err = send_next(b);
			b->stop |= b->err ? 2 : 0;
			if (!rated)
				continue;
			b->sum.late += clock_mono_ns() > b->next_ns + LATE_NS;
			b->next_ns += (uint64_t)(plan_gap_s(&b->random, b->o->rate) * 1e9);
		}
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void on_signal(struct bench *b)
{
	struct signalfd_siginfo si;

	while (read(b->sigfd, &si, sizeof(si)) == sizeof(si)) {
		b->stop = 2;
		snprintf(b->why, sizeof(b->why), "stopped by a signal");
	}
}

/* To the next arrival, or the next look at everything. */
static void set_timer(struct bench *b)
{
	uint64_t now = clock_mono_ns(), to = now + TICK_NS;
	struct itimerspec t = { 0 };

	int room = !b->stop && room_of(b) > 0; /* without, only an answer or a signal changes anything */

	if (room && b->o->rate > 0 && b->start_ns && b->left && b->next_ns < to)
		to = b->next_ns > now ? b->next_ns : now + 1;
	if (room && b->later && b->later->due_ns < to)
		to = b->later->due_ns > now ? b->later->due_ns : now + 1;
	t.it_value.tv_sec = (time_t)(to / NS_PER_S);
	t.it_value.tv_nsec = (long)(to % NS_PER_S);
	(void)timerfd_settime(b->timerfd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void watch(struct bench *b, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	(void)epoll_ctl(b->epfd, EPOLL_CTL_ADD, fd, &ev);
}

static void on_trace(struct bench *b)
{
	if (!trace_read(&b->trace)) {
		bench_progress_clear(b);
		say("the tracer has ended: joules are not known from here on");
	}
	bench_settle(b, 0);
}

void bench_loop(struct bench *b)
{
	struct epoll_event ev[8];
	uint64_t ticks, shown = 0, now;
	int n, i;

	watch(b, b->sigfd);
	watch(b, b->timerfd);
	watch(b, client_fd(b->client));
	if (b->trace.pid) {
		watch(b, b->trace.out.fd);
		watch(b, b->trace.err.fd);
	}
	while (((b->left || b->later) && !b->stop) || client_running(b->client)) {
		send_all(b);
		if (b->stop == 2)
			client_cancel(b->client);
		set_timer(b);
		n = epoll_wait(b->epfd, ev, 8, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.fd == b->sigfd)
				on_signal(b);
			else if (ev[i].data.fd == client_fd(b->client))
				client_work(b->client);
			else if (ev[i].data.fd == b->timerfd)
				(void)!read(b->timerfd, &ticks, sizeof(ticks));
			else if (b->trace.pid)
				on_trace(b);
		}
		now = clock_mono_ns();
		if (now - shown > TICK_NS)
			bench_progress(b, shown = now);
	}
	bench_give_up(b);
	b->end_ns = clock_mono_ns();
}
