// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the kernel's lists of sockets say: who listens where, and which two are the ends of one connection. */
#include "userspace/sockets.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define REST " 00000000:00000000 00:00000000 00000000     0        0 "

static struct sockets s;

static int setup(void **state)
{
	return 0;
}

static int teardown(void **state)
{
	sockets_release(&s);
	return 0;
}

static void tcp(const char *line, uint64_t inode)
{
	struct sock_one k;

	assert_int_equal(sockets_tcp_line(line, &k), 1);
	assert_int_equal(k.inode, inode);
	assert_int_equal(sockets_add(&s, &k), 0);
}

static void listeners_by_name(void **state)
{
	static const struct {
		const char *line, *name;
	} t[] = {
		{ " 0: 0100007F:1F90 00000000:0000 0A" REST "11 1 0 100 0 0 10 0", "127.0.0.1:8080" },
		{ " 1: 00000000:0050 00000000:0000 0A" REST "12", "0.0.0.0:80" },
		{ " 2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A" REST "13",
		  "[::1]:8080" },
		{ " 3: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A" REST "14",
		  "127.0.0.1:8080" },
	};
	struct sock_one k;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		assert_int_equal(sockets_tcp_line(t[i].line, &k), 1);
		assert_int_equal(k.listens, 1);
		assert_string_equal(k.name, t[i].name);
	}
	assert_int_equal(sockets_unix_line("0: 00000002 00000000 00010000 0001 01 21 /run/a\x1b[31m.sock", &k), 1);
	assert_string_equal(k.name, "unix /run/a?[31m.sock");
	assert_int_equal(sockets_unix_line("0: 00000002 00000000 00010000 0002 01 22 /dev/log", &k), 0); /* datagrams */
	assert_int_equal(sockets_unix_line("Num RefCount Protocol Flags Type St Inode Path", &k), 0);
	assert_int_equal(sockets_tcp_line(" 4: 0100007F:1F90 00000000:0000 06" REST "0 3", &k), 0); /* TIME_WAIT */
	assert_int_equal(sockets_tcp_line(" 4: 01007F:1F90 00000000:0000 0A" REST "15", &k), 0);
}

static void two_ends(void **state)
{
	tcp(" 0: 0100007F:1F90 0100007F:9C40 01" REST "31", 31);
	tcp(" 1: 0100007F:9C40 0100007F:1F90 01" REST "30", 30);
	tcp(" 2: 0100007F:9C41 0200007F:1F90 01" REST "32", 32); /* to another address */
	tcp(" 3: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:9C42 01" REST "34", 34);
	tcp(" 4: 0100007F:9C42 0100007F:0050 01" REST "33", 33); /* the client of a dual socket */
	tcp(" 5: 0100007F:1F90 00000000:0000 0A" REST "35", 35);
	sockets_sort(&s);
	assert_int_equal(sockets_other_end(&s, sockets_get(&s, 30))->inode, 31);
	assert_int_equal(sockets_other_end(&s, sockets_get(&s, 31))->inode, 30);
	assert_int_equal(sockets_other_end(&s, sockets_get(&s, 33))->inode, 34);
	assert_null(sockets_other_end(&s, sockets_get(&s, 32)));
	assert_null(sockets_other_end(&s, sockets_get(&s, 35)));
	assert_null(sockets_get(&s, 36));
}

static void unix_peers(void **state)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_msg m;
		struct rtattr a;
		uint32_t peer;
	} msg = {
		.h = { .nlmsg_len = sizeof(msg), .nlmsg_type = SOCK_DIAG_BY_FAMILY },
		.m = { .udiag_family = AF_UNIX, .udiag_ino = 41 },
		.a = { .rta_len = RTA_LENGTH(4), .rta_type = UNIX_DIAG_PEER }, .peer = 42,
	};
	struct nlmsghdr over = { .nlmsg_len = sizeof(over), .nlmsg_type = NLMSG_DONE };
	struct sock_one k;

	assert_int_equal(sockets_unix_line("0: 00000003 00000000 00000000 0001 03 42 /run/x.sock", &k), 1);
	assert_int_equal(sockets_add(&s, &k), 0);
	assert_int_equal(sockets_unix_line("0: 00000003 00000000 00000000 0001 03 41", &k), 1);
	assert_int_equal(sockets_add(&s, &k), 0);
	sockets_sort(&s);
	assert_int_equal(sockets_diag(&s, &msg, sizeof(msg)), 1);
	assert_int_equal(sockets_other_end(&s, sockets_get(&s, 41))->inode, 42);
	assert_null(sockets_other_end(&s, sockets_get(&s, 42)));
	assert_int_equal(sockets_diag(&s, &over, sizeof(over)), 0);
	msg.h.nlmsg_len = sizeof(msg) - 6; /* cut off in the attribute */
	assert_int_equal(sockets_diag(&s, &msg, sizeof(msg) - 6), 1);
}

/* This process, by the kernel itself. */
static void of_a_process(void **state)
{
	int ends[2], n, nunix;
	struct sockets mine = { 0 };
	uint64_t *held;
	char text[64];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	n = sockets_held((uint32_t)getpid(), &held);
	assert_true(n >= 2);
	assert_int_equal(sockets_load(&mine, (uint32_t)getpid()), 0);
	assert_non_null(sockets_get(&mine, held[n - 1]));
	assert_true(sockets_holds(held, n, held[0]) && !sockets_holds(held, n, 1));
	assert_int_equal(sockets_listens(&mine, (uint32_t)getpid(), text, sizeof(text), &nunix), 0);
	assert_string_equal(text, "");
	sockets_release(&mine);
	free(held);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(listeners_by_name), TEST(two_ends), TEST(unix_peers), TEST(of_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
