// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ipw-trace check: the doctor. Says what would be seen here and what not; exit 0 when -p would work. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collectors/sampler.h"
#include "userspace/cmd.h"
#include "userspace/live.h"
#include "userspace/opts.h"
#include "userspace/steps.h"
#include "userspace/target.h"
#include "userspace/util/fmt.h"

static void row(int ok, const char *what, const char *found)
{
	printf("  [%s] %-20s %s\n", ok > 0 ? " ok " : ok < 0 ? "FAIL" : "note", what, found);
}

static void first_line(const char *path, char *buf, size_t size, const char *absent)
{
	FILE *f = fopen(path, "re");

	snprintf(buf, size, "%s", absent);
	if (f && fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = 0;
	if (f)
		fclose(f);
}

/* The word in brackets is the one that holds. */
static void check_lockdown(void)
{
	char line[128];
	int confidential;

	first_line("/sys/kernel/security/lockdown", line, sizeof(line), "");
	confidential = strstr(line, "[confidentiality]") != NULL;
	row(confidential ? -1 : 1, "lockdown",
	    confidential ? "confidentiality: the kernel lets no BPF program read it" : line[0] ? line : "not there");
}

/* CapEff of /proc/self/status: bits 38 CAP_PERFMON, 39 CAP_BPF, 21 CAP_SYS_ADMIN. */
static void check_caps(void)
{
	unsigned long long caps = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");
	int ok;

	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "CapEff: %llx", &caps);
	if (f)
		fclose(f);
	ok = caps >> 21 & 1 || ((caps >> 38 & 1) && (caps >> 39 & 1));
	row(ok ? 1 : -1, "capabilities",
	    ok ? "enough to load BPF programs" : "CAP_BPF and CAP_PERFMON are missing: run as root");
}

static void check_kernel(void)
{
	struct utsname u;
	int btf = !access("/sys/kernel/btf/vmlinux", R_OK);
	char buf[16];

	uname(&u);
	row(1, "kernel", u.release);
	row(btf ? 1 : -1, "BTF", btf ? "/sys/kernel/btf/vmlinux" : "not there (CONFIG_DEBUG_INFO_BTF)");
	first_line("/proc/sys/net/core/bpf_jit_enable", buf, sizeof(buf), "?");
	row(buf[0] != '0', "BPF JIT", buf[0] == '0' ? "off: events cost several times more" : "on");
}

/* Of which processes the steps would be seen: of those that -p names and their descendants. */
static void check_engines(const struct opts *o)
{
	static uint32_t pids[TARGET_PIDS_MAX];
	char what[400], buf[512], comm[16];
	uint32_t tgid;
	int i, k, n, seen;

	for (i = 0; i < o->npid; i++) {
		if (target_resolve(o->pid[i], &tgid, comm)) {
			snprintf(buf, sizeof(buf), "%u: no such process", o->pid[i]);
			row(0, "engine steps", buf);
			continue;
		}
		pids[0] = tgid;
		n = 1 + target_descendants(tgid, pids + 1, TARGET_PIDS_MAX - 1);
		for (k = 0; k < n; k++) {
			seen = steps_explain(pids[k], what, sizeof(what));
			if (!target_resolve(pids[k], &tgid, comm)) {
				snprintf(buf, sizeof(buf), "%u (%s): %s", pids[k], comm, what);
				row(seen, "engine steps", buf);
			}
		}
	}
}

static void check_steps(const struct opts *o, struct live *l)
{
	char why[160], buf[256], cost[16];
	struct steps s;

	if (o->no_steps) {
		row(0, "engine steps", "off (--no-steps)");
		return;
	}
	if (steps_init(&s, l, NULL, 0, why, sizeof(why))) {
		snprintf(buf, sizeof(buf), "not seen: %s", why);
		row(0, "engine steps", buf);
		return;
	}
	snprintf(buf, sizeof(buf), "of llama.cpp and of vLLM on CPU, by %s; each is two hits, of %s us here",
		 uprobe_multi() ? "uprobe_multi" : "perf events", fmt3(cost, sizeof(cost), s.hit_ns * 1e-3));
	row(1, "engine steps", buf);
	steps_release(&s);
	check_engines(o);
}

static int check_tracing(const struct opts *o)
{
	char why[640] = "", buf[128];
	struct live *l = NULL;
	int err = live_new(o->net, LIVE_RING_BYTES, 0, &l, why, sizeof(why));

	if (err)
		row(-1, "network tier", why);
	else {
		snprintf(buf, sizeof(buf),
			 "%s: TCP servers over plain HTTP/1 are seen; TLS, HTTP/2 and unix sockets are not",
			 net_tier_name(live_tier(l)));
		row(1, "network tier", buf);
		row(1, "BPF programs", "loaded and attached");
		check_steps(o, l);
	}
	live_free(l);
	return err;
}

static void check_meters(const struct opts *o)
{
	struct sampler *s = NULL;
	const struct source_status *st;
	const struct meter *m;
	const char *bad;
	char buf[256];
	int i, n, err = sampler_new(&o->meter, o->meters, &s, &bad);

	if (err == -ENOENT) {
		row(-1, "energy", "no such source");
		return;
	}
	n = s ? sampler_meters(s, &m) : 0;
	for (i = 0; i < n; i++) {
		snprintf(buf, sizeof(buf), "from %s%s", m[i].source,
			 m[i].ch.estimated ? ": ESTIMATED from CPU utilisation, there is no meter" : "");
		row(!m[i].ch.estimated, m[i].ch.name, buf);
	}
	if (!n)
		row(0, "energy", "no source: queries are seen, joules are not");
	n = s ? sampler_status(s, &st) : 0;
	for (i = 0; i < n; i++)
		if (st[i].err)
			row(0, st[i].name, st[i].why);
	sampler_free(s);
}

int cmd_check(int argc, char **argv)
{
	struct opts o;
	int err = opts_parse(&o, CMD_CHECK, argc, argv);

	if (err)
		return err == 1 ? 0 : err;
	printf("ipw-trace %s\n", IPW_VERSION);
	check_kernel();
	check_lockdown();
	check_caps();
	err = check_tracing(&o);
	check_meters(&o);
	printf("%s\n", err ? "ipw-trace -p PID would not work here" : "ipw-trace -p PID works here");
	return err ? 1 : 0;
}
