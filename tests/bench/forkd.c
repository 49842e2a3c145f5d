// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A server that forks for each connection, as old ones do: each query is answered by a process that nobody has seen
 * before. And a tree of processes and threads, that only sleep.
 *
 * Usage: forkd CPU QUERIES             prints "port N", answers so many, prints "seconds S", the time it took
 *        forkd CPU PROCESSES THREADS   prints "ready" when there are so many, each with so many threads; ends on EOF
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "forkd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void answer(int fd)
{
	static const char text[] =
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
		"Transfer-Encoding: chunked\r\n\r\n8e\r\n"
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],"
		"\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1},\"model\":\"m\"}\n\n\r\n0\r\n\r\n";
	char buf[4096];

	if (recv(fd, buf, sizeof(buf), 0) <= 0)
		die("recv");
	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) != sizeof(text) - 1)
		die("send");
}

static void serve(unsigned queries)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	double begin = 0;
	unsigned i;

	if (at < 0 || bind(at, (struct sockaddr *)&a, len) || listen(at, 4096) ||
	    getsockname(at, (struct sockaddr *)&a, &len))
		die("listen");
	printf("port %u\n", ntohs(a.sin_port));
	signal(SIGCHLD, SIG_IGN);
	for (i = 0; i < queries; i++) {
		fd = accept4(at, NULL, NULL, SOCK_CLOEXEC);
		begin = begin > 0 ? begin : now();
		switch (fork()) {
		case -1:
			die("fork");
		case 0:
			answer(fd);
			_exit(0);
		}
		close(fd);
	}
	printf("seconds %.3f\n", now() - begin);
}

static void *asleep(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void grow(unsigned processes, unsigned threads)
{
	pthread_t t;
	unsigned i, k;
	char c;

	for (i = 1; i <= processes; i++) {
		if (i < processes && fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (k = 1; k < threads; k++)
			if (pthread_create(&t, NULL, asleep, NULL))
				die("pthread_create");
		if (i < processes)
			asleep(NULL);
	}
	printf("ready\n");
	(void)!read(0, &c, 1);
}

int main(int argc, char **argv)
{
	cpu_set_t set;

	if (argc != 3 && argc != 4) {
		fputs("usage: forkd CPU QUERIES | CPU PROCESSES THREADS\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[1]), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	if (argc == 3)
		serve((unsigned)atoi(argv[2]));
	else
		grow((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	return 0;
}
