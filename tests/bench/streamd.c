// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A server of token streams that costs next to nothing itself: OpenAI's chat completions, written to the socket as
 * llama.cpp does it (head; one send with the role's event and the first token in one chunk; one send and chunk a token;
 * one with the finish and the usage event; "[DONE]"; "0\r\n"; "\r\n").
 *
 * Usage: streamd CPU STREAMS TOKENS RATE BATCH
 * Prints "port N", waits until STREAMS queries are there, then answers each with TOKENS tokens, RATE of them a second
 * in all, as engines would that each put one token to BATCH streams in a step. Prints "begin NS", "end NS"
 * (CLOCK_MONOTONIC) and "late N", the steps that began a step too late or more; ends when its clients are gone.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENT                                                                                                        \
	"data: {\"choices\":[{\"finish_reason\":%s,\"index\":0,\"delta\":%s}],\"created\":1795268912,"               \
	"\"id\":\"chatcmpl-QyZs0b1uXx9Rk4m2hVtO7Wc3Np5Ld8Ea\",\"model\":\"SmolLM2-135M-Instruct.Q4_1.gguf\","         \
	"\"system_fingerprint\":\"b7100-0a1b2c3d4\",\"object\":\"chat.completion.chunk\"}\n\n"

struct stream {
	int      fd;
	unsigned sent; /* tokens */
};

static struct stream *stream;
static unsigned nstream, tokens;
static char token_msg[1024], first_msg[2048], last_msg[4096];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "streamd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot pin");
}

/* --- what is sent ------------------------------------------------------------------------------------------------- */

static void chunk(char *to, size_t size, const char *data)
{
	snprintf(to, size, "%zx\r\n%s\r\n", strlen(data), data);
}

static void messages(void)
{
	static const char role[] = "{\"role\":\"assistant\",\"content\":null}", token[] = "{\"content\":\" token\"}";
	char one[1024], two[2048];
	int n;

	snprintf(one, sizeof(one), EVENT, "null", token);
	chunk(token_msg, sizeof(token_msg), one);
	n = snprintf(two, sizeof(two), EVENT, "null", role);
	snprintf(two + n, sizeof(two) - (size_t)n, "%s", one);
	chunk(first_msg, sizeof(first_msg), two);
	n = snprintf(two, sizeof(two), EVENT, "\"length\"", "{}");
	snprintf(two + n, sizeof(two) - (size_t)n,
		 "data: {\"choices\":[],\"created\":1795268912,\"id\":\"chatcmpl-QyZs0b1uXx9Rk4m2hVtO7Wc3Np5Ld8Ea\","
		 "\"model\":\"SmolLM2-135M-Instruct.Q4_1.gguf\",\"object\":\"chat.completion.chunk\","
		 "\"usage\":{\"completion_tokens\":%u,\"prompt_tokens\":31,\"total_tokens\":%u},"
		 "\"timings\":{\"cache_n\":0,\"prompt_n\":31,\"predicted_n\":%u}}\n\n", tokens, tokens + 31, tokens);
	chunk(last_msg, sizeof(last_msg), two);
}

static void put(int fd, const char *msg, size_t n)
{
	if (send(fd, msg, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("send");
}

#define PUT(fd, literal) put(fd, literal, sizeof(literal) - 1)

/* One token more; the last one's step ends the answer. */
static void step(struct stream *s)
{
	if (s->sent >= tokens)
		return;
	if (!s->sent++)
		put(s->fd, first_msg, strlen(first_msg));
	else
		put(s->fd, token_msg, strlen(token_msg));
	if (s->sent < tokens)
		return;
	put(s->fd, last_msg, strlen(last_msg));
	PUT(s->fd, "e\r\ndata: [DONE]\n\n\r\n");
	PUT(s->fd, "0\r\n");
	PUT(s->fd, "\r\n");
}

/* --- queries ------------------------------------------------------------------------------------------------------ */

static int listen_(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die("listen");
	printf("port %u\n", ntohs(a.sin_port));
	return fd;
}

static void accept_(int ep, int at)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = accept4(at, NULL, NULL, SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		die("accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ev.data.fd = fd;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

/* A request comes in one piece, as its client is ours. One that is no query is answered, and its connection stays. */
static void request(int fd)
{
	char buf[4096];

	if (recv(fd, buf, sizeof(buf), 0) <= 0)
		die("recv");
	if (buf[0] == 'G') {
		PUT(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		return;
	}
	PUT(fd, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Type: text/event-stream\r\n"
		"Server: llama.cpp\r\nAccess-Control-Allow-Origin: \r\nTransfer-Encoding: chunked\r\n\r\n");
	stream[nstream++].fd = fd;
}

static void gather(int at, unsigned want)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = at }, got[64];
	int ep = epoll_create1(EPOLL_CLOEXEC), n, i;

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, at, &ev))
		die("epoll");
	while (nstream < want) {
		n = epoll_wait(ep, got, 64, -1);
		for (i = 0; i < n; i++) {
			if (got[i].data.fd == at)
				accept_(ep, at);
			else
				request(got[i].data.fd);
		}
	}
	close(ep);
}

int main(int argc, char **argv)
{
	unsigned batch, at = 0, i, late = 0;
	uint64_t step_ns, next;
	struct rlimit files = { 65536, 65536 };
	char c;

	if (argc != 6) {
		fputs("usage: streamd CPU STREAMS TOKENS RATE BATCH\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	pin(atoi(argv[1]));
	(void)setrlimit(RLIMIT_NOFILE, &files);
	stream = calloc((size_t)atoi(argv[2]), sizeof(*stream));
	tokens = (unsigned)atoi(argv[3]);
	batch = (unsigned)atoi(argv[5]);
	step_ns = (uint64_t)(batch * 1e9 / atof(argv[4]));
	messages();
	gather(listen_(), (unsigned)atoi(argv[2]));

	next = now_ns();
	printf("begin %llu\n", (unsigned long long)next);
	while (stream[at].sent < tokens) {
		next += step_ns;
		sleep_until(next);
		late += now_ns() > next + step_ns;
		for (i = 0; i < batch; i++, at = (at + 1) % nstream)
			step(&stream[at]);
	}
	printf("end %llu\n", (unsigned long long)now_ns());
	printf("late %u\n", late);
	for (i = 0; i < nstream; i++)
		(void)!recv(stream[i].fd, &c, 1, 0);
	return 0;
}
