// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/target.h"
#include "userspace/util/str.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Opens /proc/PID/FILE; NULL if the process is gone. */
static FILE *proc_open(uint32_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	return fopen(path, "re");
}

static uint32_t parent_of(uint32_t pid)
{
	FILE *f = proc_open(pid, "status");
	char line[256];
	uint32_t ppid = 0;

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "PPid: %u", &ppid) != 1)
		;
	if (f)
		fclose(f);
	return ppid;
}

/* --- what fits ---------------------------------------------------------------------------------------------------- */

static int is_below(const char *path, const char *what)
{
	size_t n = strlen(what);

	while (n > 1 && what[n - 1] == '/')
		n--;
	return !strncmp(path, what, n) && (!path[n] || path[n] == '/' || n == 1);
}

/* One part of the path is the unit's name. */
static int has_part(const char *path, const char *unit)
{
	size_t n = strlen(unit), len;

	for (; *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len < n || memcmp(path, unit, n))
			continue;
		if (len == n || (len == n + 8 && !memcmp(path + n, ".service", 8)))
			return 1;
	}
	return 0;
}

static int in_cgroup(uint32_t pid, enum find_by by, const char *what)
{
	FILE *f = proc_open(pid, "cgroup");
	char line[4096], *path;
	int hit = 0;

	if (by == FIND_CGROUP && !strncmp(what, CGROUP_ROOT "/", sizeof(CGROUP_ROOT)))
		what += sizeof(CGROUP_ROOT) - 1;
	while (f && !hit && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (path)
			hit = by == FIND_UNIT ? has_part(path + 1, what) : is_below(path + 1, what);
	}
	if (f)
		fclose(f);
	return hit;
}

static int fits(uint32_t pid, enum find_by by, const char *what)
{
	char comm[16];
	uint32_t tgid;

	if (target_resolve(pid, &tgid, comm))
		return 0; /* a kernel thread, or gone */
	switch (by) {
	case FIND_PORT:
		return target_listens_on(pid, (unsigned)strtoul(what, NULL, 10));
	case FIND_COMM:
		return !strncmp(comm, what, sizeof(comm) - 1);
	default:
		return in_cgroup(pid, by, what);
	}
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static int each_process(int (*fn)(uint32_t pid, void *ctx), void *ctx)
{
	DIR *dir = opendir("/proc");
	struct dirent *d;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir)))
		if (isdigit((unsigned char)d->d_name[0]))
			err = fn((uint32_t)strtoul(d->d_name, NULL, 10), ctx);
	closedir(dir);
	return err;
}

struct finding {
	enum find_by by;
	const char  *what;
	uint32_t    *pid;
	int          n;
};

static int take(uint32_t pid, void *ctx)
{
	struct finding *f = ctx;

	if (pid != (uint32_t)getpid() && f->n < TARGET_PIDS_MAX && fits(pid, f->by, f->what))
		f->pid[f->n++] = pid;
	return 0;
}

static int among(const struct finding *f, uint32_t pid)
{
	int i;

	for (i = 0; i < f->n; i++)
		if (f->pid[i] == pid)
			return 1;
	return 0;
}

int find_processes(enum find_by by, const char *what, uint32_t *ret, int max)
{
	struct finding f = { .by = by, .what = what, .pid = malloc(TARGET_PIDS_MAX * sizeof(uint32_t)) };
	int i, n = 0, err = f.pid ? each_process(take, &f) : -ENOMEM;
	uint32_t up;

	for (i = 0; !err && i < f.n; i++) {
		for (up = parent_of(f.pid[i]); up > 1 && !among(&f, up); up = parent_of(up))
			;
		if (up > 1)
			continue; /* in the tree of another */
		if (n < max)
			ret[n] = f.pid[i];
		n++;
	}
	free(f.pid);
	return err ? err : n;
}

/* --- servers ------------------------------------------------------------------------------------------------------ */

/* Libraries that compute for models, by a part of their file's name. */
static const char *const libraries[] = {
	"libllama", "libggml", "xllamacpp", "llama_cpp", "libtorch_cpu", "libtorch_cuda", "libcuda.so", "libamdhip64",
	"libonnxruntime", "libtensorrt", "libnvinfer", "libmlc_llm", "libopenvino", "libctranslate2",
};

static const char *computes(uint32_t pid)
{
	FILE *f = proc_open(pid, "maps");
	const char *hit = NULL, *name;
	char line[4096];
	size_t i;

	while (f && !hit && fgets(line, sizeof(line), f)) {
		name = strrchr(line, '/');
		for (i = 0; name && !hit && i < sizeof(libraries) / sizeof(*libraries); i++)
			hit = strstr(name, libraries[i]) ? libraries[i] : NULL;
	}
	if (f)
		fclose(f);
	return hit;
}

struct servers {
	struct find_server *ret;
	int n, max;
};

static int take_server(uint32_t pid, void *ctx)
{
	static uint32_t tree[TARGET_PIDS_MAX];
	struct servers *s = ctx;
	struct find_server *to = &s->ret[s->n];
	const char *why;
	uint32_t tgid;
	int i, n, nunix;

	if (s->n == s->max || target_resolve(pid, &tgid, to->comm))
		return 0;
	if (target_listens(pid, to->listens, sizeof(to->listens), &nunix) <= 0)
		return 0;
	tree[0] = pid;
	n = 1 + target_descendants(pid, tree + 1, TARGET_PIDS_MAX - 1);
	for (i = 0, why = NULL; i < n && !why; i++)
		why = computes(tree[i]);
	if (!why || pid == (uint32_t)getpid())
		return 0;
	to->pid = pid;
	to->processes = n;
	snprintf(to->why, sizeof(to->why), "%s", why);
	s->n++;
	return 0;
}

int find_servers(struct find_server *ret, int max)
{
	struct servers s = { .ret = ret, .max = max };
	int i, j, kept = 0, err = each_process(take_server, &s);
	uint32_t up;

	if (err)
		return err;
	/* A worker that listens too is in the tree of its front. */
	for (i = 0; i < s.n; i++) {
		for (up = parent_of(ret[i].pid), j = s.n; up > 1 && j == s.n; up = parent_of(up))
			for (j = 0; j < s.n && ret[j].pid != up; j++)
				;
		if (j == s.n)
			ret[kept++] = ret[i];
	}
	return kept;
}
