/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The recording: the inputs of everything right of the wire, in the order in which the pipeline took them, so that a
 * report is the same arithmetic on the same numbers. It holds no byte of a request or an answer, no header but the two
 * ids, no command line; but for what --task asks for, an identifier that the client chose.
 *
 *   struct rec_file, then blocks: struct rec_block + `len` bytes of records.
 *
 * A record starts with struct rec; `len` is a multiple of 8 and counts the whole record, so a reader skips types that
 * it does not know and ignores what a later version appended. A block is written with one write() and carries a
 * CRC-32 (zlib's), so that a recording is readable up to the last flush, and a damaged block costs itself alone.
 * Little-endian. Strings are NUL-terminated and clean to print. Times are CLOCK_MONOTONIC nanoseconds.
 *
 * Order: at each look at the CPUs a REC_ACTIVITY, then the readings that were taken just after it, then (once a second)
 * REC_GPU, then the wire events and steps that came until the next look. An event's own time (of a step its end) may
 * lie before the look that precedes it, not before the one before that. REC_EDGE, between two looks and in the order
 * of their times, are the CPUs where a phase of a query begins or ends; REC_SAMPLE of the same time follow, of the
 * meters that were read there. Of a query WIRE_REQUEST comes before
 * WIRE_RESPONSE, and that before the rest. REC_END is the last record.
 */
#ifndef IPW_SINK_RECORDING_H
#define IPW_SINK_RECORDING_H

#include <stdint.h>

#define REC_MAGIC       "IPWDATA"
#define REC_VERSION     1
#define REC_ENDIAN      0x01020304u
#define REC_BLOCK_MAGIC 0x42575049u /* "IPWB" */
#define REC_BLOCK_MAX   65536
#define REC_FLUSH_NS    1000000000ull

struct rec_file {
	char     magic[8];
	uint32_t version;
	uint32_t endian;
};
_Static_assert(sizeof(struct rec_file) == 16, "rec_file");

struct rec_block {
	uint32_t magic;
	uint32_t len;
	uint32_t crc; /* of the records: crc32(seq, records, len), so that a block in the wrong place is no block */
	uint32_t seq; /* 0, 1, 2, ... */
};
_Static_assert(sizeof(struct rec_block) == 16, "rec_block");

enum rec_type {
	REC_RUN      = 1,
	REC_TARGET   = 2,
	REC_METER    = 3,
	REC_ACTIVITY = 4,
	REC_SAMPLE   = 5,
	REC_GPU      = 6,
	REC_END      = 7,
	REC_OPEN     = 8,
	REC_UNREAD   = 9,
	REC_STEP     = 10,
	REC_EDGE     = 11, /* struct rec_activity */
	REC_WIRE     = 32, /* + enum wire_kind, but for WIRE_OPEN */
};

struct rec {
	uint16_t type;
	uint16_t len;
	uint32_t n;
};
_Static_assert(sizeof(struct rec) == 8, "rec");

struct rec_run {
	struct rec r; /* n: number of slots */
	uint64_t start_ns;
	int64_t  wall_offset_ns;
	uint32_t interval_ms;
	uint32_t nmeter;
	char     version[32], hardware[256], kernel[128], net[16];
};
_Static_assert(sizeof(struct rec_run) == 464, "rec_run");

struct rec_target {
	struct rec r; /* n: slot */
	uint32_t pid;
	char     comm[20];
};
_Static_assert(sizeof(struct rec_target) == 32, "rec_target");

struct rec_meter {
	struct rec r; /* n: index */
	uint32_t domain, reading, estimated, period_us;
	int32_t  unit, parent;
	uint32_t idle_source;      /* enum idle_source: 1 auto, 2 given, 3 known of a model, 4 none */
	uint32_t accuracy_ppm;     /* 0: its maker states none */
	double   idle_w;           /* NAN: to be found */
	char     name[32], device[96], source[32];
};
_Static_assert(sizeof(struct rec_meter) == 208, "rec_meter");

struct rec_activity {
	struct rec r; /* n: CPU packages; each: int64 id, busy_ns, then slot_ns of slots 1 .. nslot; all since attach */
	uint64_t t_ns;
	uint64_t val[];
};

struct rec_sample {
	struct rec r; /* n: channel | flags << 16 (enum sample_flag: 1 gap before it, 2 the counter stood still) */
	uint64_t t_ns;
	double   energy_uj; /* since the run began; the first of a channel is where it begins */
};
_Static_assert(sizeof(struct rec_sample) == 24, "rec_sample");

struct rec_gpu {
	struct rec r; /* n: channel | known << 16; it holds for the ticks that end after it, until the next */
	uint64_t t_ns;
	double   slot[]; /* parts of the GPU's work that are those of slots 1 .. nslot */
};

struct rec_end {
	struct rec r;
	uint64_t end_ns; /* the last look */
	uint64_t lost_events, evicted;
	double   tracer_cpu_s;
	uint64_t unread[8]; /* connections that were not read, by enum http_opaque */
	uint64_t steps_off_ns; /* engine steps were off since, as they cost too much; 0, or not there: they were not */
	double   steps_rate, steps_hit_ns; /* hits a second, what each cost */
};
_Static_assert(sizeof(struct rec_end) == 128, "rec_end");

struct rec_open {
	struct rec r; /* n: slot */
	uint64_t ts_ns, query, start_ns;
	uint32_t pid, pad;
	char     dialect[24], path[128], client[64], server[64], request_id[64], trace_id[40];
};
_Static_assert(sizeof(struct rec_open) == 424, "rec_open");

/* A connection that was not read, when it was over. */
struct rec_unread {
	struct rec r; /* n: slot */
	uint64_t start_ns, end_ns;
	int64_t  in, out; /* bytes; -1: not known */
	uint32_t pid, why; /* enum http_opaque: 1 TLS, 2 HTTP/2, 3 upgraded, 4 the process is the client, 5 no HTTP,
			      6 pipelined beyond what is followed */
	char     client[64], server[64];
};
_Static_assert(sizeof(struct rec_unread) == 176, "rec_unread");

/* The engine computed one batch. */
struct rec_step {
	struct rec r; /* n: slot */
	uint64_t begin_ns, end_ns;
	int32_t  tokens; /* in the batch; -1: not known */
	uint32_t pid;
	uint32_t batch;  /* those of a process with the same number are parts of one; 0, or not there: not known */
	uint32_t pad;
};
_Static_assert(sizeof(struct rec_step) == 40, "rec_step");

/* REC_WIRE + kind. The tail is there for the kinds that have one: a token event is 24 bytes. */
struct rec_wire {
	struct rec r; /* n: wire_ev.n */
	uint64_t ts_ns, query;
	union {
		int64_t usage[3];  /* WIRE_USAGE: prompt, cached, completion */
		int64_t stream;    /* WIRE_RESPONSE */
		uint64_t end_ns;   /* WIRE_OVER */
		uint64_t parent;   /* WIRE_HOP */
		char    model[128]; /* WIRE_MODEL, WIRE_DIALECT, WIRE_TASK: the string */
	};
};

#endif
