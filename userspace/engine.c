// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "userspace/util/elf.h"
#include "userspace/util/str.h"

#define LLAMA_FILES "libllama.so* *llama*.so llama-server koboldcpp* llamafile*"
#define GGML_FILES  "libggml-base*.so* libggml.so*"
#define VLLM_FILES  "_C.abi3.so _C_*.abi3.so"

/* llama_context::process_ubatch(const llama_ubatch &, llm_graph_type, llama_memory_context_i *, ggml_status &) */
#define UBATCH "_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_type" \
	       "P22llama_memory_context_iR11ggml_status"
#define METADATA "_Z22get_scheduler_metadata"

/*
 * llama.cpp. The finest step is a ubatch: a decode call of 2048 prompt tokens is four of 512, each of which reads all
 * weights once, so what a step costs beside its tokens comes once for each ubatch, not once for each call; and the call
 * knows how many tokens are in it. It computes in there on a CPU; with a GPU it returns when the work has been handed
 * over. Where the C++ names are gone, the calls of the C interface, of which llama_decode and llama_encode have their
 * count on the stack; older servers call these, newer ones llama_process (which has the batch behind a pointer of no
 * known layout). Where the names of libllama are gone too, as in Ollama's own runner, each graph.
 *
 * A C++ exception cannot pass a return that is watched: the process ends, caught or not. So of a ubatch the return is
 * that of what runs its graph, where nothing but a backend could throw, and what fails is told by a status; the calls
 * of the C interface, which hold more, are for want of better.
 *
 * vLLM on CPU: the attention's metadata are made once a step in each worker, just before the model runs; the sampler
 * asks for the best of the logits when it has run. Both are seen by their entry, as torch does throw exceptions there.
 * Of a tensor parallel engine every rank does both.
 */
const struct engine_way engine_ways[] = {
	{ "llama.cpp", LLAMA_FILES, 1, "a ubatch, with its tokens", {
		{ UBATCH, "engine_ubatch", UPROBE_ENTRY, 0 },
		{ "_ZN13llama_context13graph_computeE*", "engine_after", UPROBE_RETURN, 0 },
		{ "llama_decode", "engine_decode", UPROBE_ENTRY, 1 },
		{ "llama_encode", "engine_decode", UPROBE_ENTRY, 1 },
		{ "llama_process", "engine_decode", UPROBE_ENTRY, 1 } } },
	{ "llama.cpp", LLAMA_FILES, 1, "a decode call, with its tokens", {
		{ "llama_decode", "engine_batch", UPROBE_ENTRY, 0 },
		{ "llama_decode", "engine_return", UPROBE_RETURN, 0 },
		{ "llama_encode", "engine_batch", UPROBE_ENTRY, 1 },
		{ "llama_encode", "engine_return", UPROBE_RETURN, 1 },
		{ "llama_process", "engine_call", UPROBE_ENTRY, 1 },
		{ "llama_process", "engine_return", UPROBE_RETURN, 1 } } },
	{ "llama.cpp", LLAMA_FILES, 1, "a process call", {
		{ "llama_process", "engine_call", UPROBE_ENTRY, 0 },
		{ "llama_process", "engine_return", UPROBE_RETURN, 0 } } },
	{ "llama.cpp", GGML_FILES, 1, "a graph", {
		{ "ggml_backend_sched_graph_compute_async", "engine_call", UPROBE_ENTRY, 0 },
		{ "ggml_backend_sched_graph_compute_async", "engine_return", UPROBE_RETURN, 0 } } },
	{ "vLLM on CPU", VLLM_FILES, 0, "from the attention's metadata to the sampler, with its tokens", {
		{ METADATA "llllRKN2at6TensorEN3c1010ScalarTypeES2_*", "engine_tensor", UPROBE_ENTRY, 0 },
		{ "_Z13greedy_argmax*", "engine_after", UPROBE_ENTRY, 0 },
		{ "_Z19fused_gumbel_argmax*", "engine_after", UPROBE_ENTRY, 1 } } },
	{ "vLLM on CPU", VLLM_FILES, 0, "from the attention's metadata to the sampler", {
		{ METADATA "*", "engine_before", UPROBE_ENTRY, 0 },
		{ "_Z13greedy_argmax*", "engine_after", UPROBE_ENTRY, 0 },
		{ "_Z19fused_gumbel_argmax*", "engine_after", UPROBE_ENTRY, 1 } } },
	{ NULL, NULL, 0, NULL, { { NULL, NULL, UPROBE_ENTRY, 0 } } },
};

/* --- what is mapped ----------------------------------------------------------------------------------------------- */

static int is_among(const char *files, const char *base)
{
	char pattern[64];
	size_t n;

	for (; *files; files += n + (files[n] == ' ')) {
		n = strcspn(files, " ");
		snprintf(pattern, sizeof(pattern), "%.*s", (int)n, files);
		if (!fnmatch(pattern, base, 0))
			return 1;
	}
	return 0;
}

static int is_named(const char *path)
{
	const char *base = strrchr(path, '/');
	int i;

	for (i = 0; base && engine_ways[i].engine; i++)
		if (is_among(engine_ways[i].files, base + 1))
			return 1;
	return 0;
}

static const char gone[] = " (deleted)"; /* behind a name that is no longer there */

int engine_maps_line(const char *line, struct engine_module *ret)
{
	uint64_t start, end, ino;
	unsigned major, minor;
	char perms[8];
	int at = 0;
	size_t n;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %x:%x %" SCNu64 " %n", &start, &end, perms, &major, &minor,
		   &ino, &at) < 6 || !at || strlen(perms) < 4 || perms[2] != 'x' || !ino || start >= end)
		return 0;
	line += at;
	n = strcspn(line, "\n");
	if (*line != '/' || n >= sizeof(ret->path))
		return 0;
	*ret = (struct engine_module){ .start = start, .end = end, .dev = makedev(major, minor), .ino = ino };
	if (n > sizeof(gone) && !memcmp(line + n - (sizeof(gone) - 1), gone, sizeof(gone) - 1)) {
		ret->deleted = 1;
		n -= sizeof(gone) - 1;
	}
	str_clean(ret->path, sizeof(ret->path), line, n);
	ret->named = is_named(ret->path);
	return 1;
}

/* A file may be mapped in pieces. */
static int is_there(const struct engine_module *m, int n, const struct engine_module *what)
{
	while (n-- && (m[n].dev != what->dev || m[n].ino != what->ino))
		;
	return n >= 0;
}

/* What a link under /proc leads to, as a map would say it. */
static void read_link(const char *path, char *buf, size_t size)
{
	ssize_t n = readlink(path, buf, size - 1);

	buf[n > 0 ? n : 0] = 0;
	if (n > (ssize_t)sizeof(gone) && !strcmp(buf + n - (sizeof(gone) - 1), gone))
		buf[n - (ssize_t)(sizeof(gone) - 1)] = 0;
}

int engine_modules(uint32_t pid, struct engine_module *ret, int max)
{
	char path[64], line[512], exe[256];
	struct engine_module m;
	int n = 0, whole = 1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	read_link(path, exe, sizeof(exe)); /* of a kernel thread there is none */
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	/* The rest of a line that is longer than ours is no line. */
	for (; n < max && fgets(line, sizeof(line), f); whole = strchr(line, '\n') != NULL) {
		if (!whole || !engine_maps_line(line, &m))
			continue;
		m.exe = !strcmp(m.path, exe);
		if ((m.exe || m.named) && !is_there(ret, n, &m))
			ret[n++] = m;
	}
	fclose(f);
	return n;
}

int engine_is_further_rank(const char *title)
{
	const char *tp = strstr(title, "_TP");

	return tp && tp[3] >= '1' && tp[3] <= '9';
}

int engine_tells_again(uint32_t pid)
{
	char path[64], title[128];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	f = fopen(path, "re");
	if (f) {
		n = fread(title, 1, sizeof(title) - 1, f);
		fclose(f);
	}
	title[n] = 0; /* of a command line that is the first word */
	return engine_is_further_rank(title);
}

/* --- what is in it ------------------------------------------------------------------------------------------------ */

/* By what is mapped, whatever has its name now; for that takes a right more than tracing does, so else by the name. */
void engine_path(uint32_t pid, const struct engine_module *m, char *buf, size_t size)
{
	snprintf(buf, size, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, pid, m->start, m->end);
	if (access(buf, R_OK))
		snprintf(buf, size, "/proc/%u/root%s", pid, m->path);
}

/* A way is looked for in files of its names, and in the executable where it may be linked in. */
static int applies(const struct engine_module *m, int way)
{
	const char *base = strrchr(m->path, '/');

	return (m->exe && engine_ways[way].exe) || (base && is_among(engine_ways[way].files, base + 1));
}

/* By its name, it may be another file by now: then the breakpoints would be in that one. */
static int open_module(uint32_t pid, const struct engine_module *m)
{
	struct stat st;
	char path[320];
	int fd;

	engine_path(pid, m, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (strstr(path, "/map_files/") || (!fstat(fd, &st) && st.st_ino == m->ino))
		return fd;
	close(fd);
	return -ESTALE;
}

void engine_look(uint32_t pid, struct engine_module *m)
{
	struct elf_want want[ENGINE_WAYS * ENGINE_POINTS];
	int fd = open_module(pid, m), n = 0, w, i;

	m->err = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	for (w = 0; engine_ways[w].engine; w++)
		for (i = 0; applies(m, w) && i < ENGINE_POINTS && engine_ways[w].at[i].symbol; i++)
			want[n++] = (struct elf_want){ .name = engine_ways[w].at[i].symbol };
	m->err = elf_find(fd, want, n);
	close(fd);
	for (w = n = 0; engine_ways[w].engine && !m->err; w++)
		for (i = 0; applies(m, w) && i < ENGINE_POINTS && engine_ways[w].at[i].symbol; i++)
			m->at[w][i] = want[n++].offset;
}

int engine_has(const struct engine_module *m, int way)
{
	const struct engine_way *w = &engine_ways[way];
	int i;

	if (m->err || !applies(m, way))
		return 0;
	for (i = 0; i < ENGINE_POINTS && w->at[i].symbol; i++)
		if (!m->at[way][i] && !w->at[i].may_lack)
			return 0;
	return 1;
}

int engine_choose(const char *engine, const struct engine_module *m, int n)
{
	int w, i;

	for (w = 0; engine_ways[w].engine; w++)
		for (i = 0; i < n && !strcmp(engine_ways[w].engine, engine); i++)
			if (engine_has(&m[i], w))
				return w;
	return -1;
}
