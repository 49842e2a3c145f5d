// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Does one thing again and again, and says how long it takes.
 *
 * Usage: op CPU PEER_CPU
 * Prints "pid N". For each line "NAME MS" on stdin it does NAME for MS milliseconds and prints one line:
 * "NAME batches p25 median p75 tokens", times in nanoseconds for one NAME, over batches of about 0.2 ms. Between
 * batches it spins for some fixed work, three times as long as a batch, so that a reader on another CPU keeps up; and
 * where the work before or after a batch took longer than it took at best, something else slowed the CPU (the other
 * hyperthread of its core above all) and the batch does not count. tokens is how many token events the sends carried,
 * counted or not; -1 where they are not to be known.
 *
 * The process that prints its pid is pinned to CPU; what sits at the other end of its connections is its parent, on
 * PEER_CPU, so that a tracer of the one does not trace the other.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 65536
#define EVENT   244 /* bytes of one token's event: with its chunk's framing 250 */
#define ENOUGH  20   /* batches */
#define LONGER  20
#define PACE    3
#define SLOWED  1.12 /* times the quickest that the fixed work took in this run */
#define WARM_NS 3000000

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "op: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot pin");
}

static void send_all(int fd, const char *p, size_t n)
{
	ssize_t w;

	for (; n; p += w, n -= (size_t)w) {
		w = send(fd, p, n, MSG_NOSIGNAL);
		if (w < 0)
			die("send");
	}
}

static void recv_all(int fd, char *p, size_t n)
{
	ssize_t r;

	for (; n; p += r, n -= (size_t)r) {
		r = recv(fd, p, n, 0);
		if (r <= 0)
			die("recv");
	}
}

/* --- the peer ----------------------------------------------------------------------------------------------------- */

struct order {
	char     what; /* 'c' connect to port n, 's' send n bytes of `bulk`, 'd' drain n bytes, 'x' close */
	uint32_t n;
};

static int to_peer[2], from_peer[2];
static char bulk[1 << 20];

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, size = 8 << 20;

	/* a batch fits, so that nothing ever waits for the other side */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("socket");
	return fd;
}

static struct sockaddr_in local(uint32_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void peer(int cpu)
{
	static char sink[65536];
	struct sockaddr_in a;
	struct order o;
	int fd = -1;

	pin(cpu);
	while (read(to_peer[0], &o, sizeof(o)) == sizeof(o)) {
		switch (o.what) {
		case 'c':
			a = local(o.n);
			fd = tcp();
			if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
				die("connect");
			break;
		case 's':
			if (read(to_peer[0], bulk, o.n) != o.n)
				die("order");
			send_all(fd, bulk, o.n);
			break;
		case 'f':
			while (o.n--)
				send_all(fd, bulk, 250);
			break;
		case 'd':
			for (; o.n > sizeof(sink); o.n -= sizeof(sink))
				recv_all(fd, sink, sizeof(sink));
			recv_all(fd, sink, o.n);
			break;
		case 'x':
			while (recv(fd, sink, sizeof(sink), 0) > 0)
				;
			close(fd);
			break;
		}
		if (write(from_peer[1], "", 1) != 1)
			break;
	}
	exit(0);
}

static void wait_peer(void)
{
	char c;

	if (read(from_peer[0], &c, 1) != 1)
		die("the peer is gone");
}

static void tell(char what, uint32_t n)
{
	struct order o = { what, n };

	if (write(to_peer[1], &o, sizeof(o)) != sizeof(o))
		die("order");
}

static void tell_wait(char what, uint32_t n)
{
	tell(what, n);
	wait_peer();
}

static void peer_sends(const char *p)
{
	struct order o = { 's', (uint32_t)strlen(p) };

	if (write(to_peer[1], &o, sizeof(o)) != sizeof(o) || write(to_peer[1], p, o.n) != o.n)
		die("order");
	wait_peer();
}

/* --- TCP: the server's end of a query ----------------------------------------------------------------------------- */

static int conn = -1;
static char msg[65536], in[4096];
static size_t msg_size;
static unsigned msg_tokens;

static void conn_open(void)
{
	struct sockaddr_in a = local(0);
	socklen_t len = sizeof(a);
	int fd = tcp();

	if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 1) || getsockname(fd, (struct sockaddr *)&a, &len))
		die("listen");
	tell_wait('c', ntohs(a.sin_port));
	conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (conn < 0)
		die("accept");
	close(fd);
}

/* One chunk of exactly `size` bytes, of as many token events as fit. */
static void msg_fill(size_t size)
{
	static const char form[] =
		"data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\" token\"}}],"
		"\"created\":1795268912,\"model\":\"bench\",\"object\":\"chat.completion.chunk\",\"id\":\"chatcmpl-";
	size_t data = size - (size_t)snprintf(NULL, 0, "%zx\r\n", size - 8) - 2, n, len;
	char *p = msg;

	p += sprintf(p, "%zx\r\n", data);
	msg_tokens = (unsigned)(data / EVENT);
	for (n = msg_tokens; n; n--, data -= len) {
		len = n > 1 ? EVENT : data;
		memset(p, 'x', len);
		memcpy(p, form, sizeof(form) - 1);
		memcpy(p + len - 4, "\"}\n\n", 4);
		p += len;
	}
	memcpy(p, "\r\n", 2);
	msg_size = size;
}

static void send_open(size_t size)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		"Transfer-Encoding: chunked\r\n\r\n";
	static const char ask[] = "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
		"Content-Type: application/json\r\nContent-Length: 31\r\n\r\n"
		"{\"model\":\"bench\",\"stream\":true}\n";

	conn_open();
	msg_fill(size);
	peer_sends(ask);
	recv_all(conn, in, sizeof(ask) - 1);
	send_all(conn, head, sizeof(head) - 1);
	tell_wait('d', sizeof(head) - 1);
}

static void send_250(void)  { send_open(250); }
static void send_4k(void)   { send_open(4096); }
static void send_64k(void)  { send_open(65536); }

static void do_send(unsigned n)
{
	while (n--)
		if (send(conn, msg, msg_size, 0) != (ssize_t)msg_size)
			die("send");
}

static void after_send(unsigned n)
{
	tell_wait('d', n * (uint32_t)msg_size);
}

static void send_close(void)
{
	send_all(conn, "0\r\n\r\n", 5);
	close(conn);
	tell_wait('x', 0);
}

/* The request's body comes in chunks of 250 bytes, one endless string in it. */
static void recv_open(void)
{
	static const char ask[] = "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
		"Transfer-Encoding: chunked\r\n\r\n"
		"f\r\n{\"prompt\":\"tell\r\n";
	char chunk[251];

	conn_open();
	peer_sends(ask);
	recv_all(conn, in, sizeof(ask) - 1);
	memset(chunk, 'x', sizeof(chunk));
	memcpy(chunk, "f4\r\n", 4);
	memcpy(chunk + 248, "\r\n", 3);
	peer_sends(chunk); /* what 'f' sends from now on */
	recv_all(conn, in, 250);
}

static void before_recv(unsigned n)
{
	tell_wait('f', n);
}

static void do_recv(unsigned n)
{
	while (n--)
		if (recv(conn, in, 250, 0) != 250)
			die("recv");
}

static void recv_close(void)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

	peer_sends("2\r\n\"}\r\n0\r\n\r\n");
	recv_all(conn, in, 12);
	send_all(conn, answer, sizeof(answer) - 1);
	close(conn);
	tell_wait('x', 0);
}

/* --- other things that a process does ----------------------------------------------------------------------------- */

static int pair[2];

static void do_getppid(unsigned n)
{
	while (n--)
		syscall(SYS_getppid);
}

static void unix_open(void)
{
	int size = 4 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ||
	    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		die("socketpair");
}

static void udp_open(void)
{
	struct sockaddr_in a = local(0);
	socklen_t len = sizeof(a);
	int size = 4 << 20;

	pair[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	pair[1] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (setsockopt(pair[1], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(pair[1], (struct sockaddr *)&a, len) || getsockname(pair[1], (struct sockaddr *)&a, &len) ||
	    connect(pair[0], (struct sockaddr *)&a, len))
		die("udp");
}

static void do_pair(unsigned n)
{
	while (n--)
		if (send(pair[0], msg, 250, 0) != 250)
			die("send");
}

static void after_pair(unsigned n)
{
	while (recv(pair[1], in, sizeof(in), MSG_DONTWAIT) > 0)
		;
}

static void pair_close(void)
{
	close(pair[0]);
	close(pair[1]);
}

static int ping[2], pong[2];

/* Of two processes on this CPU one waits while the other runs, so each byte that is passed is a switch. */
static void start_partner(void)
{
	char c;

	if (pipe(ping) || pipe(pong))
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ping[1]);
		close(pong[0]);
		while (read(ping[0], &c, 1) == 1 && write(pong[1], &c, 1) == 1)
			;
		exit(0);
	}
	close(ping[0]);
	close(pong[1]);
}

static void do_switch(unsigned n)
{
	char c;

	while (n--)
		if (write(ping[1], "", 1) != 1 || read(pong[0], &c, 1) != 1)
			die("pipe");
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static const struct op {
	const char *name;
	unsigned    batch;
	unsigned    per;   /* of these in one turn */
	int         counts;
	void      (*open)(void);
	void      (*before)(unsigned n);
	void      (*run)(unsigned n);
	void      (*after)(unsigned n);
	void      (*close)(void);
} ops[] = {
	{ "getppid",   1000, 1, 0, NULL, NULL, do_getppid, NULL, NULL },
	{ "tcp_send",    50, 1, 1, send_250, NULL, do_send, after_send, send_close },
	{ "tcp_send_4k", 40, 1, 1, send_4k, NULL, do_send, after_send, send_close },
	{ "tcp_send_64k", 8, 1, 0, send_64k, NULL, do_send, after_send, send_close },
	{ "tcp_recv",   100, 1, 0, recv_open, before_recv, do_recv, NULL, recv_close },
	{ "unix_send",  100, 1, 0, unix_open, NULL, do_pair, after_pair, pair_close },
	{ "udp_send",    50, 1, 0, udp_open, NULL, do_pair, after_pair, pair_close },
	{ "switch",      50, 2, 0, NULL, NULL, do_switch, NULL, NULL },
	{ NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL },
};

static double sample[SAMPLES];

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static uint64_t spin_best = UINT64_MAX; /* ns that SPIN turns take undisturbed */

#define SPIN 4000

/* Fixed work, in as many independent chains as keep a core's units busy. Returns how long it took. */
static uint64_t spin(void)
{
	static volatile uint64_t keep;
	uint64_t a = keep, b = 1, c = 2, d = 3, t0 = now_ns(), t;
	int i;

	for (i = 0; i < SPIN; i++) {
		a = a * 3 + b;
		b = (b ^ c) + 7;
		c = c * 5 + d;
		d = (d ^ a) + 11;
	}
	keep = a + b + c + d;
	t = now_ns() - t0;
	spin_best = t < spin_best ? t : spin_best;
	return t;
}

/* Whether the CPU was all ours for so long, or for one turn. */
static int spin_for(uint64_t ns)
{
	uint64_t end = now_ns() + ns;
	int calm = 1;

	do
		calm = (double)spin() < SLOWED * (double)spin_best;
	while (now_ns() < end);
	return calm; /* the last turn, which is the one next to the batch */
}

/* Nanoseconds for one; negative if it was disturbed. */
static double one_batch(const struct op *o)
{
	uint64_t t0, t1;
	int calm;

	if (o->before)
		o->before(o->batch);
	calm = spin_for(0);
	t0 = now_ns();
	o->run(o->batch);
	t1 = now_ns();
	calm &= spin_for(0);
	if (o->after)
		o->after(o->batch);
	spin_for(o->open ? PACE * (t1 - t0) : 0);
	return (calm ? 1 : -1) * (double)(t1 - t0) / (o->batch * o->per);
}

/* For ms milliseconds, or up to LONGER times as long until there are enough calm batches. */
static void measure(const struct op *o, unsigned ms)
{
	uint64_t now, end, last;
	long batches = 1;
	size_t n = 0;

	if (o->open)
		o->open();
	/* The CPU's own speed changes from minute to minute: what is undisturbed is asked anew for each run. */
	spin_best = UINT64_MAX;
	spin_for(WARM_NS);
	one_batch(o); /* not counted */
	now = now_ns();
	end = now + ms * 1000000ull;
	for (last = now + LONGER * ms * 1000000ull; n < SAMPLES && now < (n < ENOUGH ? last : end); batches++) {
		sample[n] = one_batch(o);
		n += sample[n] > 0;
		now = now_ns();
	}
	if (o->close)
		o->close();
	qsort(sample, n, sizeof(*sample), by_size);
	printf("%s %zu %.2f %.2f %.2f %ld\n", o->name, n, sample[n / 4], sample[n / 2], sample[3 * n / 4],
	       o->counts ? batches * o->batch * (long)msg_tokens : -1);
}

static void work(int cpu)
{
	char line[64], name[32];
	const struct op *o;
	unsigned ms;

	pin(cpu);
	start_partner();
	printf("pid %d\n", (int)getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%31s %u", name, &ms) != 2)
			continue;
		for (o = ops; o->name && strcmp(o->name, name); o++)
			;
		if (o->name)
			measure(o, ms);
		else
			printf("%s unknown\n", name);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: op CPU PEER_CPU\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe(to_peer) || pipe(from_peer))
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to_peer[0]);
		close(from_peer[1]);
		work(atoi(argv[1]));
	}
	close(to_peer[1]);
	close(from_peer[0]);
	peer(atoi(argv[2]));
}
