// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The clients of streamd: opens STREAMS queries and reads their answers to the end, at the least cost.
 *
 * Usage: streamc CPU PORT STREAMS [IDLE]
 * IDLE connections are opened first, ask for something else, and stay open.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "streamc: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_query(unsigned port, int ep, unsigned n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static const char body[] = "{\"model\":\"default\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"messages\":[{\"role\":\"user\",\"content\":\"Tell me about river stone cloud lantern engine\"}]}";
	struct epoll_event ev = { .events = EPOLLIN };
	char ask[1024];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), len;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("connect");
	len = snprintf(ask, sizeof(ask), "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		       "X-Request-Id: bench-%u\r\nContent-Type: application/json\r\n"
		       "Content-Length: %zu\r\n\r\n%s", n, sizeof(body) - 1, body);
	if (send(fd, ask, (size_t)len, MSG_NOSIGNAL) != len)
		die("send");
	ev.data.fd = fd;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
	return fd;
}

static void open_idle(unsigned port)
{
	static const char ask[] = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) != sizeof(ask) - 1)
		die("idle");
}

/* The last bytes of an answer come in a send of their own, but may be read with those before. */
static int is_end(const char *p, ssize_t n)
{
	return (n == 2 && !memcmp(p, "\r\n", 2)) || (n >= 5 && !memcmp(p + n - 5, "0\r\n\r\n", 5));
}

int main(int argc, char **argv)
{
	static char buf[1 << 18];
	struct epoll_event got[256];
	struct rlimit files = { 65536, 65536 };
	unsigned left, i;
	cpu_set_t set;
	ssize_t r;
	int ep = epoll_create1(EPOLL_CLOEXEC), n, k;

	if (argc != 4 && argc != 5) {
		fputs("usage: streamc CPU PORT STREAMS [IDLE]\n", stderr);
		return 2;
	}
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[1]), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	for (i = argc == 5 ? (unsigned)atoi(argv[4]) : 0; i; i--)
		open_idle((unsigned)atoi(argv[2]));
	left = (unsigned)atoi(argv[3]);
	for (i = 0; i < left; i++)
		open_query((unsigned)atoi(argv[2]), ep, i);
	while (left) {
		n = epoll_wait(ep, got, 256, -1);
		for (k = 0; k < n; k++) {
			r = recv(got[k].data.fd, buf, sizeof(buf), 0);
			if (r <= 0)
				die("recv");
			if (is_end(buf, r)) {
				close(got[k].data.fd);
				left--;
			}
		}
	}
	return 0;
}
