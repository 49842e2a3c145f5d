// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A scripted inference engine whose joules are known, query by query, and its clients. What engine_model.py simulates
 * is here a process that speaks the wire and takes the power: continuous batching, chunked prefill, prefix hits,
 * cancels, preemption; in each step the GPU (a zone of the rig, published by an NVML) draws the watts that the model
 * says, for as long as it says. The step is a call of llama_decode(), as in servers that link llama.cpp in.
 *
 *	engine serve PLAN TRUTH         until SIGTERM; TRUTH is a JSON line for each query, and one for all
 *	engine drive PLAN               sends the plan's queries, each when its time has come; ends with the last
 *
 * PLAN, made by queries.py: "KEY VALUE" lines (struct plan), then "query AT_MS PROMPT CACHED OUTPUT CANCEL_MS WHOLE"
 * lines (CANCEL_MS after AT_MS, 0: none). Query N, from 1, has the X-Request-Id qN.
 *
 * The truth of a query is the project's: in each step that holds it its leave-one-out marginal energy, plus an equal
 * share of the remainder; in the step in which it is cancelled the part up to then.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUERIES 8192
#define CONTROL "/proc/ipw_rig/control"
#define MS      1000000ull

struct work { /* of one query in a step, or of all in it */
	double tokens, attention, sequences, context;
};

struct query {
	double at_ms, cancel_ms;
	int    prompt, cached, output, whole;
	int    fd;                       /* of the server's; of a client's when it drives; -1 */
	int    todo, past, made;         /* prompt tokens to compute, in the cache; tokens made */
	int    prefill, decode;          /* in the step at hand */
	int    state;                    /* enum */
	uint64_t request_ns, first_step_ns, first_ns, end_ns, cancel_ns;
	double marginal, shared, before; /* J; before its first token */
};

enum { ABSENT, WAITING, RUNNING, OVER };

static struct plan {
	double port, chunk, most, idle_w, preempt, drift, drift_s, drift_at;
	double t_weights, t_tok, t_kv, t_attn, t_fixed, t_seq, overlap, bend, scale, w_memory, w_compute, w_active;
} plan;

static const struct {
	const char *key;
	double     *val;
} keys[] = {
#define KEY(k) { #k, &plan.k }
	KEY(port), KEY(chunk), KEY(most), KEY(idle_w), KEY(preempt), KEY(drift), KEY(drift_s), KEY(drift_at),
	KEY(t_weights), KEY(t_tok), KEY(t_kv), KEY(t_attn), KEY(t_fixed), KEY(t_seq), KEY(overlap), KEY(bend),
	KEY(scale), KEY(w_memory), KEY(w_compute), KEY(w_active),
};

static struct query query[QUERIES];
static int nquery;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  arrived = PTHREAD_COND_INITIALIZER;
static volatile sig_atomic_t stopped;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int take_line(const char *line)
{
	struct query *q = &query[nquery];
	char key[32];
	double v;
	size_t i;

	if (sscanf(line, "query %lf %d %d %d %lf %d", &q->at_ms, &q->prompt, &q->cached, &q->output, &q->cancel_ms,
		   &q->whole) == 6) {
		q->fd = -1;
		q->todo = q->prompt - q->cached;
		q->past = q->cached;
		return ++nquery < QUERIES;
	}
	if (sscanf(line, "%31s %lf", key, &v) != 2)
		return 0;
	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (!strcmp(keys[i].key, key))
			*keys[i].val = v;
	return 1;
}

static int read_plan(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[256];
	int ok = f != NULL;

	while (ok && fgets(line, sizeof(line), f))
		ok = take_line(line);
	if (f)
		fclose(f);
	return ok ? 0 : -1;
}

/* --- a step ------------------------------------------------------------------------------------------------------- */

static double model(const struct work *w, double *ret_s)
{
	double memory = plan.t_weights + plan.t_kv * w->context;
	double compute = plan.t_tok * w->tokens + plan.t_attn * w->attention;
	double t = plan.t_fixed + plan.t_seq * w->sequences +
		   pow(pow(memory, plan.overlap) + pow(compute, plan.overlap), 1 / plan.overlap);

	if (ret_s)
		*ret_s = t;
	compute = plan.scale * pow(w->tokens, plan.bend) + plan.t_attn * w->attention;
	return plan.w_memory * memory + plan.w_compute * compute + plan.w_active * t;
}

static struct work work_of(const struct query *q)
{
	int before = q->past;

	return (struct work){ q->prefill + q->decode, q->decode ? before : q->prefill * (before + q->prefill / 2.0), 1,
			      before };
}

static void draw(int control, double watts)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "base package-0 %.0f\n", watts * 1000);

	if (control >= 0 && write(control, line, (size_t)n) != n)
		abort();
}

struct llama_batch {
	int32_t n_tokens;
	void   *more[6];
};

int llama_decode(uint64_t until_ns, struct llama_batch batch);

/* What the GPU computes meanwhile; that its name is llama.cpp's is for those who look for it. */
__attribute__((noinline)) int llama_decode(uint64_t until_ns, struct llama_batch batch)
{
	sleep_until(until_ns);
	return batch.n_tokens;
}

/* The step's joules to the queries in it: of those that were cancelled in it up to then. */
static void charge(struct query **in, int n, double joules, uint64_t begin, uint64_t end, double factor,
		   const struct work *sum)
{
	double marginal[QUERIES], rest = joules, part, j;
	struct work w, without;
	int i;

	for (i = 0; i < n; i++) {
		w = work_of(in[i]);
		without = (struct work){ sum->tokens - w.tokens, sum->attention - w.attention, sum->sequences - 1,
					 sum->context - w.context };
		marginal[i] = n == 1 ? joules : joules - factor * model(&without, NULL);
		rest -= marginal[i];
	}
	for (i = 0; i < n; i++) {
		part = !in[i]->cancel_ns || in[i]->cancel_ns >= end ? 1 :
		       in[i]->cancel_ns <= begin ? 0 : (double)(in[i]->cancel_ns - begin) / (double)(end - begin);
		j = marginal[i] + rest / n;
		in[i]->marginal += part * marginal[i];
		in[i]->shared += part * rest / n;
		in[i]->before += in[i]->made ? 0 : part * j;
	}
}

static double total_j;
static unsigned long steps;

static void step(int control, struct query **in, int n)
{
	struct work sum = { 0, 0, 0, 0 }, w;
	uint64_t begin, end;
	double t, j, watts;
	int i;

	for (i = 0; i < n; i++) {
		w = work_of(in[i]);
		sum = (struct work){ sum.tokens + w.tokens, sum.attention + w.attention, sum.sequences + 1,
				     sum.context + w.context };
	}
	j = model(&sum, &t);
	j *= 1 + plan.drift * sin(2 * M_PI * (double)now_ns() / 1e9 / plan.drift_s + plan.drift_at);
	watts = j / t;
	begin = now_ns();
	draw(control, plan.idle_w + watts);
	llama_decode(begin + (uint64_t)(t * 1e9), (struct llama_batch){ .n_tokens = (int32_t)sum.tokens });
	end = now_ns();
	draw(control, plan.idle_w);
	j = watts * (double)(end - begin) / 1e9;
	charge(in, n, j, begin, end, j / model(&sum, NULL), &sum);
	total_j += j;
	steps++;
	for (i = 0; i < n; i++)
		if (!in[i]->first_step_ns)
			in[i]->first_step_ns = begin;
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */

#define HEAD  "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"
#define CHUNK "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"rig\",\"choices\":"
#define WHOLE "{\"id\":\"x\",\"object\":\"chat.completion\",\"model\":\"rig\",\"choices\":"
#define USAGE "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d," \
	      "\"prompt_tokens_details\":{\"cached_tokens\":%d}}"

static void put(struct query *q, const char *text, int n)
{
	/* The client may be gone: that is told by what is read. */
	(void)!send(q->fd, text, (size_t)n, MSG_NOSIGNAL);
}

static void put_token(struct query *q)
{
	char text[512];
	int n = 0;

	if (q->whole)
		return;
	if (q->made == 1)
		n = snprintf(text, sizeof(text), HEAD, "text/event-stream");
	n += snprintf(text + n, sizeof(text) - (size_t)n,
		      CHUNK "[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":%s}]}\n\n",
		      q->made == q->output ? "\"length\"" : "null");
	put(q, text, n);
}

static void put_end(struct query *q)
{
	char text[512];
	int n;

	if (q->whole)
		n = snprintf(text, sizeof(text), HEAD WHOLE
			     "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},"
			     "\"finish_reason\":\"length\"}]," USAGE "}", "application/json", q->prompt, q->made,
			     q->cached);
	else
		n = snprintf(text, sizeof(text), CHUNK "[]," USAGE "}\n\ndata: [DONE]\n\n", q->prompt, q->made,
			     q->cached);
	put(q, text, n);
	shutdown(q->fd, SHUT_WR);
}

/* --- the engine --------------------------------------------------------------------------------------------------- */

/* Queries in the order in which they came; the engine's own, but for what take_request() appends. */
static struct query *held[QUERIES];
static int nheld;

static double uniform(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (double)(x >> 11) / 9007199254740992.0;
}

/* One that runs does its whole context again, later. */
static void preempt(void)
{
	int i, n = 0, last = -1;

	for (i = 0; i < nheld; i++)
		if (held[i]->state == RUNNING)
			n++, last = i;
	if (n > 1 && uniform() < plan.preempt) {
		held[last]->state = WAITING;
		held[last]->todo += held[last]->past;
		held[last]->past = 0;
	}
}

static int give(struct query *q, int *budget)
{
	q->prefill = q->todo < *budget ? q->todo : *budget;
	*budget -= q->prefill;
	q->state = RUNNING;
	return q->prefill > 0;
}

/* What is in the next step: all that generate, then prompts, those that have begun first, in chunks. */
static int schedule(struct query **in)
{
	int i, n = 0, running = 0, budget;

	preempt();
	for (i = 0; i < nheld; i++) {
		held[i]->prefill = 0;
		held[i]->decode = held[i]->state == RUNNING && !held[i]->todo;
		running += held[i]->state == RUNNING;
		if (held[i]->decode)
			in[n++] = held[i];
	}
	budget = (int)plan.chunk - n > 16 ? (int)plan.chunk - n : 16;
	for (i = 0; i < nheld; i++)
		if (held[i]->state == RUNNING && held[i]->todo && give(held[i], &budget))
			in[n++] = held[i];
	for (i = 0; i < nheld && budget > 0; i++)
		if (held[i]->state == WAITING && running++ < (int)plan.most && give(held[i], &budget))
			in[n++] = held[i];
	return n;
}

static void advance(struct query *q)
{
	q->past += q->prefill + q->decode;
	q->todo -= q->prefill;
	if (q->todo || q->cancel_ns)
		return;
	q->made++;
	put_token(q);
	if (q->made == 1)
		q->first_ns = now_ns();
	if (q->made < q->output)
		return;
	put_end(q);
	q->end_ns = now_ns();
	q->state = OVER;
}

static void drop_over(void)
{
	int i, n = 0;

	for (i = 0; i < nheld; i++) {
		if (held[i]->cancel_ns)
			held[i]->state = OVER;
		if (held[i]->state != OVER)
			held[n++] = held[i];
	}
	nheld = n;
}

static void *compute(void *arg)
{
	static struct query *in[QUERIES];
	int control = open(CONTROL, O_WRONLY | O_CLOEXEC), i, n;

	draw(control, plan.idle_w);
	pthread_mutex_lock(&lock);
	for (;;) {
		drop_over();
		n = schedule(in);
		if (!n) {
			pthread_cond_wait(&arrived, &lock);
			continue;
		}
		pthread_mutex_unlock(&lock);
		step(control, in, n);
		pthread_mutex_lock(&lock);
		for (i = 0; i < n; i++)
			advance(in[i]);
	}
	return NULL;
}

/* --- who asks ----------------------------------------------------------------------------------------------------- */

struct conn {
	struct query *q; /* NULL: its request has not come yet */
	char          text[2048];
	size_t        n;
};

static void take_request(struct conn *c, int fd)
{
	char *id = strstr(c->text, "X-Request-Id: q"), *body = strstr(c->text, "\r\n\r\n");
	int i = id ? atoi(id + 15) : 0;

	if (!body || !strchr(body, '}') || i < 1 || i > nquery)
		return;
	c->q = &query[i - 1];
	pthread_mutex_lock(&lock);
	c->q->fd = fd;
	c->q->request_ns = now_ns();
	c->q->state = WAITING;
	held[nheld++] = c->q;
	pthread_cond_signal(&arrived);
	pthread_mutex_unlock(&lock);
}

/* 0: the connection is over. */
static int serve_one(struct conn *c, int fd)
{
	ssize_t got = recv(fd, c->text + c->n, sizeof(c->text) - 1 - c->n, MSG_DONTWAIT);

	if (got > 0 && !c->q) {
		c->n += (size_t)got;
		c->text[c->n] = 0;
		take_request(c, fd);
		return 1;
	}
	if (got < 0 && errno == EAGAIN)
		return 1;
	pthread_mutex_lock(&lock);
	if (c->q && c->q->state != OVER)
		c->q->cancel_ns = now_ns();
	pthread_mutex_unlock(&lock);
	return 0;
}

static int listen_at(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 512) ? -1 : s;
}

static void tell(FILE *f)
{
	struct query *q;

	for (q = query; q < query + nquery; q++)
		fprintf(f, "{\"type\":\"query\",\"id\":\"q%d\",\"energy_j\":%.9g,\"marginal_j\":%.9g,\"shared_j\":%.9g,"
			"\"prefill_j\":%.9g,\"prompt\":%d,\"cached\":%d,\"tokens\":%d,\"whole\":%d,\"R\":%llu,"
			"\"first_step\":%llu,\"F\":%llu,\"E\":%llu,\"end\":\"%s\"}\n", (int)(q - query) + 1,
			q->marginal + q->shared, q->marginal, q->shared, q->before, q->prompt, q->cached, q->made,
			q->whole, (unsigned long long)q->request_ns, (unsigned long long)q->first_step_ns,
			(unsigned long long)q->first_ns, (unsigned long long)(q->cancel_ns ? q->cancel_ns : q->end_ns),
			q->cancel_ns ? "cancel" : q->end_ns ? "complete" : "running");
	fprintf(f, "{\"type\":\"engine\",\"steps\":%lu,\"energy_j\":%.9g}\n", steps, total_j);
}

static void stop(int sig)
{
	stopped = sig;
}

static int serve(const char *truth)
{
	static struct pollfd p[QUERIES + 1];
	static struct conn *c[QUERIES + 1];
	int n = 1, i;
	pthread_t t;
	FILE *f;

	p[0] = (struct pollfd){ .fd = listen_at((int)plan.port), .events = POLLIN };
	if (p[0].fd < 0 || pthread_create(&t, NULL, compute, NULL))
		return 1;
	while (!stopped) {
		if (poll(p, (nfds_t)n, -1) < 0)
			continue;
		for (i = n - 1; i > 0; i--) {
			if (!p[i].revents || serve_one(c[i], p[i].fd))
				continue;
			close(p[i].fd);
			free(c[i]);
			p[i] = p[--n];
			c[i] = c[n];
		}
		if (p[0].revents && n <= QUERIES) {
			c[n] = calloc(1, sizeof(*c[n]));
			p[n++] = (struct pollfd){ .fd = accept4(p[0].fd, NULL, NULL, SOCK_CLOEXEC), .events = POLLIN };
		}
	}
	pthread_mutex_lock(&lock);
	f = fopen(truth, "w");
	if (!f)
		return 1;
	tell(f);
	return fclose(f) != 0;
}

/* --- the clients -------------------------------------------------------------------------------------------------- */

static void ask(struct query *q, int id)
{
	static const char body[] = "{\"model\":\"rig\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
				   "\"stream\":%s}";
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[512], what[128];
	int n;

	snprintf(what, sizeof(what), body, q->whole ? "false" : "true");
	n = snprintf(text, sizeof(text), "POST /v1/chat/completions HTTP/1.1\r\nHost: rig\r\nX-Request-Id: q%d\r\n"
		     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", id, strlen(what), what);
	q->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(q->fd, (struct sockaddr *)&a, sizeof(a)) || write(q->fd, text, (size_t)n) != n)
		abort();
}

/* Reads what there is of its answer; 0: it is over. */
static int listen_to(struct query *q, uint64_t begin, uint64_t now)
{
	static char sink[65536];
	ssize_t got;

	if (q->cancel_ms > 0 && now >= begin + (uint64_t)((q->at_ms + q->cancel_ms) * 1e6)) {
		close(q->fd);
		return 0;
	}
	while ((got = recv(q->fd, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
		;
	if (got < 0 && errno == EAGAIN)
		return 1;
	close(q->fd);
	return 0;
}

/* Looks after all of them every 5 ms: it is no clock of anything. */
static int drive(void)
{
	uint64_t begin = now_ns(), now;
	int next = 0, first = 0, i;

	for (now = begin; next < nquery || first < nquery; now = now_ns()) {
		for (; next < nquery && now >= begin + (uint64_t)(query[next].at_ms * 1e6); next++) {
			ask(&query[next], next + 1);
			query[next].state = RUNNING;
		}
		for (i = first; i < next; i++)
			if (query[i].state == RUNNING && !listen_to(&query[i], begin, now))
				query[i].state = OVER;
		while (first < next && query[first].state == OVER)
			first++;
		sleep_until(now + 5 * MS);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = stop };

	if (argc < 3 || read_plan(argv[2])) {
		fprintf(stderr, "usage: engine serve PLAN TRUTH, or engine drive PLAN\n");
		return 1;
	}
	sigaction(SIGTERM, &sa, NULL);
	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(argv[3]);
	if (argc == 3 && !strcmp(argv[1], "drive"))
		return drive();
	return 1;
}
