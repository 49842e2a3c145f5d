// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "collectors/rapl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/sysfs.h"
#include "collectors/why.h"

#define RAPL_PERIOD_US 1000 /* SDM vol. 3B: about 1 ms, package and DRAM alike */

static const struct {
	const char *name;
	enum domain domain;
} subzones[] = {
	{ "core", DOMAIN_CORE },
	{ "uncore", DOMAIN_UNCORE },
	{ "dram", DOMAIN_DRAM },
};

/* In order of preference: the second repeats what the first has. */
static const char *const prefixes[] = { "intel-rapl:", "intel-rapl-mmio:" };

int rapl_is_amd(const struct meter_opts *opts)
{
	char vendor[32];

	if (cpuinfo_get(opts->procfs, "vendor_id", vendor, sizeof(vendor)))
		return 0;
	return !strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine");
}

void rapl_channel(struct channel *ch, enum domain domain, int unit, int die)
{
	static const char *const name[DOMAIN_COUNT] = {
		[DOMAIN_PLATFORM] = "psys", [DOMAIN_PACKAGE] = "package", [DOMAIN_CORE] = "core",
		[DOMAIN_UNCORE] = "uncore", [DOMAIN_DRAM] = "dram",
	};

	memset(ch, 0, sizeof(*ch));
	if (domain == DOMAIN_PLATFORM)
		snprintf(ch->name, sizeof(ch->name), "%s", name[domain]);
	else if (die < 0)
		snprintf(ch->name, sizeof(ch->name), "%s-%d", name[domain], unit);
	else
		snprintf(ch->name, sizeof(ch->name), "%s-%d-die-%d", name[domain], unit, die);
	ch->domain = domain;
	ch->reading = READING_ENERGY;
	ch->period_us = RAPL_PERIOD_US;
	ch->unit = domain == DOMAIN_PLATFORM ? -1 : unit;
	ch->idle_w = -1;
}

static int zone_name(const struct meter_opts *opts, const char *dir, char *name, size_t size)
{
	return sysfs_text(name, size, opts->sysfs, "class/powercap/%s/name", dir);
}

/* Which package a zone called "package-N" or "package-N-die-M" is. */
static int parse_package(const char *name, struct rapl_zone *z)
{
	z->domain = DOMAIN_PACKAGE;
	z->die = -1;
	return sscanf(name, "package-%d-die-%d", &z->unit, &z->die) >= 1;
}

static int parse_psys(const char *name, struct rapl_zone *z)
{
	z->domain = DOMAIN_PLATFORM;
	z->unit = 0;
	z->die = -1;
	return !strcmp(name, "psys") || sscanf(name, "psys-%d", &z->unit) == 1;
}

/* A zone inside a package: which package, its parent says. */
static int parse_subzone(const struct meter_opts *opts, const char *name, struct rapl_zone *z)
{
	char parent[sizeof(z->dir)], parent_name[64];
	size_t i;

	snprintf(parent, sizeof(parent), "%s", z->dir);
	*strrchr(parent, ':') = 0;
	if (zone_name(opts, parent, parent_name, sizeof(parent_name)) || !parse_package(parent_name, z))
		return 0;
	for (i = 0; i < sizeof(subzones) / sizeof(subzones[0]); i++) {
		if (!strcmp(name, subzones[i].name)) {
			z->domain = subzones[i].domain;
			return 1;
		}
	}
	return 0;
}

static int zone_read(const struct meter_opts *opts, const char *dir, int amd, struct rapl_zone *z)
{
	uint64_t range = 0;
	char name[64];

	if ((size_t)snprintf(z->dir, sizeof(z->dir), "%s", dir) >= sizeof(z->dir) ||
	    zone_name(opts, dir, name, sizeof(name)))
		return 0;
	if (!parse_package(name, z) && !parse_psys(name, z) && !parse_subzone(opts, name, z))
		return 0;
	(void)sysfs_u64(&range, opts->sysfs, "class/powercap/%s/max_energy_range_uj", dir);
	z->wrap = (double)range;
	if (amd)
		z->die = -1;
	return !amd || z->domain == DOMAIN_PACKAGE;
}

static int zone_cmp(const void *x, const void *y)
{
	const struct rapl_zone *a = x, *b = y;

	if (a->domain != b->domain)
		return (int)a->domain - (int)b->domain;
	return a->unit != b->unit ? a->unit - b->unit : a->die - b->die;
}

static int is_known(const struct rapl_zone *zone, int n, const struct rapl_zone *z)
{
	while (n--)
		if (!zone_cmp(&zone[n], z) || (z->domain == DOMAIN_PLATFORM && zone[n].domain == DOMAIN_PLATFORM))
			return 1;
	return 0;
}

int rapl_zones(const struct meter_opts *opts, struct rapl_zone *zone, int max, char *why, size_t size)
{
	int n = 0, twice = 0, strange = 0, amd = rapl_is_amd(opts);
	struct rapl_zone z;
	struct dirent *e;
	char path[256];
	size_t i;
	DIR *d;

	if ((size_t)snprintf(path, sizeof(path), "%s/class/powercap", opts->sysfs) >= sizeof(path))
		return -ENAMETOOLONG;
	d = opendir(path);
	if (!d)
		return -errno;
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		for (rewinddir(d); (e = readdir(d));) {
			if (strncmp(e->d_name, prefixes[i], strlen(prefixes[i])))
				continue;
			if (!zone_read(opts, e->d_name, amd, &z) || n == max)
				strange++;
			else if (is_known(zone, n, &z))
				twice++;
			else
				zone[n++] = z;
		}
	}
	closedir(d);
	qsort(zone, (size_t)n, sizeof(*zone), zone_cmp);
	if (twice)
		why_add(why, size, "repeated zones left out: %d", twice);
	if (strange)
		why_add(why, size, "other zones left out: %d", strange);
	return n;
}
