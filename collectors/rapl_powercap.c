// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* RAPL through /sys/class/powercap: microjoules, as text, from files that only root may read. */
#include "collectors/collector.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "collectors/rapl.h"
#include "collectors/sysfs.h"
#include "collectors/why.h"

#define SEARCH_NS 250000000ull /* between two looks for a zone that has gone */

struct powercap {
	int      fd[CHANNEL_MAX]; /* of c->ch, up to c->nch */
	uint64_t sought_ns;
};

/* 0, or why this zone cannot be read. */
static int zone_open(struct collector *c, const struct rapl_zone *z)
{
	struct powercap *p = c->state;
	struct channel *ch = &c->ch[c->nch];
	int fd = sysfs_open(c->opts->sysfs, "class/powercap/%s/energy_uj", z->dir), err;
	uint64_t value;

	if (fd < 0)
		return fd;
	err = sysfs_pread_u64(fd, &value);
	if (err) {
		close(fd);
		return err;
	}
	rapl_channel(ch, z->domain, z->unit, z->die);
	ch->scale = 1;
	ch->wrap = z->wrap;
	ch->resolution = z->wrap / UINT32_MAX; /* the register has 32 bits, as energy_uj says in whole microjoules */
	p->fd[c->nch++] = fd;
	return 0;
}

static int no_zones(struct collector *c, int err)
{
	if (err == -ENOENT)
		why_add(c->why, sizeof(c->why), "no class/powercap: this kernel has no powercap");
	else if (err)
		why_add(c->why, sizeof(c->why), "class/powercap: %s", strerror(-err));
	else
		why_add(c->why, sizeof(c->why),
			"class/powercap has no RAPL zone: unknown CPU, a guest, or hidden from this container");
	return err == -EACCES || err == -EPERM ? err : -ENODEV;
}

static int powercap_open(struct collector *c)
{
	struct rapl_zone zone[CHANNEL_MAX];
	int n = rapl_zones(c->opts, zone, CHANNEL_MAX, c->why, sizeof(c->why)), i, err, refused = 0;

	if (n <= 0)
		return no_zones(c, n);
	for (i = 0; i < n; i++) {
		err = zone_open(c, &zone[i]);
		if (!err)
			continue;
		if (!refused)
			why_add(c->why, sizeof(c->why), "%s/energy_uj: %s%s", zone[i].dir, strerror(-err),
				err == -EACCES ? ": run as root or with CAP_DAC_READ_SEARCH" : "");
		refused = refused ? refused : err;
	}
	return c->nch ? 0 : refused;
}

/*
 * A zone comes again, under the same number or another, when its driver is loaded again or its package is. The file
 * that was open then fails for ever.
 */
static void find_again(struct collector *c, struct raw *val)
{
	struct rapl_zone zone[CHANNEL_MAX];
	struct powercap *p = c->state;
	uint64_t now = c->now_ns();
	struct channel ch;
	char ignored[8] = "";
	int n, i, z, fd;

	if (now - p->sought_ns < SEARCH_NS)
		return;
	p->sought_ns = now;
	n = rapl_zones(c->opts, zone, CHANNEL_MAX, ignored, sizeof(ignored));
	for (z = 0; z < n; z++) {
		rapl_channel(&ch, zone[z].domain, zone[z].unit, zone[z].die);
		for (i = 0; i < c->nch; i++) {
			if (val[i].valid || strcmp(c->ch[i].name, ch.name) || c->ch[i].wrap != zone[z].wrap)
				continue;
			fd = sysfs_open(c->opts->sysfs, "class/powercap/%s/energy_uj", zone[z].dir);
			if (fd < 0)
				continue;
			close(p->fd[i]);
			p->fd[i] = fd;
			val[i].valid = !sysfs_pread_u64(fd, &val[i].value);
		}
	}
}

static int powercap_read(struct collector *c, struct raw *val)
{
	struct powercap *p = c->state;
	int i, failed = 0;

	for (i = 0; i < c->nch; i++) {
		val[i].valid = !sysfs_pread_u64(p->fd[i], &val[i].value);
		failed |= !val[i].valid;
	}
	if (failed)
		find_again(c, val);
	return 0;
}

static void powercap_close(struct collector *c)
{
	struct powercap *p = c->state;

	while (c->nch)
		close(p->fd[--c->nch]);
}

const struct collector_ops rapl_powercap_collector = {
	.name       = "rapl_powercap",
	.doc        = "RAPL counters of CPU packages, DRAM and platform, from /sys/class/powercap",
	.state_size = sizeof(struct powercap),
	.open       = powercap_open,
	.read       = powercap_read,
	.close      = powercap_close,
};
