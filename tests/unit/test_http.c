// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The HTTP stage by itself: what it takes from a head, how it passes on bodies and gaps, what it does at the ends. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/http.h"

static struct http h;
static struct conn conn;
static struct http_head last; /* the head that came last */
static char said[65536];      /* the calls, as text */
static int  living;           /* exchanges that have not gone */
static uint64_t now;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

static void on_request(void *ctx, struct http_x *x, const struct http_head *head)
{
	last = *head;
	living++;
	say("request %s %s\n", head->method, head->path);
}

/* Pieces of a body that follow one another are one. */
static void say_body(const char *what, const char *p, size_t n)
{
	size_t len = strlen(said), m = strlen(what);

	if (!p) {
		say("%s missing %zu\n", what, n);
		return;
	}
	/* "what [....]\n" grows */
	if (len > 2 && said[len - 1] == '\n' && said[len - 2] == ']') {
		char *line = said + len - 1;

		while (line > said && line[-1] != '\n')
			line--;
		if (!strncmp(line, what, m) && line[m] == ' ' && line[m + 1] == '[') {
			said[len - 2] = 0;
			say("%.*s]\n", (int)n, p);
			return;
		}
	}
	say("%s [%.*s]\n", what, (int)n, p);
}

static void on_request_body(void *ctx, struct http_x *x, const char *p, size_t n)
{
	say_body("ask", p, n);
}

static void on_request_end(void *ctx, struct http_x *x, uint64_t ts_ns)
{
	say("asked\n");
}

static void on_response(void *ctx, struct http_x *x, const struct http_head *head, const struct bytes *b)
{
	living += !x->start_ns;
	if (head)
		last = *head;
	say("response %d\n", head ? head->status : -1);
}

static void on_response_body(void *ctx, struct http_x *x, const char *p, size_t n, const struct bytes *b)
{
	say_body("answer", p, n);
}

static void on_trouble(void *ctx, struct http_x *x, enum http_trouble t)
{
	say(t == HTTP_EVENTS_LOST ? "events lost\n" : "trouble\n");
}

static void on_over(void *ctx, struct http_x *x, enum http_over how, uint64_t enter_ns, uint64_t ret_ns)
{
	static const char *const hows[] = { "?", "done", "cancel", "cut", "lost" };

	say("over %s\n", hows[how]);
}

static void on_gone(void *ctx, struct http_x *x)
{
	living--;
}

static const struct http_ops ops = {
	.request = on_request, .request_body = on_request_body, .request_end = on_request_end, .response = on_response,
	.response_body = on_response_body, .trouble = on_trouble, .over = on_over, .gone = on_gone,
};

static int setup(void **state)
{
	memset(&conn, 0, sizeof(conn));
	memset(&last, 0, sizeof(last));
	said[0] = 0;
	living = 0;
	now = 1000;
	http_init(&h, &ops, NULL, &conn);
	return 0;
}

static int teardown(void **state)
{
	http_release(&h);
	assert_int_equal(living, 0);
	return 0;
}

static void anew(void)
{
	http_release(&h);
	assert_int_equal(living, 0);
	setup(NULL);
}

/* A message with `gap` bytes in its middle that are not copied. */
static void message(enum conn_dir dir, uint64_t lost, const char *head, uint32_t nhead, uint32_t gap, const char *tail)
{
	uint32_t ntail = (uint32_t)strlen(tail);
	char *copy = malloc(nhead + ntail + 1);
	struct bytes b = { .dir = dir, .enter_ns = now, .ret_ns = now + 1, .lost = lost, .head = copy, .nhead = nhead,
			   .tail = copy + nhead, .ntail = ntail, .total = nhead + gap + ntail };

	memcpy(copy, head, nhead);
	memcpy(copy + nhead, tail, ntail);
	now += 10;
	conn.bytes[dir] += b.total;
	http_bytes(&h, &b);
	free(copy);
}

static void in(const char *s)
{
	message(CONN_IN, 0, s, (uint32_t)strlen(s), 0, "");
}

static void out(const char *s)
{
	message(CONN_OUT, 0, s, (uint32_t)strlen(s), 0, "");
}

static void heads_are_taken(void **state)
{
	in("POST http://me:80/v1/x?key=secret#f HTTP/1.1\r\nhost: me\r\nX-REQUEST-ID:\t id 7 \t\r\n"
	   "Content-Type: a/b; c\r\n"
	   "TraceParent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ncontent-ENCODING: gzip\r\n"
	   "Content-Length: 0\r\nnonsense\r\n: empty\r\n\r\n");
	assert_string_equal(said, "request POST /v1/x\nasked\n");
	assert_string_equal(last.request_id, "id 7");
	assert_string_equal(last.type, "a/b; c");
	assert_string_equal(last.encoding, "gzip");
	assert_string_equal(last.trace_id, "0af7651916cd43dd8448eb211c80319c");
	assert_int_equal(last.minor, 1);
	assert_int_equal(last.length, 0);
	out("HTTP/1.0 404 Not Found\r\nContent-Length: 3\r\n\r\nabc");
	assert_int_equal(last.status, 404);
	assert_int_equal(last.minor, 0);
	assert_string_equal(last.request_id, "");
}

static void bad_traces_are_not(void **state)
{
	static const char *const bad[] = {
		"", "x", "00-0af7651916cd43dd8448eb211c80319c",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
		"0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-012",
	};
	char line[256];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(line, sizeof(line), "GET / HTTP/1.1\r\ntraceparent: %s\r\n\r\n", bad[i]);
		in(line);
		assert_string_equal(last.trace_id, "");
		out("HTTP/1.1 204 No\r\n\r\n");
	}
}

static void start_lines(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1", "GET  HTTP/1.1\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.2\r\n\r\n", "G@T / HTTP/1.1\r\n\r\n", "VERYLONGMETHODNAME / HTTP/1.1\r\n\r\n",
		"GET /HTTP/1.1\r\n\r\n", " GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 \r\n\r\n", "\x01\r\n\r\n",
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		anew();
		in(bad[i]);
		assert_string_equal(said, "");
	}
	anew();
	in("\r\n\r\nM-SEARCH * HTTP/1.0\r\n\r\n");
	assert_string_equal(said, "request M-SEARCH *\nasked\n");
}

static void bodies(void **state)
{
	in("POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
	out("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n"
	    "0\r\nTrailer: 1\r\n\r\n");
	in("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
	out("HTTP/1.1 200 OK\r\n\r\nto the ");
	out("end");
	http_conn_over(&h, CONN_SHUT, now);
	assert_string_equal(said, "request POST /a\nask [hello]\nasked\n"
			    "response 200\nanswer [abc0123456789]\nover done\n"
			    "request POST /b\nask [hi]\nasked\nresponse 200\nanswer [to the end]\nover done\n");
}

static void answers_without_a_body(void **state)
{
	in("HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nCONNECT a:1 HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nHTTP/1.1 304 No\r\nContent-Length: 10\r\n\r\n"
	    "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(h.depth, 1);
	out("HTTP/1.1 200 Connected\r\n\r\nanything");
	assert_int_equal(h.opaque, HTTP_UPGRADED);
	assert_non_null(strstr(said, "over lost"));
}

/* Gaps inside a body of known length, or in one chunk, are passed on and cost nothing else. */
static void gaps_within_a_body(void **state)
{
	static const char req[] = "POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nab";

	message(CONN_IN, 0, req, sizeof(req) - 1, 90, "cdefgh01");
	out("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nxy");
	message(CONN_OUT, 50, "z", 1, 46, "w\r\n0\r\n\r\n");
	assert_string_equal(said, "request POST /a\nask [ab]\nask missing 90\nask [cdefgh01]\nasked\n"
			    "response 200\nanswer [xy]\nevents lost\nanswer missing 50\nanswer [z]\nanswer missing 46\n"
			    "answer [w]\nover done\n");
}

static void a_gap_across_chunks_is_found_again(void **state)
{
	in("GET / HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
	message(CONN_OUT, 20, "3\r\nxyz\r\n", 8, 0, "");
	out("0\r\n");
	out("\r\n");
	assert_string_equal(said, "request GET /\nasked\nresponse 200\nanswer [ab]\nevents lost\ntrouble\n"
			    "answer missing 0\nanswer [xyz]\nover done\n");
}

/* Sizes that do not add up prove nothing, and the framing stays lost until a message begins. */
static void a_false_chunk_is_not(void **state)
{
	in("GET / HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
	message(CONN_OUT, 20, "3\r\nxyz\r\n7\r\nno", 13, 0, "");
	message(CONN_OUT, 0, "abc\r\n", 5, 0, "");
	in("GET /2 HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	assert_string_equal(said, "request GET /\nasked\nresponse 200\nanswer [ab]\nevents lost\ntrouble\nover lost\n"
			    "request GET /2\nasked\nresponse 200\nanswer [x]\nover done\n");
}

static void the_tail_of_a_message_is_searched(void **state)
{
	in("GET / HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	message(CONN_OUT, 0, "5\r\nhello\r\n5\r\nwo", 15, 30, "ld\r\n5\r\nagain\r\n3\r\nxyz\r\n0\r\n\r\n");
	assert_string_equal(said, "request GET /\nasked\nresponse 200\nanswer [hellowo]\ntrouble\nanswer missing 0\n"
			    "answer [againxyz]\nover done\n");
}

static void ends_of_connections(void **state)
{
	in("GET /1 HTTP/1.1\r\n\r\n");
	http_conn_over(&h, CONN_EOF, now);
	out("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"); /* Go ends what was cancelled */
	assert_string_equal(said, "request GET /1\nasked\nover cancel\nresponse 200\nanswer [x]\nover done\n");
	anew();
	in("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx");
	http_conn_over(&h, CONN_SHUT, now);
	in("GET /3 HTTP/1.1\r\n\r\n");
	out("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345");
	http_conn_over(&h, CONN_CLOSED, now);
	assert_string_equal(said, "request GET /1\nasked\nrequest GET /2\nasked\nresponse 200\nanswer [x]\n"
			    "over cut\nover cut\n");
	assert_int_equal(living, 0);
	anew();
	in("POST /1 HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
	http_conn_over(&h, CONN_EVICTED, now);
	assert_string_equal(said, "request POST /1\nask [abc]\nover lost\n");
	assert_int_equal(living, 0);
}

/* An answer before the request is complete: the exchange lives until the request has been read. */
static void an_early_answer(void **state)
{
	in("POST /1 HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
	out("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(living, 1);
	in("defghijGET /2 HTTP/1.1\r\n\r\n");
	assert_int_equal(living, 1);
	out("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(said, "request POST /1\nask [abc]\nresponse 400\nover done\nask [defghij]\nasked\n"
			    "request GET /2\nasked\nresponse 200\nover done\n");
	in("POST /3 HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
	out("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
	http_conn_over(&h, CONN_CLOSED, now);
	assert_int_equal(living, 0);
}

static void memory_is_bounded(void **state)
{
	char line[4096];
	int i;

	in("GET / HTTP/1.1\r\nX: ");
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	for (i = 0; i < 1000; i++)
		in(line);
	assert_int_equal(h.side[CONN_IN].nline, HTTP_LINE_MAX);
	in("\r\nContent-Length: 2\r\n\r\nok");
	assert_string_equal(said, "request GET /\nask [ok]\nasked\n");
	/* A start line may not go on for ever. */
	anew();
	in("GET /");
	for (i = 0; i < 20; i++)
		in(line);
	assert_null(h.side[CONN_IN].line);
}

static void too_many_under_way(void **state)
{
	int i;

	for (i = 0; i < HTTP_PIPELINE_MAX; i++)
		in("GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(h.opaque, HTTP_READABLE);
	in("GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(h.opaque, HTTP_PIPELINED);
	assert_int_equal(living, 0);
}

static void every_reason_has_words(void **state)
{
	int i;

	for (i = HTTP_READABLE; i <= HTTP_PIPELINED; i++)
		assert_non_null(http_why((enum http_opaque)i));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(heads_are_taken),
		TEST(bad_traces_are_not),
		TEST(start_lines),
		TEST(bodies),
		TEST(answers_without_a_body),
		TEST(gaps_within_a_body),
		TEST(a_gap_across_chunks_is_found_again),
		TEST(a_false_chunk_is_not),
		TEST(the_tail_of_a_message_is_searched),
		TEST(ends_of_connections),
		TEST(an_early_answer),
		TEST(memory_is_bounded),
		TEST(too_many_under_way),
		TEST(every_reason_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
