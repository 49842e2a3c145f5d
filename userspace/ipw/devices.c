// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/devices.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "userspace/ipw/table.h"

/*
 * FLOP/s, BF16 on tensor or matrix cores without sparsity: the makers' data sheets (NVIDIA A100, H100, H200, L4, L40,
 * L40S; AMD Instinct MI300X), half of what they print with sparsity. Bytes/s: the same, and arXiv 2511.07885v4, table
 * 7, of A100 40 GB, H200, B200, GH200, Quadro RTX 6000, RTX 6000 Ada, MI300X and M4 Max.
 */
static const struct device builtin[] = {
	{ "NVIDIA A100-SXM4-40GB", 312, 1555 },
	{ "NVIDIA A100-PCIE-40GB", 312, 1555 },
	{ "NVIDIA A100-SXM4-80GB", 312, 2039 },
	{ "NVIDIA A100 80GB PCIe", 312, 1935 },
	{ "NVIDIA H100 80GB HBM3", 989.4, 3350 },
	{ "NVIDIA H100 PCIe", 756, 2000 },
	{ "NVIDIA H200", 989.4, 4800 },
	{ "NVIDIA GH200 144G HBM3e", NAN, 4800 },
	{ "NVIDIA B200", NAN, 8000 },
	{ "NVIDIA L4", 121, 300 },
	{ "NVIDIA L40", 181.05, 864 },
	{ "NVIDIA L40S", 362.05, 864 },
	{ "NVIDIA RTX 6000 Ada Generation", NAN, 960 },
	{ "Quadro RTX 6000", NAN, 672 },
	{ "AMD Instinct MI300X", 1307.4, 5300 },
	{ "Apple M4 Max", NAN, 546 },
};

static int read_rows(struct devices *d, unsigned *ret_line)
{
	char *rest = d->text, *line, *col[3];
	struct device *row;
	int err = 0, n;

	while (!err && (line = strsep(&rest, "\n"))) {
		++*ret_line;
		n = table_columns(line, col, 3);
		if (!n)
			continue;
		err = n == 3 ? table_room((void **)&d->row, d->n, sizeof(*d->row)) : -EBADMSG;
		if (err)
			break;
		row = &d->row[d->n];
		row->name = col[0];
		err = table_value(col[1], &row->tflops) || table_value(col[2], &row->gb_s) ? -EBADMSG : 0;
		d->n += !err;
	}
	return err;
}

int devices_load(struct devices *d, const char *path, unsigned *ret_line)
{
	int err;

	*d = (struct devices){ NULL, 0, NULL };
	*ret_line = 0;
	if (!path) {
		d->row = malloc(sizeof(builtin));
		if (!d->row)
			return -ENOMEM;
		memcpy(d->row, builtin, sizeof(builtin));
		d->n = sizeof(builtin) / sizeof(*builtin);
		return 0;
	}
	err = table_read(path, &d->text);
	if (!err)
		err = read_rows(d, ret_line);
	if (err)
		devices_release(d);
	return err;
}

void devices_release(struct devices *d)
{
	free(d->row);
	free(d->text);
	*d = (struct devices){ NULL, 0, NULL };
}

/* "H200" for "NVIDIA H200". */
static const char *without_maker(const char *name)
{
	static const char *const makers[] = { "NVIDIA ", "AMD Instinct ", "Apple " };
	size_t i;

	for (i = 0; i < sizeof(makers) / sizeof(*makers); i++)
		if (!strncasecmp(name, makers[i], strlen(makers[i])))
			return name + strlen(makers[i]);
	return name;
}

static const struct device *find(const struct devices *d, const char *name, size_t n)
{
	const char *whole, *tail;
	size_t i;

	for (i = 0; i < d->n; i++) {
		whole = d->row[i].name;
		tail = without_maker(whole);
		if ((strlen(whole) == n && !strncasecmp(whole, name, n)) ||
		    (strlen(tail) == n && !strncasecmp(tail, name, n)))
			return &d->row[i];
	}
	return NULL;
}

static void add(struct peak *p, const struct device *dev, double n)
{
	p->flops += dev ? n * 1e12 * dev->tflops : NAN;
	p->bytes += dev ? n * 1e9 * dev->gb_s : NAN;
}

struct peak devices_peak(const struct devices *d, const char *hardware)
{
	struct peak gpus = { 0, 0 }, rest = { 0, 0 };
	int ngpu = 0, nrest = 0, n, at, sockets;
	const struct device *dev;
	const char *p, *cap;
	size_t len;

	for (p = hardware; *p; p += len + strspn(p + len, ", ")) {
		const char *end = strstr(p, ", ");

		len = end ? (size_t)(end - p) : strlen(p);
		at = 0;
		if (sscanf(p, "%d x %n", &n, &at) == 1 && at && n > 0 && (size_t)at < len) {
			cap = memmem(p, len, " (cap ", 6);
			add(&gpus, find(d, p + at, (cap ? (size_t)(cap - p) : len) - (size_t)at), n);
			ngpu++;
		} else if ((dev = find(d, p, len))) {
			add(&rest, dev, end && sscanf(end, ", %d socket", &sockets) == 1 && sockets > 0 ? sockets : 1);
			nrest++;
		}
	}
	return ngpu ? gpus : nrest ? rest : (struct peak){ NAN, NAN };
}
