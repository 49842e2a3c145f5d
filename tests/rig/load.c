// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What runs in the guest: its name is what the rig's module knows it by.
 *
 *	load burn NAME CPU BUSY_MS IDLE_MS      a tenant: busy, then idle, until it is killed
 *	load serve NAME CPU PORT TOKENS BURN_MS WAIT_MS [PREFILL_MS]
 *	                                        a server: answers each request with TOKENS events, computing for BURN_MS
 *	                                        and waiting for WAIT_MS before each; one request at a time. With
 *	                                        PREFILL_MS it computes for so long before the first, which comes at
 *	                                        once, and its name is "prefill" meanwhile, then "decode"
 *	load ask PORT N TOKENS WORDS            N requests, one after the other: TOKENS to answer a prompt of WORDS
 */
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* By its own CPU time, so that it costs the same whoever else runs. */
static void burn_ms(unsigned ms)
{
	uint64_t end = cpu_ns() + ms * 1000000ull;
	volatile int i;

	while (cpu_ns() < end)
		for (i = 0; i < 2000; i++)
			;
}

static void be(const char *name, int cpu)
{
	cpu_set_t set;

	prctl(PR_SET_NAME, name);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (cpu >= 0)
		sched_setaffinity(0, sizeof(set), &set);
}

static int at(int port, struct sockaddr_in *a)
{
	memset(a, 0, sizeof(*a));
	a->sin_family = AF_INET;
	a->sin_port = htons((uint16_t)port);
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return socket(AF_INET, SOCK_STREAM, 0);
}

static void burn(char **arg)
{
	unsigned busy = (unsigned)atoi(arg[2]), idle = (unsigned)atoi(arg[3]);

	be(arg[0], atoi(arg[1]));
	for (;;) {
		burn_ms(busy);
		usleep(idle * 1000);
	}
}

static void put(int fd, const char *data)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%zx\r\n%s\r\n", strlen(data), data);

	(void)!write(fd, text, (size_t)n);
}

#define EVENT(choices) \
	"data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"rig\",\"choices\":" choices

static void answer(int fd, int tokens, unsigned busy, unsigned wait, unsigned prefill)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	char usage[256];
	int i;

	if (prefill) {
		prctl(PR_SET_NAME, "prefill");
		burn_ms(prefill);
		prctl(PR_SET_NAME, "decode");
	}
	(void)!write(fd, head, sizeof(head) - 1);
	for (i = 0; i < tokens; i++) {
		if (i || !prefill) {
			burn_ms(busy);
			usleep(wait * 1000);
		}
		put(fd, EVENT("[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"));
	}
	put(fd, EVENT("[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"));
	snprintf(usage, sizeof(usage), EVENT("[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\n"),
		 prefill ? 10 * prefill : 1, tokens);
	put(fd, usage);
	put(fd, "data: [DONE]\n\n");
	(void)!write(fd, "0\r\n\r\n", 5);
}

static int serve(char **arg)
{
	struct sockaddr_in a;
	int on = 1, fd, s = at(atoi(arg[2]), &a);
	char request[4096];

	be(arg[0], atoi(arg[1]));
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 64))
		return 1;
	while ((fd = accept(s, NULL, NULL)) >= 0) {
		while (read(fd, request, sizeof(request)) > 0) {
			answer(fd, atoi(arg[3]), (unsigned)atoi(arg[4]), (unsigned)atoi(arg[5]),
			       arg[6] ? (unsigned)atoi(arg[6]) : 0);
			prctl(PR_SET_NAME, arg[0]);
		}
		close(fd);
	}
	return 1;
}

static void prompt(char *body, size_t size, int tokens, int words)
{
	size_t n = (size_t)snprintf(body, size, "{\"max_tokens\":%d,\"stream\":true,\"stream_options\":"
				    "{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":\"", tokens);

	for (; words-- > 0 && n < size - 16;)
		n += (size_t)snprintf(body + n, size - n, "hi ");
	snprintf(body + n, size - n, "\"}]}");
}

/* 0: the server goes on listening on this connection; 1: it may not; -1: nor did it before, there is no answer. */
static int ask_once(int s, const char *body)
{
	char text[65536];
	ssize_t got;
	size_t n;

	snprintf(text, sizeof(text), "POST /v1/chat/completions HTTP/1.1\r\nHost: rig\r\n"
		 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	if (send(s, text, strlen(text), MSG_NOSIGNAL) < 0)
		return -1;
	for (n = 0; n < sizeof(text) - 1 && (got = read(s, text + n, sizeof(text) - 1 - n)) > 0;) {
		n += (size_t)got;
		if (n >= 7 && !memcmp(text + n - 7, "\r\n0\r\n\r\n", 7))
			return !!memmem(text, n, "Connection: close", 17);
	}
	return n ? 1 : -1;
}

static int ask(char **arg)
{
	struct sockaddr_in a;
	char body[4096];
	int s = -1, left = atoi(arg[1]), err = 0;

	prompt(body, sizeof(body), atoi(arg[2]), atoi(arg[3]));
	while (left > 0) {
		if (s < 0 && connect(s = at(atoi(arg[0]), &a), (struct sockaddr *)&a, sizeof(a)))
			return 1;
		err = ask_once(s, body);
		left -= err >= 0;
		if (!err)
			continue;
		close(s);
		s = -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "burn"))
		burn(argv + 2);
	if ((argc == 8 || argc == 9) && !strcmp(argv[1], "serve"))
		return serve(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "ask"))
		return ask(argv + 2);
	fprintf(stderr, "usage: see tests/rig/README.md\n");
	return 1;
}
