// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which query another one is a hop of, by what is seen of the two. */
#include "userspace/hops.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { FRONT = 10, INNER = 20, THIRD = 30 };

static struct hops hops;
static struct conn conns[16];
static int nconn, nfound;
static struct {
	uint64_t query, parent;
	enum wire_hop by;
} found;

static void on_found(void *ctx, uint64_t query, uint64_t parent, enum wire_hop by, uint64_t ts_ns)
{
	found.query = query;
	found.parent = parent;
	found.by = by;
	nfound++;
}

static int setup(void **state)
{
	hops = (struct hops){ .found = on_found };
	nconn = nfound = 0;
	return 0;
}

static int teardown(void **state)
{
	hops_release(&hops);
	return 0;
}

/* A connection of IPv4 between two ports, as process `tgid` sees it from the first. */
static struct conn *conn(uint32_t tgid, uint32_t tid, uint16_t lport, uint16_t rport)
{
	struct conn *c = &conns[nconn++];

	*c = (struct conn){ .tgid = tgid, .tid = tid, .slot = 1, .sent_ns = 1000000 };
	c->sock = (struct ev_sock){ .cookie = (uint64_t)nconn, .family = AF_INET, .lport = lport, .rport = rport };
	inet_pton(AF_INET, "127.0.0.1", c->sock.laddr);
	inet_pton(AF_INET, "127.0.0.1", c->sock.raddr);
	return c;
}

static void ask(uint64_t query, struct conn *c, const char *body, const char *id)
{
	struct wire_open open = { .start_ns = 100 * query };

	snprintf(open.request_id, sizeof(open.request_id), "%s", id);
	hops_open(&hops, query, c, &open, open.start_ns);
	hops_body(&hops, query, body, strlen(body));
	hops_request_end(&hops, query, open.start_ns + 1);
}

/* A query to the front, from a client that is not ours. */
static void front(uint64_t query, uint32_t tid, const char *body, const char *id)
{
	struct conn *c = conn(FRONT, tid, 80, (uint16_t)(1000 + query));

	hops_conn(&hops, c, 1);
	ask(query, c, body, id);
}

/* The front's thread asks the inner one. */
static struct conn *inner(uint64_t query, uint32_t tid, const char *body, const char *id)
{
	struct conn *ours = conn(FRONT, tid, (uint16_t)(2000 + query), 81);
	struct conn *theirs = conn(INNER, INNER, 81, (uint16_t)(2000 + query));

	hops_conn(&hops, ours, 1);
	hops_conn(&hops, theirs, 1);
	ask(query, theirs, body, id);
	return ours;
}

static void assert_found(uint64_t query, uint64_t parent, enum wire_hop by)
{
	assert_int_equal(nfound, 1);
	assert_int_equal(found.query, query);
	assert_int_equal(found.parent, parent);
	assert_int_equal(found.by, by);
	nfound = 0;
}

static void the_only_one(void **state)
{
	front(1, 1, "a", "");
	assert_int_equal(nfound, 0);
	inner(2, 5, "b", "");
	assert_found(2, 1, HOP_ONLY);
}

static void by_id_before_body_before_thread_before_order(void **state)
{
	front(1, 1, "one", "x");
	front(2, 2, "two", "y");
	front(3, 3, "three", "");
	inner(4, 1, "two", "y");
	assert_found(4, 2, HOP_ID);
	inner(5, 1, "three", "z");
	assert_found(5, 3, HOP_BODY);
	inner(6, 2, "other", "");
	assert_found(6, 2, HOP_THREAD);
	inner(7, 9, "other", "");
	assert_found(7, 1, HOP_ORDER); /* the only one without a hop */
}

#define CHAT   "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"%s\"}," \
	       "{\"role\":\"user\",\"content\":\"%s\"}],\"stream\":true}"
#define PROMPT "{\"prompt\":\"<|im_start|>system\\n%s<|im_end|>\\n<|im_start|>user\\n%s<|im_end|>\",\"n_predict\":7}"

/* The same words in another language, behind a beginning that all share. */
static void by_words(void **state)
{
	static const char system[] = "You are a helpful assistant that answers in one short and friendly sentence.";
	char body[512];

	snprintf(body, sizeof(body), CHAT, system, "Tell me\\nall about the river and the sea");
	front(1, 1, body, "");
	snprintf(body, sizeof(body), CHAT, system, "Tell me\\nall about a stone and a \\u00e4rmel");
	front(2, 1, body, "");
	snprintf(body, sizeof(body), PROMPT, system, "Tell me\\nall about a stone and a \xc3\xa4rmel");
	inner(3, 1, body, "");
	assert_found(3, 2, HOP_TEXT);
}

/* One that reads for all, and a send that was before the query. */
static void a_thread_that_says_nothing(void **state)
{
	struct conn *c;

	front(1, 1, "one", "");
	front(2, 1, "two", "");
	inner(3, 1, "other", "");
	assert_found(3, 1, HOP_ORDER);
	front(4, 7, "four", "");
	c = conn(FRONT, 7, 3000, 81);
	c->sent_ns = 399;
	hops_conn(&hops, c, 1);
	c = conn(INNER, INNER, 81, 3000);
	hops_conn(&hops, c, 1);
	ask(5, c, "other", "");
	assert_found(5, 2, HOP_ORDER);
}

static void bodies_alike_go_in_order(void **state)
{
	front(1, 1, "same", "");
	front(2, 1, "same", "");
	inner(3, 1, "same", "");
	assert_found(3, 1, HOP_BODY);
	inner(4, 1, "same", "");
	assert_found(4, 2, HOP_BODY);
}

static void long_bodies_by_their_beginning_and_length(void **state)
{
	char a[HOPS_BODY_MAX + 100], b[HOPS_BODY_MAX + 100];

	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	a[sizeof(a) - 1] = b[sizeof(b) - 2] = 0;
	front(1, 1, a, "");
	front(2, 1, b, "");
	inner(3, 1, b, "");
	assert_found(3, 2, HOP_BODY);
}

static void the_asker_seen_last(void **state)
{
	struct conn *theirs = conn(INNER, INNER, 81, 2000);

	front(1, 1, "a", "");
	hops_conn(&hops, theirs, 1);
	ask(2, theirs, "a", "");
	assert_int_equal(nfound, 0);
	hops_conn(&hops, conn(FRONT, 1, 2000, 81), 5);
	assert_found(2, 1, HOP_ONLY);
	hops_conn(&hops, conn(FRONT, 1, 2000, 81), 6); /* the same port again */
	assert_int_equal(nfound, 0);
}

static void ends_as_ipv6_maps_them(void **state)
{
	struct conn *theirs = conn(INNER, INNER, 81, 2000), *ours = conn(FRONT, 1, 2000, 81);

	theirs->sock.family = AF_INET6;
	inet_pton(AF_INET6, "::ffff:127.0.0.1", theirs->sock.laddr);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", theirs->sock.raddr);
	front(1, 1, "a", "");
	hops_conn(&hops, ours, 1);
	hops_conn(&hops, theirs, 1);
	ask(2, theirs, "a", "");
	assert_found(2, 1, HOP_ONLY);
}

static void unix_sockets(void **state)
{
	struct conn *theirs = conn(INNER, INNER, 0, 0), *ours = conn(FRONT, 1, 0, 0), *unknown = conn(FRONT, 1, 0, 0);

	theirs->sock.family = ours->sock.family = unknown->sock.family = AF_UNIX;
	memset(unknown->sock.laddr, 0, 16);
	memset(unknown->sock.raddr, 0, 16);
	memset(theirs->sock.laddr, 1, 16);
	memset(theirs->sock.raddr, 2, 16);
	memset(ours->sock.laddr, 2, 16);
	memset(ours->sock.raddr, 1, 16);
	front(1, 1, "a", "");
	hops_conn(&hops, unknown, 1);
	hops_conn(&hops, ours, 1);
	hops_conn(&hops, theirs, 1);
	ask(2, theirs, "a", "");
	assert_found(2, 1, HOP_ONLY);
}

static void no_hop(void **state)
{
	struct conn *c;

	/* the front has nothing in hand */
	inner(1, 1, "a", "");
	assert_int_equal(nfound, 0);
	/* what it has came later */
	front(3, 1, "a", "");
	inner(2, 1, "b", "");
	assert_int_equal(nfound, 0);
	/* it is over */
	hops_over(&hops, 3);
	inner(4, 1, "a", "");
	assert_int_equal(nfound, 0);
	/* it asks itself */
	front(5, 1, "a", "");
	hops_conn(&hops, conn(FRONT, 1, 4000, 80), 1);
	c = conn(FRONT, 2, 80, 4000);
	hops_conn(&hops, c, 1);
	ask(6, c, "a", "");
	assert_int_equal(nfound, 0);
	/* the two are different targets */
	hops_conn(&hops, conn(FRONT, 1, 4001, 81), 1);
	c = conn(INNER, INNER, 81, 4001);
	c->slot = 2;
	hops_conn(&hops, c, 1);
	ask(7, c, "a", "");
	assert_int_equal(nfound, 0);
}

static void gone_connections(void **state)
{
	struct conn *ours = conn(FRONT, 1, 2000, 81), *theirs = conn(INNER, INNER, 81, 2000);

	front(1, 1, "a", "");
	hops_conn(&hops, ours, 1);
	hops_conn(&hops, theirs, 1);
	hops_conn_gone(&hops, ours);
	ask(2, theirs, "a", "");
	assert_int_equal(nfound, 0);
	hops_over(&hops, 2);
	hops_conn_gone(&hops, theirs);
	hops_conn_gone(&hops, theirs);
}

static void hop_of_a_hop(void **state)
{
	struct conn *ours, *theirs;

	front(1, 1, "a", "");
	inner(2, 1, "a", "");
	assert_found(2, 1, HOP_ONLY);
	ours = conn(INNER, INNER, 5000, 82);
	theirs = conn(THIRD, THIRD, 82, 5000);
	hops_conn(&hops, ours, 1);
	hops_conn(&hops, theirs, 1);
	ask(3, theirs, "a", "");
	assert_found(3, 2, HOP_ONLY);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_only_one),
		TEST(by_id_before_body_before_thread_before_order),
		TEST(by_words),
		TEST(a_thread_that_says_nothing),
		TEST(bodies_alike_go_in_order),
		TEST(long_bodies_by_their_beginning_and_length),
		TEST(the_asker_seen_last),
		TEST(ends_as_ipv6_maps_them),
		TEST(unix_sockets),
		TEST(no_hop),
		TEST(gone_connections),
		TEST(hop_of_a_hop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
