// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Edges in the order of their times, what meters said at them, and what they make of the ticks. */
#include "tests/unit/fake_meter.h"
#include "userspace/edges.h"

#define FD   77
#define WRAP 1000000000

static struct pipeline p;
static struct edges edges;
static struct run run = { .nslot = 1 };
static struct idle idle[2] = { { IDLE_NONE, 0 }, { IDLE_NONE, 0 } };

/* What reached the sinks, in order: 'l'ook, 'e'dge, 's'ample. */
static char seen[256];
static uint64_t seen_ns[256];
static int nseen;

static void note(char what, uint64_t t_ns)
{
	if (nseen == sizeof(seen) - 1)
		return;
	seen_ns[nseen] = t_ns;
	seen[nseen++] = what;
	seen[nseen] = 0;
}

static void on_look(struct sink *s, const struct activity *a)
{
	note('l', a->t_ns);
}

static void on_edge(struct sink *s, const struct activity *a)
{
	note('e', a->t_ns);
}

static void on_sample(struct sink *s, const struct sample *m)
{
	note('s', m->t_ns);
}

static const struct sink_ops sink_ops = { .name = "test", .activity = on_look, .edge = on_edge, .sample = on_sample };

static int edge_fd(struct collector *c, int ch)
{
	return FD;
}

/* The edges' event was opened when the counter stood at 1000. */
static void edge_raw(struct collector *c, int ch, uint64_t count, struct raw *ret)
{
	*ret = (struct raw){ .value = count + 1000, .valid = 1 };
}

static struct collector_ops meter_ops;
static const struct collector_ops *const list[] = { &meter_ops, NULL };

static int setup(void **state)
{
	struct sink sink = { .ops = &sink_ops };
	const char *bad;

	meter_ops = fake_collector;
	meter_ops.edge_fd = edge_fd;
	meter_ops.edge_raw = edge_raw;
	fake_reset();
	fake_channel("package-0")->wrap = WRAP;
	assert_int_equal(sampler_new_from(list, &fake_env, &fake_opts, NULL, &sampler, &bad), 0);
	assert_int_equal(sampler_meters(sampler, &meters), 1);
	nseen = 0;
	edges = (struct edges){ .pipeline = &p };
	assert_int_equal(edges_find(&edges, sampler, meters, 1), 0);
	edges.channel[0] = 0; /* as edges_attach() has it from the kernel's side */
	assert_int_equal(pipeline_init(&p, &run, meters, 1, idle, &sink, 1), 0);
	return 0;
}

static int teardown(void **state)
{
	pipeline_release(&p);
	return fake_stop(state);
}

static int wait_for_edges(void *ctx, const struct sample *m)
{
	edges_sample(&edges, m);
	return 0;
}

/* A look at T0 + us: the counter stands at `uj`, slot 1 has been on the CPU for mine_us. */
static void look(uint64_t us, uint64_t uj, uint64_t mine_us)
{
	struct activity a = { .t_ns = T0 + us * 1000, .ngroup = 1 };

	a.group[0].busy_ns = a.group[0].slot_ns[1] = mine_us * 1000;
	fake.now = a.t_ns;
	fake.val[0].value = uj;
	edges_look(&edges, &a);
	assert_int_equal(sampler_tick(sampler, wait_for_edges, NULL), 0);
}

/* After an event that began or ended a phase. */
static void edge(uint64_t us, uint64_t uj, uint64_t mine_us, uint32_t read)
{
	struct ev_edge e = { .read = read, .count = { uj - 1000 }, .ngroup = 1 };

	e.h = (struct ev_hdr){ .ts_ns = T0 + us * 1000, .type = EV_EDGE, .size = sizeof(e) };
	e.cpu[0].busy_ns = e.cpu[0].slot_ns[1] = mine_us * 1000;
	p.phases++;
	edges_event(&edges, &e.h);
}

static void other(uint64_t us)
{
	struct ev_hdr h = { .ts_ns = T0 + us * 1000, .type = EV_SEND, .size = sizeof(h) };

	edges_event(&edges, &h);
}

static const struct tick *tick(uint64_t k)
{
	return timeline_tick(&p.timeline, k);
}

/*
 * A server that waits at 10 W and computes at 100 W from 5.3 ms on, between looks at 0, 11 and 22 ms: 10 W x 5.3 ms
 * = 53000 uJ, 100 W x 5.7 ms = 570000 uJ. Without the edge 53/110 of it would be before.
 */
static void test_power_changes(void **state)
{
	const uint64_t start = WRAP - 100000; /* it goes round after the edge */

	fake.val[0].value = start;
	look(0, start, 0);
	edges_flush(&edges);
	look(11000, (start + 623000) % WRAP, 5700);
	edge(5300, start + 53000, 0, 1);
	edges_flush(&edges);
	assert_string_equal(seen, "lsesls");
	assert_int_equal(edges.used, 1);
	assert_int_equal(edges.read, 1);
	look(22000, (start + 1723000) % WRAP, 16700);
	edges_flush(&edges);
	assert_int_equal(p.timeline.closed, 3);
	assert_near(tick(0)->energy_uj[0], 53000, 1e-6);
	assert_near(tick(1)->energy_uj[0], 570000, 1e-6);
	assert_near(tick(2)->energy_uj[0], 1100000, 1e-6);
	assert_near(tick(0)->share[0], 0, 0);
	assert_near(tick(1)->share[0], 1, 0);
	assert_int_equal(tick(0)->read[0] & TICK_READ_END, TICK_READ_END);
	assert_int_equal(tick(1)->read[0] & TICK_READ_BEGIN, TICK_READ_BEGIN);
}

/* An edge whose meter the kernel did not read, or that says what cannot be: it cuts, and is interpolated. */
static void test_refused(void **state)
{
	look(0, 0, 0);
	edges_flush(&edges);
	look(10000, 10000, 8000);
	edge(2000, 1000, 0, 0);
	edge(4000, 500000, 2000, 1); /* more than 6 ms later */
	edges_flush(&edges);
	assert_int_equal(edges.used, 2);
	assert_int_equal(edges.read, 0);
	assert_int_equal(edges.refused, 2);
	assert_near(tick(0)->energy_uj[0], 2000, 1e-6);
	assert_near(tick(1)->energy_uj[0], 2000, 1e-6);
	assert_near(tick(2)->energy_uj[0], 6000, 1e-6);
	assert_int_equal(tick(0)->read[0] & TICK_READ_END, 0);
	assert_int_equal(tick(1)->read[0], 0);
	assert_near(p.timeline.ch[0].energy_uj, 10000, 1e-6);
}

/* What the ring brings after a look, but happened before, is handed on before it, and what happened later is not. */
static void test_order(void **state)
{
	look(0, 0, 0);
	edges_flush(&edges);
	look(10000, 1000, 0);
	other(9000);
	assert_string_equal(seen, "ls");
	other(10500);
	assert_string_equal(seen, "lsls");
	edge(13000, 1300, 0, 1);
	look(20000, 2000, 0);
	edge(12000, 1200, 0, 1); /* older than what has been handed on */
	edges_flush(&edges);
	assert_string_equal(seen, "lslsesls");
	assert_int_equal(edges.late, 1);
	for (int i = 1; i < nseen; i++)
		assert_true(seen_ns[i - 1] <= seen_ns[i]);
}

/* Just before a look there is nothing to gain; and there are never more than the timeline has room for. */
static void test_few(void **state)
{
	uint64_t us, i;

	look(0, 0, 0);
	edges_flush(&edges);
	look(10000, 100, 0);
	edge(9900, 10, 0, 1);
	edges_flush(&edges);
	assert_int_equal(edges.near, 1);
	assert_int_equal(edges.used, 0);
	edge(10100, 110, 0, 1);
	assert_int_equal(edges.used, 1);
	for (us = 11000, i = 0; i < 3000; i++, us += 1000) {
		if (i % 10 == 9)
			look(us, us / 100, 0);
		else
			edge(us, us / 100, 0, 1);
		edges_flush(&edges);
	}
	assert_true(edges.used <= EDGES_BURST + 300 / EDGES_LOOKS + 1);
	assert_true(edges.used >= EDGES_BURST);
	assert_int_equal(edges.used + edges.many, 2701);
}

/* The calls between two phases are no edges, such as the head of an answer before its first token. */
static void test_no_phase(void **state)
{
	look(0, 0, 0);
	edges_flush(&edges);
	edge(3000, 30, 0, 1);
	p.phases--;
	edge(5000, 50, 0, 1);
	assert_string_equal(seen, "lses");
	assert_int_equal(edges.idle, 1);
}

/* CPU time that an edge saw a little too much of does not go back. */
static void test_never_back(void **state)
{
	look(0, 0, 0);
	edges_flush(&edges);
	look(10000, 1000, 5000);
	edge(9000, 900, 5003, 1);
	edges_flush(&edges);
	assert_near(tick(0)->share[0], 1, 0);
	assert_near(tick(1)->share[0], 0, 0);
	assert_int_equal(tick(1)->nobody[0], 1);
}

/* What is no whole edge, or of other packages than the looks, is left alone. */
static void test_broken(void **state)
{
	struct ev_edge e = { .ngroup = EV_GROUPS + 1 };

	look(0, 0, 0);
	edges_flush(&edges);
	e.h = (struct ev_hdr){ .ts_ns = T0 + 5000000, .type = EV_EDGE, .size = sizeof(e) };
	p.phases++;
	edges_event(&edges, &e.h);
	look(10000, 1000, 5000);
	edge(5000, 500, 9000, 1); /* more CPU time than there was */
	assert_int_equal(edges.late, 1);
	edges.late = 0;
	p.phases++;
	e.ngroup = 2;
	e.h.size = offsetof(struct ev_edge, cpu) + sizeof(e.cpu[0]);
	edges_event(&edges, &e.h);
	e.h.size = sizeof(e);
	edges_event(&edges, &e.h);
	assert_int_equal(edges.late, 1);
	assert_int_equal(edges.used, 0);
	assert_string_equal(seen, "ls");
}

/* At the end of a run samples come without looks, more than there are places: all are handed on. */
static void test_flushed(void **state)
{
	struct sample m = { 0 };
	int i, n = nseen;

	for (i = 0; i < 2 * CHANNEL_MAX; i++) {
		m.t_ns = edges.pipeline->timeline.last.t_ns + (uint64_t)i + 1;
		m.energy_uj = i;
		edges_sample(&edges, &m);
		edges_flush(&edges);
	}
	assert_int_equal(nseen - n, 2 * CHANNEL_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_power_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_few, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_phase, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flushed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
