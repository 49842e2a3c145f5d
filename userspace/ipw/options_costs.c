// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The options on what queries take beside joules. */
#include "userspace/ipw/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS (WANT(COL_ENERGY) | WANT(COL_DURATION) | WANT(COL_TTFT) | WANT(COL_FLOPS) | WANT(COL_COST) | \
		 WANT(COL_PAID) | WANT(COL_BUSY) | WANT(COL_BYTES))

int ipw_take_amount(const char *s, double *ret)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !(v >= 0 && v <= 1e30))
		return -EINVAL;
	*ret = v;
	return 0;
}

int ipw_check_costs(struct ipw_opts *o, int command)
{
	const char *why = o->attention && !o->nfile ? "--attention needs --model-file" :
			  !isnan(o->embodied_g) && isnan(o->grid_g) ? "--embodied needs --grid" : NULL;

	if (why)
		say("%s", why);
	if (command == IPW_SCORE)
		o->costs |= o->nfile || o->devices || o->device || !isnan(o->kwh_usd) || !isnan(o->grid_g);
	return why ? -EINVAL : 0;
}

static int load_devices(struct ipw *w)
{
	unsigned line;
	int err = devices_load(&w->devices, w->o.devices, &line);

	if (err == -EBADMSG)
		say("cannot read '%s': line %u is not \"DEVICE TFLOPS GB_S\", by tabs", w->o.devices, line);
	else if (err)
		say("cannot read '%s': %s", w->o.devices ? w->o.devices : "the table of devices", strerror(-err));
	return err;
}

int ipw_load_costs(struct ipw *w)
{
	const struct ipw_opts *o = &w->o;
	char why[256];
	int i, err = load_devices(w);

	for (i = 0; i < o->nfile && !err; i++) {
		err = model_files_add(&w->files, o->file[i], why, sizeof(why));
		if (err == -EINVAL)
			say("bad value for --model-file: '%s' (it is MODEL=PATH)", o->file[i]);
		else if (err)
			say("cannot read '%s': %s", strchr(o->file[i], '=') + 1, why);
	}
	w->r.files = o->nfile ? &w->files : NULL;
	w->r.attention = o->attention;
	w->r.by_kwh = !isnan(o->kwh_usd);
	w->r.kwh_usd = o->kwh_usd;
	w->r.want |= o->costs ? COLUMNS : 0;
	return err;
}

void ipw_costs(const struct ipw *w, const struct config *c, const uint32_t *group, uint32_t which, struct costs *ret)
{
	struct costs_opts o = {
		.peak = devices_peak(&w->devices, w->o.device ? w->o.device : results_name(&w->r, c->hardware)),
		.grid_g = w->o.grid_g, .embodied_g = isnan(w->o.embodied_g) ? 0 : w->o.embodied_g,
	};

	costs_of(c, group, which, &o, ret);
}
