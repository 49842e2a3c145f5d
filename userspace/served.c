// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/served.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/find.h"
#include "userspace/ipw/model_file.h"
#include "userspace/tree.h"

#define MODELS 8     /* of one server */
#define WORDS  65536 /* bytes of a command line or an environment */

/* Models that have been found: each once, all parts of one as one. */
struct found {
	char path[MODELS][PATH_MAX];
	int  n;
};

static int ends(const char *s, const char *with)
{
	size_t n = strlen(s), k = strlen(with);

	return n > k && !strcmp(s + n - k, with);
}

const char *served_path(char *line)
{
	char *p = strchr(line, '/');

	line[strcspn(line, "\n")] = 0;
	return p && (ends(p, ".gguf") || ends(p, ".safetensors")) ? p : NULL;
}

/* A folder for one of its safetensors; the first part for another one. */
static void add(struct found *f, const char *path)
{
	char at[PATH_MAX], *dash;
	int i;

	snprintf(at, sizeof(at), "%s", path);
	if (ends(at, ".safetensors"))
		*strrchr(at, '/') = 0;
	dash = strlen(at) > 20 ? at + strlen(at) - 20 : NULL;
	if (dash && dash[0] == '-' && !strncmp(dash + 6, "-of-", 4) && ends(dash, ".gguf"))
		memcpy(dash + 1, "00001", 5);
	for (i = 0; i < f->n && strcmp(f->path[i], at); i++)
		;
	if (i == f->n && f->n < MODELS)
		memcpy(f->path[f->n++], at, sizeof(at));
}

/*
 * The kernel says paths as seen from our own root, and those that cannot be reached from there as seen from the root of
 * the process: of a container's, but not of a chroot's.
 */
static void add_seen(struct found *f, uint32_t pid, const char *p)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "/proc/%u/root%s", pid, p);
	add(f, access(path, R_OK) ? p : path);
}

/* --- what a process has open -------------------------------------------------------------------------------------- */

static void add_mapped(struct found *f, uint32_t pid)
{
	char line[PATH_MAX + 128], path[32];
	const char *p;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		p = served_path(line);
		if (p)
			add_seen(f, pid, p);
	}
	if (maps)
		fclose(maps);
}

static void add_open(struct found *f, uint32_t pid)
{
	char dir[32], link[PATH_MAX];
	struct dirent *e;
	const char *p;
	ssize_t n;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%u/fd", pid);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		p = served_path(link);
		if (p)
			add_seen(f, pid, p);
	}
	if (d)
		closedir(d);
}

/* --- what it was told --------------------------------------------------------------------------------------------- */

const char *served_word(const char *buf, size_t n)
{
	static const char *const keys[] = { "--model", "--model-path", "--model_path", "--model-id", "serve", "-m" };
	const char *end = buf + n, *p, *next;
	size_t i, len;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		for (p = buf, len = strlen(keys[i]); p < end; p = next) {
			next = p + strnlen(p, (size_t)(end - p)) + 1;
			if (next > end)
				return NULL;
			if (!strncmp(p, keys[i], len) && p[len] == '=' && p[len + 1])
				return p + len + 1;
			/* Python has an -m of its own. */
			if (strcmp(p, keys[i]) || next >= end || !memchr(next, 0, (size_t)(end - next)) ||
			    *next == '-' || !*next || (keys[i][1] == 'm' && !ends(next, ".gguf")))
				continue;
			return next;
		}
	return NULL;
}

static size_t read_words(uint32_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	f = fopen(path, "re");
	if (f) {
		n = fread(buf, 1, size - 1, f);
		fclose(f);
	}
	buf[n] = 0;
	return n;
}

/* A folder with config.json; a file by its name, or whatever its name. */
static int is_model(const char *path, int any_file)
{
	char config[PATH_MAX + 16];
	struct stat st;

	if (stat(path, &st))
		return 0;
	snprintf(config, sizeof(config), "%s/config.json", path);
	return S_ISREG(st.st_mode) ? any_file || ends(path, ".gguf") : !access(config, R_OK);
}

/* "org/name" in the hub's cache of a process. */
static void add_cached(struct found *f, uint32_t pid, const char *id, char *env, size_t n)
{
	static const struct { const char *name, *folder; } homes[] = {
		{ "HF_HUB_CACHE=", "" }, { "HF_HOME=", "/hub" }, { "HOME=", "/.cache/huggingface/hub" },
	};
	char path[PATH_MAX], commit[64] = "", repo[PATH_MAX / 4];
	const char *slash = strchr(id, '/'), *p, *home = NULL;
	FILE *ref;
	size_t i;

	if (!slash || strchr(slash + 1, '/'))
		return;
	for (i = 0; i < sizeof(homes) / sizeof(*homes) && !home; i++)
		for (p = env; p < env + n && !home; p += strlen(p) + 1)
			if (!strncmp(p, homes[i].name, strlen(homes[i].name)))
				home = p + strlen(homes[i].name);
	if (!home)
		return;
	snprintf(repo, sizeof(repo), "/proc/%u/root%s%s/models--%.*s--%s", pid, home, homes[i - 1].folder,
		 (int)(slash - id), id, slash + 1);
	snprintf(path, sizeof(path), "%s/refs/main", repo);
	ref = fopen(path, "re");
	if (ref) {
		if (fgets(commit, sizeof(commit), ref))
			commit[strcspn(commit, "\n")] = 0;
		fclose(ref);
	}
	snprintf(path, sizeof(path), "%s/snapshots/%s", repo, commit);
	if (*commit && is_model(path, 0))
		add(f, path);
}

/* A path as the process sees it. */
static int add_named(struct found *f, uint32_t pid, const char *name, int any_file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%u/%s%s%s", pid, *name == '/' ? "root" : "cwd", *name == '/' ? "" : "/",
		 name);
	if (!is_model(path, any_file))
		return 0;
	add(f, path);
	return 1;
}

/* Else each word that is the path of a model's folder, or of a GGUF file. */
static void add_told(struct found *f, uint32_t pid)
{
	static char line[WORDS], env[WORDS];
	size_t n = read_words(pid, "cmdline", line, sizeof(line));
	const char *word = served_word(line, n), *p;

	if (word) {
		if (!add_named(f, pid, word, 1))
			add_cached(f, pid, word, env, read_words(pid, "environ", env, sizeof(env)));
		return;
	}
	for (p = line; p < line + n; p += strlen(p) + 1)
		if (strchr(p, '/'))
			(void)add_named(f, pid, p, 0);
}

/* --- a server ----------------------------------------------------------------------------------------------------- */

static void look_at(struct found *f, uint32_t named, struct sockets *sockets)
{
	static void (*const ways[])(struct found *f, uint32_t pid) = { add_mapped, add_open, add_told };
	struct tree t;
	size_t way;
	int i;

	if (tree_find(&t, named, 1, sockets))
		return;
	for (way = 0; way < sizeof(ways) / sizeof(*ways) && !f->n; way++)
		for (i = 0; i < t.n; i++)
			ways[way](f, t.v[i].pid);
	tree_release(&t);
}

/* What sees or hears for a model is a file of its own, and none. */
static void drop_encoders(struct found *f)
{
	struct model_file m;
	char why[128];
	int i, n = 0;

	for (i = 0; i < f->n; i++) {
		if (!model_file_read(f->path[i], &m, why, sizeof(why)) && !strcmp(m.arch, "clip"))
			continue;
		if (n != i)
			memcpy(f->path[n], f->path[i], sizeof(f->path[n]));
		n++;
	}
	f->n = n;
}

static int pids_of(const char *text, unsigned port, uint32_t *ret, int max)
{
	char number[16], *end;
	int n = 0;

	snprintf(number, sizeof(number), "%u", port);
	if (!text)
		n = find_processes(FIND_PORT, number, ret, max);
	if (!text)
		return n > max ? max : n;
	for (; n < max && *text; text = *end ? end + 1 : end) {
		ret[n++] = (uint32_t)strtoul(text, &end, 10);
		if (end == text)
			return -EINVAL;
	}
	return n;
}

int served_model(const char *pid, unsigned port, char *path, size_t size, char *why, size_t wsize)
{
	struct found *f = calloc(1, sizeof(*f));
	struct sockets sockets = { 0 };
	uint32_t pids[16];
	int n = f ? pids_of(pid, port, pids, 16) : -ENOMEM, i, err = n < 0 ? n : 0;

	for (i = 0; i < n; i++)
		look_at(f, pids[i], &sockets);
	sockets_release(&sockets);
	if (f && f->n > 1)
		drop_encoders(f);
	if (!err && f->n != 1)
		err = f->n ? -ENOTUNIQ : -ENOENT;
	if (!err)
		snprintf(path, size, "%s", f->path[0]);
	else
		snprintf(why, wsize, "%s", err == -ENOTUNIQ ? "the server has several models open" : err == -ENOENT ?
			 "no model's file is to be seen of the server" : strerror(-err));
	free(f);
	return err;
}
