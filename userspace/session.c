// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/session.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userspace/edges.h"
#include "userspace/follow.h"
#include "userspace/gpus.h"
#include "userspace/live.h"
#include "userspace/notice.h"
#include "userspace/pipeline.h"
#include "userspace/resolve.h"
#include "userspace/steps.h"
#include "userspace/util/clock.h"
#include "userspace/util/fmt.h"
#include "userspace/util/host.h"

#define MEASURE_NS     (250 * NS_PER_MS)  /* for the refresh of the meters, at the start */
#define LAST_WAIT_NS   (400 * NS_PER_MS)  /* for the meters' last refresh, at the end */
#define SILENT_NS      (10 * NS_PER_S)    /* without a query until it is said */

struct session {
	const struct opts *o;
	struct run      run;
	struct run_end  end;
	struct sampler *sampler;
	const struct meter *meters;
	int             nmeter;
	struct idle     idle[CHANNEL_MAX];
	struct live    *live;
	struct pipeline pipeline;
	int             piped;          /* the pipeline is there */
	struct follow   follow;
	struct steps    steps;
	struct edges    edges;
	sigset_t        old_mask;
	int             epfd, sigfd, timerfd;
	uint64_t        asleep_ns; /* of the machine, of which it was said */
	int             stop, empty, said_silent, shows_status, status_shown;
	struct gpus     gpus;
	uint64_t        lost;
};

/* --- the status line, on a terminal only -------------------------------------------------------------------------- */

static void status_clear(struct session *s)
{
	if (s->status_shown)
		fputs("\r\033[K", stderr);
	s->status_shown = 0;
}

static void status_show(struct session *s, uint64_t now)
{
	char w[16];
	const struct timeline *tl = &s->pipeline.timeline;
	double uj = 0, sec;
	int i;

	if (!s->shows_status)
		return;
	for (i = 0; i < s->nmeter; i++)
		if (s->meters[i].parent == CHANNEL_NONE)
			uj += tl->ch[i].energy_uj;
	sec = (double)(now - s->run.start_ns) * 1e-9;
	fprintf(stderr, "\r\033[K%.1f s, %zu queries running, %llu seen, %s W mean%s", sec,
		s->pipeline.queries.by_id.used, (unsigned long long)s->pipeline.next_id,
		fmt3(w, sizeof(w), s->nmeter && sec > 0 ? uj * 1e-6 / sec : NAN), s->lost ? ", EVENTS LOST" : "");
	s->status_shown = 1;
}

/* --- the target --------------------------------------------------------------------------------------------------- */

static int start_command(struct session *s)
{
	int err = follow_command(&s->follow, s->o->cmd, &s->old_mask);

	s->run.nslot = 1;
	s->run.target[1].pid = (uint32_t)s->follow.child;
	snprintf(s->run.target[1].comm, sizeof(s->run.target[1].comm), "%.15s", basename(s->o->cmd[0]));
	return err;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void on_ev(void *ctx, const struct ev_hdr *e)
{
	struct session *s = ctx;

	edges_event(&s->edges, e);
	follow_event(&s->follow, e);
	steps_event(&s->steps, e);
	pipeline_ev(&s->pipeline, e);
}

static void on_mute(void *ctx, uint64_t cookie)
{
	live_mute(((struct session *)ctx)->live, cookie);
}

static void on_asks(void *ctx, const struct conn *c)
{
	follow_asks(&((struct session *)ctx)->follow, &c->sock, c->tgid, c->slot);
}

static int on_sample(void *ctx, const struct sample *m)
{
	edges_sample(&((struct session *)ctx)->edges, m);
	return 0;
}

/* Once for each reason: somebody may wait for queries there. */
static void say_unread(struct session *s)
{
	static const char *const matters[UNREAD_MAX] = {
		[HTTP_TLS] = "encrypted (TLS)", [HTTP_H2] = "HTTP/2", [HTTP_UPGRADED] = "upgraded, as WebSocket is",
		[HTTP_PIPELINED] = "pipelined beyond what is followed",
	};
	int i;

	for (i = 0; i < UNREAD_MAX; i++) {
		if (matters[i] && s->pipeline.opaque[i] && !s->end.unread[i].n) {
			status_clear(s);
			say("a connection is %s: queries on it are not seen", matters[i]);
		}
		s->end.unread[i].why = i ? http_why((enum http_opaque)i) : NULL;
		s->end.unread[i].n = s->pipeline.opaque[i];
	}
}

/* Events were lost since this was asked last: whatever runs now may miss some. */
static void check_lost(struct session *s)
{
	uint64_t lost = live_lost(s->live) + s->pipeline.conns.dropped;

	if (lost != s->lost)
		pipeline_lost(&s->pipeline, clock_mono_ns());
	s->lost = lost;
}

static void drain(struct session *s)
{
	check_lost(s); /* first, as the end of a query may be among what waits */
	(void)live_drain(s->live, on_ev, s);
	say_unread(s);
	follow_join(&s->follow, clock_mono_ns());
	check_lost(s);
}

/* One look at everything. */
static int tick(struct session *s)
{
	struct activity a;
	int err = live_activity(s->live, &a);

	if (err)
		return err;
	status_clear(s);
	edges_look(&s->edges, &a);
	err = sampler_tick(s->sampler, on_sample, s);
	notice_slept(s->sampler, &s->asleep_ns);
	drain(s);
	edges_flush(&s->edges);
	gpus_ask(&s->gpus, &s->follow, &s->pipeline, a.t_ns);
	follow_check(&s->follow, a.t_ns, s->pipeline.next_id, s->pipeline.queries.by_id.used);
	steps_check(&s->steps, a.t_ns);
	status_show(s, a.t_ns);
	s->end.end_ns = a.t_ns;
	if (!s->said_silent && !s->pipeline.next_id && a.t_ns - s->run.start_ns > SILENT_NS) {
		status_clear(s);
		notice_silent(&s->run, s->pipeline.requests > 0);
		s->said_silent = 1;
	}
	/* Sockets of a process close just after it is gone: one more look sees that. */
	if (follow_over(&s->follow))
		s->stop = s->empty++ > 0;
	if (s->o->duration_s > 0 && (double)(a.t_ns - s->run.start_ns) >= s->o->duration_s * 1e9)
		s->stop = 1;
	return err ? err : pipeline_err(&s->pipeline);
}

static void on_signal(struct session *s)
{
	struct signalfd_siginfo si;

	while (read(s->sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			s->stop |= follow_reap(&s->follow);
		} else if (!s->follow.child || si.ssi_signo == SIGTERM) {
			/* with a command, Ctrl-C is the command's business too: we end when it does */
			s->stop = 1;
		}
	}
}

/* --- start and end ------------------------------------------------------------------------------------------------ */

static int watch(struct session *s, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int block_signals(struct session *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	s->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->sigfd < 0 ? -errno : 0;
}

static int open_loop(struct session *s)
{
	struct itimerspec t = { 0 };
	int err;

	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	s->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epfd < 0 || s->timerfd < 0)
		return -errno;
	t.it_interval.tv_sec = s->run.interval_ms / 1000;
	t.it_interval.tv_nsec = s->run.interval_ms % 1000 * 1000000;
	t.it_value = t.it_interval;
	if (timerfd_settime(s->timerfd, 0, &t, NULL))
		return -errno;
	err = watch(s, s->timerfd);
	if (!err)
		err = watch(s, s->sigfd);
	return err ? err : watch(s, live_fd(s->live));
}

static int open_meters(struct session *s)
{
	const struct source_status *st;
	const char *bad = "";
	char why[160];
	int err, n, i;

	err = sampler_new(&s->o->meter, s->o->meters, &s->sampler, &bad);
	if (err == -ENOENT) {
		say("no energy source is called '%.*s' (see ipw-trace list)", (int)strcspn(bad, ","), bad);
		return -EINVAL;
	}
	s->nmeter = sampler_meters(s->sampler, &s->meters);
	s->gpus = (struct gpus){ .sampler = s->sampler, .meters = s->meters, .nmeter = s->nmeter };
	if (err && err != -ENODEV) {
		say("cannot open the energy sources: %s", strerror(-err));
		return err;
	}
	if (err) {
		n = sampler_status(s->sampler, &st);
		for (i = 0; i < n; i++)
			say("no energy from %s: %s", st[i].name, st[i].why);
		if (s->o->meters || strcmp(s->o->meter.sysfs, "/sys") || strcmp(s->o->meter.procfs, "/proc"))
			return err;
		say("no energy source: joules will not be known");
	}
	if (opts_idle(s->o->idle, s->meters, s->nmeter, s->idle, why, sizeof(why))) {
		say("bad value for --idle: '%s' (no such meter here, or no number)", why);
		return -EINVAL;
	}
	return 0;
}

/* Before the user is told that we are attached. */
static void see_steps(struct session *s)
{
	char why[160], cost[16];

	if (s->o->no_steps)
		return;
	if (steps_init(&s->steps, s->live, &s->follow, s->o->verbose, why, sizeof(why)))
		say("engine steps are not seen: %s", why);
	steps_check(&s->steps, clock_mono_ns());
	if (s->steps.on && s->o->verbose)
		say("engine steps: a hit costs %s us here%s", fmt3(cost, sizeof(cost), s->steps.hit_ns * 1e-3),
		    s->steps.attached ? "" : "; no engine that is known is loaded yet");
}

static void see_edges(struct session *s)
{
	if (s->o->no_edges)
		return;
	edges_attach(&s->edges, s->live, s->meters, s->nmeter);
	if (s->o->verbose)
		say("meters read where phases begin and end: %d%s%s", s->edges.n, s->edges.why[0] ? "; " : "",
		    s->edges.why);
}

static int attach(struct session *s)
{
	char why[640];
	uint32_t i;
	int err = s->o->no_edges ? -ENODEV : edges_find(&s->edges, s->sampler, s->meters, s->nmeter);

	err = live_new(s->o->net, LIVE_RING_BYTES, err ? 0 : s->run.nslot, &s->live, why, sizeof(why));
	if (err) {
		say("cannot trace: %s", why);
		return err;
	}
	s->follow.live = s->live;
	for (i = 1; i <= s->run.nslot; i++) {
		err = follow_tree(&s->follow, s->run.target[i].pid, i);
		if (err) {
			say("cannot trace %u: %s", s->run.target[i].pid, strerror(-err));
			return err;
		}
	}
	follow_unix(&s->follow);
	see_steps(s);
	see_edges(s);
	return 0;
}

static void describe(struct session *s)
{
	host_describe(s->o->meter.procfs, s->run.hardware, sizeof(s->run.hardware), s->run.kernel,
		      sizeof(s->run.kernel));
	gpus_name(&s->gpus, s->run.hardware, sizeof(s->run.hardware));
	snprintf(s->run.version, sizeof(s->run.version), "%s", IPW_VERSION);
	snprintf(s->run.net, sizeof(s->run.net), "%s", net_tier_name(live_tier(s->live)));
	s->run.interval_ms = s->o->interval_ms ? s->o->interval_ms : sampler_interval_ms(s->sampler);
	s->run.start_ns = clock_mono_ns();
	s->run.wall_offset_ns = clock_wall_offset_ns();
}

static void say_attached(const struct session *s)
{
	int i, n = 0;

	fprintf(stderr, "ipw-trace: attached to %zu processes; energy", s->follow.alive.used);
	for (i = 0; i < s->nmeter; i++)
		if (s->meters[i].parent == CHANNEL_NONE)
			fprintf(stderr, "%s %s from %s%s", n++ ? "," : "", s->meters[i].ch.name, s->meters[i].source,
				s->meters[i].ch.estimated ? " (estimated)" : "");
	fprintf(stderr, "%s; every %u ms; tier %s%s\n", n ? "" : " not known", s->run.interval_ms, s->run.net,
		s->o->cmd || s->o->duration_s > 0 ? "" : "; Ctrl-C ends");
}

static int begin(struct session *s, const struct sink *to, int nsink)
{
	int err;

	describe(s);
	err = pipeline_init(&s->pipeline, &s->run, s->meters, s->nmeter, s->idle, to, nsink);
	s->piped = 1;
	s->pipeline.attrib.by_tokens = s->o->by_tokens;
	s->pipeline.totals.tasks.off = !s->o->task;
	if (err) {
		say("cannot open the output%s%s%s: %s", s->o->out ? " '" : "", s->o->out ? s->o->out : "",
		    s->o->out ? "'" : "", strerror(-err));
		return err;
	}
	s->shows_status = isatty(STDERR_FILENO) && !(s->o->json && isatty(STDOUT_FILENO));
	s->pipeline.mute = on_mute;
	s->pipeline.asks = on_asks;
	s->pipeline.live_ctx = s;
	s->edges.pipeline = &s->pipeline;
	err = open_loop(s);
	if (err)
		say("cannot wait for events: %s", strerror(-err));
	say_attached(s);
	return err ? err : follow_go(&s->follow);
}

static int loop(struct session *s)
{
	struct epoll_event ev[4];
	uint64_t ticks;
	int n, i, err = tick(s);

	while (!err && !s->stop) {
		n = epoll_wait(s->epfd, ev, 4, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.fd == s->sigfd)
				on_signal(s);
			else if (ev[i].data.fd != s->timerfd)
				drain(s);
			else if (read(s->timerfd, &ticks, sizeof(ticks)) == sizeof(ticks))
				err = tick(s);
		}
	}
	return err;
}

/* The meters refresh once more after the last event; without that the end of the run would have no energy. */
static void last_refresh(struct session *s)
{
	uint64_t until = clock_mono_ns() + LAST_WAIT_NS;

	while (timeline_resolved(&s->pipeline.timeline) < s->pipeline.timeline.closed && clock_mono_ns() < until) {
		usleep(5000);
		(void)sampler_tick(s->sampler, on_sample, s);
		edges_flush(&s->edges);
	}
}

static int finish(struct session *s)
{
	struct rusage ru;
	int err = tick(s), e;

	signal(SIGINT, SIG_DFL); /* a second Ctrl-C is meant */
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	if (!err)
		last_refresh(s);
	status_clear(s);
	if (s->o->verbose)
		edges_say(&s->edges, s->live);
	getrusage(RUSAGE_SELF, &ru);
	s->end.tracer_cpu_s = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			      (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e-6;
	s->end.lost_events = s->lost;
	s->end.steps_off_ns = s->steps.off_ns;
	s->end.steps_rate = s->steps.off_rate;
	s->end.steps_hit_ns = s->steps.hit_ns;
	s->end.evicted = s->pipeline.conns.evicted + s->pipeline.queries.dropped + s->pipeline.conns.no_memory;
	e = pipeline_close(&s->pipeline, &s->end);
	return err ? err : e;
}

static int status_of(const struct session *s)
{
	int status = s->follow.status;

	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int session_run(const struct opts *o, const struct sink *to, int nsink)
{
	struct session s = { .o = o, .epfd = -1, .sigfd = -1, .timerfd = -1 };
	int err, ran = 0;

	follow_init(&s.follow, o);
	err = resolve_targets(o, &s.run);
	if (!err)
		err = open_meters(&s);
	if (err == -EINVAL)
		ran = EXIT_USAGE;
	if (!err)
		err = block_signals(&s);
	if (!err && o->cmd)
		err = start_command(&s);
	if (!err)
		err = attach(&s);
	if (!err) {
		sampler_measure(s.sampler, MEASURE_NS);
		err = begin(&s, to, nsink);
	}
	if (!err) {
		err = loop(&s);
		if (err)
			say("cannot go on: %s", strerror(-err));
		err = finish(&s);
		if (err)
			say("cannot write %s: %s", o->out ? o->out : "the output", strerror(-err));
		ran = !err && o->cmd && !s.follow.child ? status_of(&s) : 0;
	}
	if (s.piped)
		pipeline_release(&s.pipeline);
	steps_release(&s.steps);
	live_free(s.live);
	sampler_free(s.sampler);
	follow_release(&s.follow);
	return ran ? ran : err ? 1 : 0;
}
