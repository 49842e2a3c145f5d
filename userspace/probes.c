// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/probes.h"

#include <stddef.h>
#include <string.h>

const struct probe probes[] = {
	{ "task_fork", "sched_process_fork", "a child belongs to the target from its first instruction", USE_ALWAYS },
	{ "task_exec", "sched_process_exec", "a process of the target runs another program", USE_ALWAYS },
	{ "task_exit", "sched_process_exit", "a process of the target is gone", USE_ALWAYS },
	{ "sched_switch", "sched_switch", "on-CPU time of the target and of all", USE_ALWAYS },
	{ "tp_send_start", "tcp_sendmsg_locked", "tier tp: bytes sent, entry of the call", USE_TP },
	{ "tp_send_end", "sock_send_length", "tier tp: how many of them went out", USE_TP },
	{ "tp_recv", "skb_copy_datagram_iovec", "tier tp: bytes received", USE_TP },
	{ "tp_recv_end", "sock_recv_length", "tier tp: end of a receive call", USE_TP },
	{ "tp_state", "inet_sock_set_state", "tier tp: close and reset", USE_TP },
	{ "sys_enter", "sys_enter", "tier sys: what a system call is about to do with a socket", USE_SYS },
	{ "sys_exit", "sys_exit", "tier sys: what it did", USE_SYS },
	{ "sys_state", "inet_sock_set_state", "tier sys: close and reset of TCP", USE_SYS_TCP },
	{ "engine_ubatch", "uprobe ubatch", "engine steps: llama.cpp begins a ubatch, with its tokens", USE_STEPS },
	{ "engine_decode", "uprobe decode", "engine steps: llama.cpp is called for a batch of ubatches", USE_STEPS },
	{ "engine_batch", "uprobe batch", "engine steps: llama.cpp begins a decode call, with its tokens", USE_STEPS },
	{ "engine_call", "uprobe call", "engine steps: a call computes a batch", USE_STEPS },
	{ "engine_return", "uretprobe return", "engine steps: the call has returned", USE_STEPS },
	{ "engine_before", "uprobe before", "engine steps: vLLM on CPU is about to run the model", USE_STEPS },
	{ "engine_tensor", "uprobe tensor", "engine steps: the same, with its tokens", USE_STEPS },
	{ "engine_after", "uprobe after", "engine steps: the batch has been computed", USE_STEPS },
	{ NULL, NULL, NULL, USE_ALWAYS },
};

static const char *const tier_names[NET_TIERS] = { "auto", "tp", "sys" };
static const char *const state_names[] = { "off", "on", "absent", "refused" };

const char *net_tier_name(enum net_tier t)
{
	return tier_names[t];
}

enum net_tier net_tier_find(const char *name)
{
	int t;

	for (t = 0; t < NET_TIERS && strcmp(tier_names[t], name); t++)
		;
	return (enum net_tier)t;
}

const char *probe_state_name(enum probe_state s)
{
	return state_names[s];
}
