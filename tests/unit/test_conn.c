// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From records to two streams of bytes: order, loss, duplicates, peeks, wrap of the sequence numbers, bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "userspace/conn.h"

static struct conns cs;
static char said[4096];
static int gone;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

static void on_bytes(void *ctx, struct conn *c, const struct bytes *b)
{
	uint32_t gap = b->total - b->nhead - b->ntail;

	say("%c", b->dir == CONN_IN ? '>' : '<');
	if (b->lost)
		say("(%llu lost)", (unsigned long long)b->lost);
	say("%.*s", (int)b->nhead, b->head);
	if (gap)
		say("(%u)", gap);
	say("%.*s\n", (int)b->ntail, b->tail);
}

static void on_over(void *ctx, struct conn *c, enum conn_over what, uint64_t ts_ns)
{
	static const char *const whats[] = {
		[CONN_EOF] = "eof", [CONN_RESET] = "reset", [CONN_SHUT] = "shut", [CONN_CLOSED] = "closed",
		[CONN_EVICTED] = "evicted",
	};

	say("%s\n", whats[what]);
}

static void on_gone(void *ctx, struct conn *c)
{
	gone++;
}

static const struct conn_ops ops = { on_bytes, on_over, on_gone };

static int setup(void **state)
{
	conns_init(&cs, &ops, NULL);
	said[0] = 0;
	gone = 0;
	return 0;
}

static int teardown(void **state)
{
	size_t open = cs.by_cookie.used;
	int i, before = gone, buried = 0;

	for (i = 0; i < CONN_CLOSED_MAX; i++)
		buried += cs.closed[i] != NULL;
	conns_release(&cs);
	assert_int_equal(gone - before, open - (size_t)buried);
	return 0;
}

/* A record with head[] copied, then a gap, then tail[]; in a block of its own size. */
static void data(enum ev_type type, int flags, uint32_t tid, uint64_t cookie, uint32_t seq, const char *head,
		 uint32_t gap, const char *tail)
{
	size_t nh = strlen(head), nt = strlen(tail);
	struct ev_data *e = calloc(1, sizeof(*e) + nh + nt);

	e->h = (struct ev_hdr){ .ts_ns = 5, .type = (uint8_t)type, .flags = (uint8_t)flags };
	e->h.tgid = 1;
	e->h.tid = tid;
	e->h.slot = 1;
	e->h.size = (uint32_t)(sizeof(*e) + nh + nt);
	e->s = (struct ev_sock){ .cookie = cookie, .family = AF_INET, .lport = 80, .rport = 4000 };
	e->seq = seq;
	e->ret = (int32_t)(nh + gap + nt);
	e->head = (uint32_t)nh;
	e->tail = (uint32_t)nt;
	memcpy(e + 1, head, nh);
	memcpy((char *)(e + 1) + nh, tail, nt);
	conns_data(&cs, e);
	free(e);
}

static void end(enum ev_type type, int flags, uint32_t tid, uint64_t cookie, int ret)
{
	struct ev_data e = { .ret = ret };

	e.h = (struct ev_hdr){ .ts_ns = 6, .type = (uint8_t)type, .flags = (uint8_t)flags, .tid = tid };
	e.h.size = sizeof(e);
	e.s = (struct ev_sock){ .cookie = cookie, .family = AF_INET, .lport = 80, .rport = 4000 };
	conns_data(&cs, &e);
}

static void recv_(uint32_t seq, const char *s)
{
	data(EV_RECV, 0, 7, 0, seq, s, 0, "");
	end(EV_RECV_END, 0, 7, 1, (int)strlen(s));
}

static void send_(uint32_t seq, const char *s)
{
	data(EV_SEND, 0, 7, 1, seq, s, 0, "");
}

static void state_(enum ev_state_what what, int flags, uint32_t seq)
{
	struct ev_state e = { .cookie = 1, .what = what, .seq = seq };

	e.h = (struct ev_hdr){ .ts_ns = 9, .type = EV_STATE, .flags = (uint8_t)flags, .size = sizeof(e) };
	conns_state(&cs, &e);
}

static void in_order(void **state)
{
	recv_(100, "ab");
	send_(500, "xy");
	recv_(102, "cd");
	send_(502, "z");
	assert_string_equal(said, ">ab\n<xy\n>cd\n<z\n");
}

static void what_is_missing_is_counted(void **state)
{
	recv_(100, "ab");
	recv_(107, "cd");
	send_(0, "x");
	send_(2000001, "y");
	data(EV_SEND, 0, 7, 1, 2000002, "head", 100, "tail");
	assert_string_equal(said, ">ab\n>(5 lost)cd\n<x\n<(2000000 lost)y\n<head(100)tail\n");
}

static void what_was_seen_is_dropped(void **state)
{
	recv_(100, "abcd");
	recv_(100, "abcd");
	recv_(99, "xab");
	recv_(102, "cdef");
	send_(50, "0");
	data(EV_SEND, 0, 7, 1, 48, "__1234", 10, "5678");
	data(EV_SEND, 0, 7, 1, 60, "..", 4, "8abc"); /* up to 68 was seen */
	data(EV_SEND, 0, 7, 1, 60, "....", 0, "");
	data(EV_SEND, 0, 7, 1, 64, "..", 8, "zyxw"); /* up to 70 was seen */
	assert_string_equal(said, ">abcd\n>ef\n<0\n<234(10)5678\n<bc\n<(4)zyxw\n");
}

static void numbers_wrap(void **state)
{
	recv_(0xfffffffeu, "abcd");
	recv_(2, "ef");
	recv_(0xfffffffeu, "abcdefg");
	recv_(4, "!");
	recv_(10, "h");
	send_(0xffffffffu, "x");
	send_(0, "y");
	send_(0xffffffffu, "xy");
	state_(EV_SHUT_OUT, 0, 5);
	assert_string_equal(said, ">abcd\n>ef\n>g\n>(5 lost)h\n<x\n<y\n<(4 lost)\nshut\n");
}

/* In 2^32 bytes and more nothing is lost or seen twice. */
static void more_than_four_gigabytes(void **state)
{
	uint32_t seq = 77, n = 0x3fffffff;
	int i;

	for (i = 0; i < 9; i++, seq += n + 1)
		data(EV_SEND, 0, 7, 1, seq, "", n, ".");
	for (i = 0; i < 9; i++)
		assert_null(strstr(said, "lost"));
	assert_int_equal(((struct conn *)hash_get(&cs.by_cookie, 1))->bytes[CONN_OUT], 9ull << 30);
}

static void peeks_move_nothing(void **state)
{
	data(EV_RECV, 0, 7, 0, 100, "ab", 0, "");
	end(EV_RECV_END, EV_PEEK, 7, 1, 2);
	recv_(100, "abcd");
	end(EV_RECV_END, EV_PEEK, 7, 1, 0);
	assert_string_equal(said, ">abcd\neof\n");
}

static void a_call_of_several_packets(void **state)
{
	data(EV_RECV, 0, 7, 0, 100, "ab", 0, "");
	data(EV_RECV, 0, 7, 0, 102, "cd", 50, "ef");
	data(EV_RECV, 0, 8, 0, 9000, "other", 0, ""); /* of another thread, on the same ports */
	data(EV_RECV, 0, 7, 0, 156, "gh", 0, "");
	end(EV_RECV_END, 0, 7, 1, 58);
	end(EV_RECV_END, 0, 8, 2, 5);
	assert_string_equal(said, ">ab\n>cd(50)ef\n>gh\n>other\n");
	assert_int_equal(cs.dropped, 0);
}

static void a_call_of_very_many_packets(void **state)
{
	uint32_t i, n = 5 * CONN_PENDING_MAX;
	char want[32];

	for (i = 0; i < n; i++)
		data(EV_RECV, 0, 7, 0, 100 + 2 * i, "a", 0, "b");
	end(EV_RECV_END, 0, 7, 1, (int)(2 * n));
	recv_(100 + 2 * n, "end");
	snprintf(want, sizeof(want), ">a(%u)\n>end\n", 2 * (n - CONN_PENDING_MAX) + 1);
	assert_non_null(strstr(said, want));
	assert_null(strstr(said, "lost"));
}

/* The end of a call was lost: its packets are none of the next call's. */
static void packets_of_another_call(void **state)
{
	data(EV_RECV, 0, 7, 0, 100, "abc", 0, "");
	data(EV_RECV, 0, 7, 0, 103, "def", 0, "");
	end(EV_RECV_END, 0, 7, 1, 3);
	recv_(106, "gh");
	data(EV_RECV, 0, 7, 0, 108, "xxxx", 0, "");
	end(EV_RECV_END, 0, 7, 1, 3);
	assert_int_equal(cs.dropped, 1);
	recv_(112, "i");
	assert_string_equal(said, ">def\n>gh\n>(4 lost)i\n");
}

static void packets_of_another_socket(void **state)
{
	struct ev_data e = { .ret = 3 };

	data(EV_RECV, 0, 7, 0, 100, "abc", 0, "");
	e.h = (struct ev_hdr){ .type = EV_RECV_END, .tid = 7, .size = sizeof(e) };
	e.s = (struct ev_sock){ .cookie = 2, .family = AF_INET, .lport = 81, .rport = 4000 };
	conns_data(&cs, &e);
	assert_string_equal(said, "");
	assert_int_equal(cs.dropped, 1);
	assert_int_equal(cs.by_cookie.used, 0);
	assert_int_equal(cs.pending.used, 0);
}

static void errors(void **state)
{
	recv_(100, "ab");
	end(EV_RECV_END, 0, 7, 1, -EINTR);
	end(EV_SEND, 0, 7, 1, -EFAULT);
	assert_string_equal(said, ">ab\n");
	end(EV_SEND, 0, 7, 1, -EPIPE);
	end(EV_RECV_END, 0, 7, 1, -ECONNRESET);
	end(EV_RECV_END, 0, 7, 1, 0);
	assert_string_equal(said, ">ab\nreset\n"); /* it is said once */
}

static void ends(void **state)
{
	recv_(100, "ab");
	send_(500, "xy");
	state_(EV_SHUT_OUT, EV_PEER_FIRST, 502);
	state_(EV_SHUT_OUT, 0, 502);
	state_(EV_CLOSED, 0, 502);
	assert_string_equal(said, ">ab\n<xy\neof\nshut\nclosed\n");
	assert_int_equal(gone, 1);
}

static void closed_without_a_shut(void **state)
{
	send_(500, "xy");
	state_(EV_CLOSED, 0, 0);
	assert_string_equal(said, "<xy\nreset\nclosed\n");
}

/* What a thread still says of a socket that is closed makes no new connection. */
static void late_records(void **state)
{
	size_t used;

	send_(500, "xy");
	state_(EV_CLOSED, 0, 0);
	said[0] = 0;
	used = cs.by_cookie.used;
	end(EV_SEND, 0, 7, 1, -EPIPE);
	end(EV_RECV_END, 0, 7, 1, 0);
	send_(502, "z");
	recv_(0, "z");
	state_(EV_SHUT_OUT, 0, 900);
	state_(EV_CLOSED, 0, 0);
	assert_string_equal(said, "");
	assert_int_equal(cs.by_cookie.used, used);
	assert_int_equal(gone, 1);
}

static void cookies_are_used_again(void **state)
{
	send_(500, "xy");
	state_(EV_OPENED, 0, 0);
	send_(3, "ab");
	assert_string_equal(said, "<xy\nreset\nclosed\n<ab\n");
}

/* Nobody saw it begin: its first bytes say that it is another one. Those of a connection that is open say nothing. */
static void cookies_of_sockets_not_accepted(void **state)
{
	send_(500, "xy");
	data(EV_SEND, EV_WHOLE | EV_FIRST, 8, 1, 502, "z", 0, "");
	state_(EV_SHUT_OUT, 0, 503);
	state_(EV_CLOSED, 0, 0);
	data(EV_RECV, EV_WHOLE, 8, 1, 9, "late", 0, "");
	data(EV_RECV, EV_WHOLE | EV_FIRST, 8, 1, 3, "ab", 0, "");
	assert_string_equal(said, "<xy\n<z\nshut\nclosed\n>ab\n");
	assert_int_equal(gone, 1);
}

static void unknown_sockets(void **state)
{
	state_(EV_SHUT_OUT, 0, 5);
	state_(EV_CLOSED, 0, 0);
	state_(EV_OPENED, 0, 0);
	end(EV_RECV_END, 0, 7, 1, 0);
	end(EV_RECV_END, 0, 7, 1, 10); /* its packets were lost */
	assert_string_equal(said, "");
	assert_int_equal(gone, 0);
}

static void whole_records(void **state)
{
	data(EV_RECV, EV_WHOLE, 7, 3, 0, "abc", 10, "d");
	data(EV_RECV, EV_WHOLE, 8, 3, 14, "e", 0, "");
	data(EV_SEND, EV_WHOLE, 8, 3, 0, "f", 0, "");
	assert_string_equal(said, ">abc(10)d\n>e\n<f\n");
	assert_int_equal(cs.pending.used, 0);
}

/* The one that was quiet for longest makes room, and it is said that it is followed no more. */
static void too_many(void **state)
{
	uint64_t i;

	for (i = 1; i <= CONN_MAX; i++)
		data(EV_SEND, 0, 7, i, 0, "", 1, "");
	said[0] = 0;
	data(EV_SEND, 0, 7, 1, 1, "", 1, ""); /* the oldest is busy again */
	assert_int_equal(cs.evicted, 0);
	data(EV_SEND, 0, 7, CONN_MAX + 1, 0, "", 1, "");
	data(EV_SEND, 0, 7, CONN_MAX + 2, 0, "", 1, "");
	assert_string_equal(said, "<(1)\nevicted\n<(1)\nevicted\n<(1)\n");
	assert_int_equal(cs.evicted, 2);
	assert_int_equal(cs.by_cookie.used, CONN_MAX);
	assert_non_null(hash_get(&cs.by_cookie, 1));
	assert_null(hash_get(&cs.by_cookie, 2));
	assert_null(hash_get(&cs.by_cookie, 3));
	assert_non_null(hash_get(&cs.by_cookie, 4));
}

static void many_come_and_go(void **state)
{
	struct ev_state e = { .h = { .type = EV_STATE, .size = sizeof(e) }, .what = EV_CLOSED };
	uint64_t i;

	for (i = 1; i <= 3 * CONN_CLOSED_MAX; i++) {
		data(EV_SEND, 0, 7, i, 0, "", 1, "");
		e.cookie = i;
		conns_state(&cs, &e);
	}
	assert_int_equal(gone, 3 * CONN_CLOSED_MAX);
	assert_int_equal(cs.by_cookie.used, CONN_CLOSED_MAX);
	assert_null(cs.newest);
}

static void addresses(void **state)
{
	struct ev_sock s = { .family = AF_INET, .lport = 80, .rport = 65535, .laddr = { 127, 0, 0, 1 },
			     .raddr = { 10, 1, 2, 3 } };
	char buf[64];

	conn_addr(&s, 0, buf, sizeof(buf));
	assert_string_equal(buf, "127.0.0.1:80");
	conn_addr(&s, 1, buf, sizeof(buf));
	assert_string_equal(buf, "10.1.2.3:65535");
	s = (struct ev_sock){ .family = AF_INET6, .lport = 80, .laddr = { [15] = 1 },
			      .raddr = { [10] = 0xff, 0xff, 192, 168, 0, 1 } };
	conn_addr(&s, 0, buf, sizeof(buf));
	assert_string_equal(buf, "[::1]:80");
	conn_addr(&s, 1, buf, sizeof(buf));
	assert_string_equal(buf, "192.168.0.1:0");
	s.family = AF_UNIX;
	conn_addr(&s, 0, buf, sizeof(buf));
	assert_string_equal(buf, "unix");
	s.family = 99;
	conn_addr(&s, 0, buf, sizeof(buf));
	assert_string_equal(buf, "?:80");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_order),
		TEST(what_is_missing_is_counted),
		TEST(what_was_seen_is_dropped),
		TEST(numbers_wrap),
		TEST(more_than_four_gigabytes),
		TEST(peeks_move_nothing),
		TEST(a_call_of_several_packets),
		TEST(a_call_of_very_many_packets),
		TEST(packets_of_another_call),
		TEST(packets_of_another_socket),
		TEST(errors),
		TEST(ends),
		TEST(closed_without_a_shut),
		TEST(late_records),
		TEST(cookies_are_used_again),
		TEST(cookies_of_sockets_not_accepted),
		TEST(unknown_sockets),
		TEST(whole_records),
		TEST(too_many),
		TEST(many_come_and_go),
		TEST(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
