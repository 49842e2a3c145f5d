// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The PMU `power`, as arch/x86/events/rapl.c publishes it: counts of 2^-32 J, one CPU of each package. */
#include "rig.h"

#include <linux/cpumask.h>
#include <linux/math64.h>
#include <linux/perf_event.h>

enum { EVENT_PACKAGE = 2, EVENT_DRAM = 3, EVENT_PLATFORM = 5 };

static struct cpumask readers;
static bool is_on;

static ssize_t cpumask_show(struct device *dev, struct device_attribute *attr, char *page)
{
	return sysfs_emit(page, "%*pbl\n", cpumask_pr_args(&readers));
}
static DEVICE_ATTR_RO(cpumask);

#define EVENT(name, id, config)                                                           \
	PMU_EVENT_ATTR_STRING(energy-name, id, "event=" config);                          \
	PMU_EVENT_ATTR_STRING(energy-name.unit, id##_unit, "Joules");                     \
	PMU_EVENT_ATTR_STRING(energy-name.scale, id##_scale, "2.3283064365386962890625e-10")
#define EVENT_ATTRS(id) &id.attr.attr, &id##_unit.attr.attr, &id##_scale.attr.attr

EVENT(pkg, ev_pkg, "0x02");
EVENT(ram, ev_ram, "0x03");
EVENT(psys, ev_psys, "0x05");
PMU_FORMAT_ATTR(event, "config:0-7");

static struct attribute *event_attrs[] = { EVENT_ATTRS(ev_pkg), EVENT_ATTRS(ev_ram), EVENT_ATTRS(ev_psys), NULL };
static struct attribute *format_attrs[] = { &format_attr_event.attr, NULL };
static struct attribute *cpu_attrs[] = { &dev_attr_cpumask.attr, NULL };

static umode_t event_visible(struct kobject *kobj, struct attribute *attr, int i)
{
	bool there = i / 3 == 0 || (i / 3 == 1 && rig_dram) || (i / 3 == 2 && rig_psys);

	return there ? attr->mode : 0;
}

static const struct attribute_group event_group = {
	.name = "events", .attrs = event_attrs, .is_visible = event_visible,
};
static const struct attribute_group format_group = { .name = "format", .attrs = format_attrs };
static const struct attribute_group cpu_group = { .attrs = cpu_attrs };
static const struct attribute_group *groups[] = { &event_group, &format_group, &cpu_group, NULL };

/* NULL: the counter is there and stands at 0, as that of the platform does in all packages but one. */
static struct meter *meter_of(const struct perf_event *event)
{
	int package = package_of(event->cpu);

	if (event->attr.config == EVENT_PLATFORM)
		return package ? NULL : &meters[ZONE_PLATFORM];
	return &meters[2 * package + (event->attr.config == EVENT_DRAM)];
}

static void rig_event_read(struct perf_event *event)
{
	struct meter *m = meter_of(event);
	u64 pj, count;

	if (!m || m->gone || meter_read_pj(m, &pj))
		return;
	count = mul_u64_u64_div_u64(pj, 1ull << 32, 1000000000000ull);
	local64_add(count - local64_xchg(&event->hw.prev_count, count), &event->count);
}

static void rig_event_start(struct perf_event *event, int flags)
{
	struct meter *m = meter_of(event);
	u64 pj = 0;

	if (m)
		(void)meter_read_pj(m, &pj);
	local64_set(&event->hw.prev_count, mul_u64_u64_div_u64(pj, 1ull << 32, 1000000000000ull));
	event->hw.state = 0;
}

static void rig_event_stop(struct perf_event *event, int flags)
{
	if (event->hw.state & PERF_HES_STOPPED)
		return;
	rig_event_read(event);
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
}

static int rig_event_add(struct perf_event *event, int flags)
{
	event->hw.state = PERF_HES_STOPPED | PERF_HES_UPTODATE;
	if (flags & PERF_EF_START)
		rig_event_start(event, flags);
	return 0;
}

static void rig_event_del(struct perf_event *event, int flags)
{
	rig_event_stop(event, flags);
}

static int rig_event_init(struct perf_event *event);

static struct pmu power = {
	.module = THIS_MODULE, .task_ctx_nr = perf_invalid_context, .attr_groups = groups,
	.capabilities = PERF_PMU_CAP_NO_EXCLUDE | PERF_PMU_CAP_NO_INTERRUPT,
	.event_init = rig_event_init, .add = rig_event_add, .del = rig_event_del,
	.start = rig_event_start, .stop = rig_event_stop, .read = rig_event_read,
};

static int rig_event_init(struct perf_event *event)
{
	u64 config = event->attr.config;

	if (event->attr.type != power.type)
		return -ENOENT;
	if (event->cpu < 0 || !cpumask_test_cpu(event->cpu, &readers) || event->attr.sample_period)
		return -EINVAL;
	if (config != EVENT_PACKAGE && !(config == EVENT_DRAM && rig_dram) && !(config == EVENT_PLATFORM && rig_psys))
		return -EINVAL;
	event->event_caps |= PERF_EV_CAP_READ_ACTIVE_PKG; /* any CPU of the package can read it, as of RAPL */
	return 0;
}

int rig_perf_start(void)
{
	int cpu, err;
	unsigned long have = 0;

	for_each_online_cpu(cpu)
		if (!(have & BIT(package_of(cpu)))) {
			have |= BIT(package_of(cpu));
			cpumask_set_cpu(cpu, &readers);
		}
	err = perf_pmu_register(&power, "power", -1);
	is_on = !err;
	return err;
}

void rig_perf_stop(void)
{
	if (is_on)
		perf_pmu_unregister(&power);
	is_on = false;
}
