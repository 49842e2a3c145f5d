/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a source of energy or power is. One source is one file and one row in registry.c; it reports raw readings and
 * does no arithmetic on them: sampler.c alone stamps, scales, unwraps, integrates and drops duplicates.
 *
 * Absent is not broken: open() returns -ENODEV where the source does not exist here, another -errno where it exists
 * and cannot be had (-EACCES, -EPERM), and in both cases leaves the reason in `why`, in the words that a user reads.
 */
#ifndef IPW_COLLECTOR_H
#define IPW_COLLECTOR_H

#include <stddef.h>
#include <stdint.h>

#define CHANNEL_MAX     64 /* of all collectors together */
#define CHANNEL_NAME    32
#define CHANNEL_DEVICE  96
#define CHANNEL_NONE    (-1)
#define AVERAGED_UNKNOWN (-1)
#define GPU_USER_MAX    64

/*
 * Where the energy goes. Domains form a tree, platform over package over core and uncore; platform over DRAM too. A GPU
 * stands by itself. Only the tops of what is open are ever added up.
 */
enum domain {
	DOMAIN_PLATFORM = 0, /* psys: the whole board, as far as it says */
	DOMAIN_PACKAGE  = 1, /* one CPU socket */
	DOMAIN_CORE     = 2, /* the cores of a package */
	DOMAIN_UNCORE   = 3, /* the integrated GPU and the rest of a client package */
	DOMAIN_DRAM     = 4,
	DOMAIN_GPU      = 5, /* one accelerator board */
	DOMAIN_COUNT    = 6,
};

enum reading {
	READING_ENERGY = 0, /* a counter that only rises, but for wraps and resets */
	READING_POWER  = 1, /* a gauge */
};

struct channel {
	char        name[CHANNEL_NAME];     /* "package-0", "dram-0", "psys", "gpu0": unique in a run */
	char        device[CHANNEL_DEVICE]; /* what it is, for people: "NVIDIA H200"; may be empty */
	enum domain domain;
	enum reading reading;
	double      scale;     /* microjoule (or microwatt) in one unit of the raw value */
	double      wrap;      /* raw value at which the counter starts again from 0; 0: it never wraps */
	double      resolution; /* microjoule (or microwatt): the smallest step there is, as documented; 0: unknown */
	int         averaged_us; /* a gauge shows the mean of so long, as documented; 0: the moment; AVERAGED_UNKNOWN */
	double      accuracy;  /* part of the reading by which it may be off, as its maker states; 0: states none */
	uint32_t    period_us; /* how often the hardware refreshes it, as documented; 0: unknown, to be measured */
	int         unit;      /* which package or GPU: physical_package_id, NVML index; -1 for the whole machine */
	double      limit_w;   /* the cap on its power that is in force; 0: unknown */
	double      idle_w;    /* what it reads with nothing running, if the source knows; negative: unknown */
	int         estimated; /* 1: a model, not a meter */
	int         made_when_read; /* 1: there is no refresh to catch; period_us is how often reading is worth while */
};

struct raw {
	uint64_t value;
	int      valid; /* 0: this reading failed; the value means nothing */
};

/* A process that computes on a GPU. */
struct gpu_user {
	uint32_t pid;           /* as the driver says it: of the host's pid namespace */
	int      util_permille; /* share of the SMs lately; -1: unknown */
};

/* How the user wants the meters opened. The strings outlive the collector. */
struct meter_opts {
	const char *sysfs;        /* "/sys", or another root laid out like it */
	const char *procfs;       /* "/proc", likewise */
	double      model_idle_w; /* --power-model; negative: not given */
	double      model_max_w;
};

struct collector {
	const struct collector_ops *ops;
	const struct meter_opts    *opts;
	uint64_t (*now_ns)(void);          /* CLOCK_MONOTONIC, as the core stamps; a test puts its own */
	void                       *state; /* state_size bytes, zeroed, owned by the core */
	struct channel              ch[CHANNEL_MAX];
	int                         nch;
	char                        why[160]; /* why open() failed, or what is missing though it did not */
};

struct collector_ops {
	const char *name; /* as --meter takes it */
	const char *doc;  /* one line for `list` */
	size_t      state_size;
	/* Fills c->ch and c->nch. 0 or -errno; see the top of this file. */
	int (*open)(struct collector *c);
	/* Fills val[0 .. nch). 0, or -errno when nothing could be read at all. */
	int (*read)(struct collector *c, struct raw *val);
	/*
	 * Who computes on channel ch (a GPU). Returns how many there are, at most `max` of them in `u`, or -errno when
	 * that cannot be known. NULL: cannot be known.
	 */
	int (*users)(struct collector *c, int ch, struct gpu_user *u, int max);
	/* Accepts a collector whose open() failed half-way. */
	void (*close)(struct collector *c);
	/*
	 * A perf event that counts as channel ch does, for BPF programs to read on any CPU of the package: its
	 * descriptor, which stays the collector's, or -errno. NULL: there is none.
	 */
	int (*edge_fd)(struct collector *c, int ch);
	/* What read() would have given when that event stood at `count`. */
	void (*edge_raw)(struct collector *c, int ch, uint64_t count, struct raw *ret);
};

/* In order of preference; ends with NULL. */
extern const struct collector_ops *const collectors[];

#endif
