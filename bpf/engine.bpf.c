// SPDX-License-Identifier: GPL-2.0-only
/*
 * Engine steps: one event for each batch that an engine computed, whatever the engine. userspace/engine.c says on which
 * functions these programs sit; they are attached for one process each, so that others that map the same library have
 * no breakpoint in it and pay nothing.
 *
 * A step that is one function is from its entry to its return. The two are one call when their stack pointers are: a
 * return that never came (an exception, a thread that was ended) is replaced by the next entry, and of calls inside one
 * another the innermost is the step. A step that begins in one function and ends in another has no frame (sp 0): any
 * end in that thread ends it.
 */
#include "core.bpf.h"

/* No count of an llama_ubatch: versions that return by a hidden pointer have half of an address there. */
#define UBATCH_MAX 16384
#define BATCH_MAX  (1 << 24)

struct begun {
	__u64 ns;
	__u64 sp;     /* as its caller has it; 0: no frame */
	__s32 tokens;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* thread */
	__type(value, struct begun);
} begun SEC(".maps");

/* Calls of the server that compute in several steps, by thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} batches SEC(".maps");

__u64 step_hits; /* of all programs here: what they cost is told by it */

/* The stack pointer before the call, from that at the entry. */
#if defined(__TARGET_ARCH_x86)
#define CALLER_SP(ctx) (PT_REGS_SP(ctx) + 8)
#else
#define CALLER_SP(ctx) PT_REGS_SP(ctx)
#endif

static __always_inline int begin(__u64 sp, __s32 tokens)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct begun b = { .sp = sp, .tokens = tokens };

	__sync_fetch_and_add(&step_hits, 1);
	if (!target_of(id >> 32))
		return 0;
	b.ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&begun, &id, &b, BPF_ANY))
		count(EV_LOST_STEP);
	return 0;
}

static __always_inline int end(__u64 sp)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct ev_target *t = target_of(id >> 32);
	struct ev_step e = {};
	struct begun *b;
	__u32 *call;

	__sync_fetch_and_add(&step_hits, 1);
	b = t ? bpf_map_lookup_elem(&begun, &id) : NULL;
	if (!b || b->sp != sp)
		return 0;
	hdr_fill(&e.h, EV_STEP, t->slot, sizeof(e));
	e.begin_ns = b->ns;
	e.tokens = b->tokens;
	call = bpf_map_lookup_elem(&batches, &id);
	e.batch = call ? *call : 0;
	ev_output(&e, sizeof(e), EV_LOST_STEP);
	bpf_map_delete_elem(&begun, &id);
	return 0;
}

static __always_inline __s32 tokens_at(const void *p, __s32 max)
{
	__s32 n = -1;

	if (bpf_probe_read_user(&n, sizeof(n), p) || n < 1 || n > max)
		return -1;
	return n;
}

/* llama_context::process_ubatch(this, const llama_ubatch &, ...): its second member, at 4, is n_tokens. */
SEC("uprobe")
int engine_ubatch(struct pt_regs *ctx)
{
	return begin(0, tokens_at((const char *)PT_REGS_PARM2(ctx) + 4, UBATCH_MAX));
}

/* The server calls for a batch: the ubatches up to its next call are parts of one. */
SEC("uprobe")
int engine_decode(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 one = 1, *n = bpf_map_lookup_elem(&batches, &id);

	__sync_fetch_and_add(&step_hits, 1);
	if (n)
		*n += 1;
	else if (target_of(id >> 32))
		bpf_map_update_elem(&batches, &id, &one, BPF_ANY);
	return 0;
}

/* llama_decode(ctx, struct llama_batch): a struct too large for registers; its first member is n_tokens. */
SEC("uprobe")
int engine_batch(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_x86)
	const void *batch = (const void *)CALLER_SP(ctx); /* a copy on the stack */
#else
	const void *batch = (const void *)PT_REGS_PARM2(ctx); /* the address of a copy */
#endif

	return begin(CALLER_SP(ctx), tokens_at(batch, BATCH_MAX));
}

/* A function that computes a batch, and does not say how much is in it. */
SEC("uprobe")
int engine_call(struct pt_regs *ctx)
{
	return begin(CALLER_SP(ctx), -1);
}

SEC("uretprobe")
int engine_return(struct pt_regs *ctx)
{
	return end(PT_REGS_SP(ctx));
}

/*
 * vLLM's get_scheduler_metadata(long requests, long, long, long, const at::Tensor &, ScalarType, const at::Tensor &
 * query_start_loc, ...): the last says where each request's tokens begin in the batch, and then where the last one's
 * end. A tensor is a pointer to its TensorImpl, which has its Storage behind the vtable and the reference counts, as
 * that has the data: so for years in all versions of torch, and that the first of them is 0 says that we are right.
 */
struct tensor_head {
	__u64 vtable, counts, first;
};

static __always_inline __s32 tokens_of_tensor(const void *tensor, __u64 requests)
{
	struct tensor_head h = {};
	const void *impl = NULL;
	__s32 zero = -1, n;

	if (requests > BATCH_MAX || bpf_probe_read_user(&impl, sizeof(impl), tensor) ||
	    bpf_probe_read_user(&h, sizeof(h), impl) || bpf_probe_read_user(&h, sizeof(h), (const void *)h.first) ||
	    bpf_probe_read_user(&zero, sizeof(zero), (const void *)h.first) || zero)
		return -1;
	n = tokens_at((const __s32 *)h.first + requests, BATCH_MAX);
	return n < (__s32)requests ? -1 : n;
}

SEC("uprobe")
int engine_tensor(struct pt_regs *ctx)
{
	const void *tensor = NULL;

#if defined(__TARGET_ARCH_x86) /* the first register has where the result goes, the stack what is in none */
	if (bpf_probe_read_user(&tensor, sizeof(tensor), (const void *)(CALLER_SP(ctx) + 8)))
		tensor = NULL;
	return begin(0, tokens_of_tensor(tensor, PT_REGS_PARM2(ctx)));
#else
	tensor = (const void *)PT_REGS_PARM7(ctx);
	return begin(0, tokens_of_tensor(tensor, PT_REGS_PARM1(ctx)));
#endif
}

/* A function that is called before a batch is computed. */
SEC("uprobe")
int engine_before(struct pt_regs *ctx)
{
	return begin(0, -1);
}

/* And one that is called when it has been, or that has computed it and returns. */
SEC("uprobe")
int engine_after(struct pt_regs *ctx)
{
	return end(0);
}

char LICENSE[] SEC("license") __weak = "GPL";
