// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * /proc/ipw_rig: `ledger` and `history` are the truth, as text now and as snapshots over time; to `control` one writes
 * lines, each of which is done at that very moment:
 *
 *	load COMM PACKAGE_MW DRAM_MW   what a CPU spends while a task of that name runs on it ("*": any other, "idle")
 *	charge COMM ZONE PJ            that load has spent this, now, on top of it
 *	base ZONE MW                   whatever runs
 *	meter ZONE|all KEY VALUE       see keys[]
 *
 * A zone is package-0, dram-0, package-1, dram-1 or psys; psys is all of these and its own base.
 */
#include "rig.h"

#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

static struct proc_dir_entry *dir;
static DEFINE_MUTEX(control_lock);

static void do_jump(struct meter *m, s64 value)
{
	meter_jump(m, value);
}

static void do_reset(struct meter *m, s64 value)
{
	meter_reset(m);
}

static const struct {
	const char *name;
	size_t      at;                                   /* where in struct meter the value goes; */
	void        (*do_it)(struct meter *m, s64 value); /* or what is done with it */
} keys[] = {
	{ "gain_ppm", offsetof(struct meter, gain_ppm) }, { "every", offsetof(struct meter, every) },
	{ "lag", offsetof(struct meter, lag) },           { "range_uj", offsetof(struct meter, range_uj) },
	{ "stall", offsetof(struct meter, stall) },       { "fail", offsetof(struct meter, fail) },
	{ "gone", offsetof(struct meter, gone) },         { "jump_uj", 0, do_jump },
	{ "reset", 0, do_reset },
};

static int zone_find(const char *name)
{
	int zone;

	for (zone = 0; zone < ZONES; zone++)
		if (!strcmp(meters[zone].name, name))
			return zone;
	return -ENOENT;
}

static int meter_set(struct meter *m, const char *key, s64 value)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].name, key))
			continue;
		if (keys[i].do_it)
			keys[i].do_it(m, value);
		else
			*(s64 *)((char *)m + keys[i].at) = value;
		return 0;
	}
	return -ENOENT;
}

static int meters_set(const char *name, const char *key, s64 value)
{
	int zone = zone_find(name), err = 0;

	if (zone >= 0)
		return meter_set(&meters[zone], key, value);
	if (strcmp(name, "all"))
		return zone;
	for (zone = 0; zone < ZONES && !err; zone++)
		err = meter_set(&meters[zone], key, value);
	return err;
}

static int base_set(const char *name, u32 mw)
{
	int zone = zone_find(name);

	if (zone < 0)
		return zone;
	truth_settle();
	base_mw[zone] = mw;
	return 0;
}

/* With the lock held. */
static int do_line(const char *line)
{
	char a[32], b[32];
	u32 mw, dram_mw;
	s64 value;

	if (sscanf(line, "load %31s %u %u", a, &mw, &dram_mw) == 3)
		return truth_load(a, mw, dram_mw);
	if (sscanf(line, "charge %31s %31s %lld", a, b, &value) == 3)
		return zone_find(b) < 0 ? -ENOENT : truth_charge(a, zone_find(b), value);
	if (sscanf(line, "base %31s %u", a, &mw) == 2)
		return base_set(a, mw);
	if (sscanf(line, "meter %31s %31s %lld", a, b, &value) == 3)
		return meters_set(a, b, value);
	return -EINVAL;
}

static ssize_t control_write(struct file *file, const char __user *buf, size_t size, loff_t *pos)
{
	char *text = memdup_user_nul(buf, min_t(size_t, size, 65536)), *rest = text, *line;
	unsigned long flags;
	int err = 0;

	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&control_lock);
	while (!err && (line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		raw_spin_lock_irqsave(&rig_lock, flags);
		err = do_line(line);
		raw_spin_unlock_irqrestore(&rig_lock, flags);
		if (!err && strstr(line, " gone "))
			err = powercap_sync();
	}
	mutex_unlock(&control_lock);
	kfree(text);
	return err ? err : size;
}

static void ledger_sums(struct seq_file *s, const char *what, const char *name, const u64 *pj, int n)
{
	int i;

	seq_printf(s, "%s %s", what, name);
	for (i = 0; i < n; i++)
		seq_printf(s, " %llu", pj[i]);
	seq_putc(s, '\n');
}

static int ledger_show(struct seq_file *s, void *unused)
{
	struct snap *now = kmalloc(sizeof(*now), GFP_KERNEL);
	unsigned long flags;
	int i;

	if (!now)
		return -ENOMEM;
	raw_spin_lock_irqsave(&rig_lock, flags);
	truth_settle();
	*now = truth;
	raw_spin_unlock_irqrestore(&rig_lock, flags);
	seq_printf(s, "time %llu\n", now->t_ns);
	for (i = 0; i < ZONES; i++)
		ledger_sums(s, "zone", meters[i].name, &now->pj[i], 1);
	for (i = 0; i < nloads; i++)
		ledger_sums(s, "load", loads[i].comm, &now->load[i].ns, 1 + CPU_ZONES);
	kfree(now);
	return 0;
}

static int ledger_open(struct inode *inode, struct file *file)
{
	return single_open(file, ledger_show, NULL);
}

/* What there is when it is opened. */
struct past {
	size_t      n;
	struct snap snap[];
};

static int history_open(struct inode *inode, struct file *file)
{
	struct past *past = vmalloc(sizeof(*past) + RIG_SNAPS * sizeof(past->snap[0]));

	if (!past)
		return -ENOMEM;
	past->n = history_read(past->snap, RIG_SNAPS);
	file->private_data = past;
	return 0;
}

static ssize_t past_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	struct past *past = file->private_data;

	return simple_read_from_buffer(buf, size, pos, past->snap, past->n * sizeof(past->snap[0]));
}

static int history_release(struct inode *inode, struct file *file)
{
	vfree(file->private_data);
	return 0;
}

static const struct proc_ops control_ops = { .proc_write = control_write };
static const struct proc_ops ledger_ops = {
	.proc_open = ledger_open, .proc_read = seq_read, .proc_lseek = seq_lseek, .proc_release = single_release,
};
static const struct proc_ops history_ops = {
	.proc_open = history_open, .proc_read = past_read, .proc_release = history_release,
};

int control_start(void)
{
	dir = proc_mkdir("ipw_rig", NULL);
	if (dir && proc_create("control", 0200, dir, &control_ops) && proc_create("ledger", 0400, dir, &ledger_ops) &&
	    proc_create("history", 0400, dir, &history_ops))
		return 0;
	control_stop();
	return -ENOMEM;
}

void control_stop(void)
{
	proc_remove(dir);
	dir = NULL;
}
