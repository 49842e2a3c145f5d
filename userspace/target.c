// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/target.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "userspace/util/str.h"

int target_resolve(uint32_t pid, uint32_t *ret_tgid, char comm[16])
{
	char path[64], line[256];
	uint32_t tgid = 0;
	unsigned long vm = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	comm[0] = 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Name:\t", 6))
			str_clean(comm, 16, line + 6, strcspn(line + 6, "\n"));
		else if (sscanf(line, "Tgid: %u", &tgid) != 1)
			(void)sscanf(line, "VmSize: %lu", &vm);
	}
	fclose(f);
	if (!tgid)
		return -ESRCH;
	*ret_tgid = tgid;
	return vm ? 0 : -EPERM;
}

/* The children of all threads of tgid. */
static int children(uint32_t tgid, uint32_t *ret, int max)
{
	char path[96];
	struct dirent *d;
	int n = 0;
	FILE *f;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/task", tgid);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%u/task/%.20s/children", tgid, d->d_name);
		f = fopen(path, "re");
		while (f && n < max && fscanf(f, "%u", &ret[n]) == 1)
			n++;
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return n;
}

int target_descendants(uint32_t tgid, uint32_t *ret, int max)
{
	int n = children(tgid, ret, max), i;

	for (i = 0; i < n; i++)
		n += children(ret[i], ret + n, max - n);
	return n;
}

/* Of /proc/PID/stat, behind the name in parentheses, which may hold anything. */
int target_stat(const char *buf, uint32_t *ret_parent, uint32_t *ret_flags)
{
	const char *p = strrchr(buf, ')');

	return p && sscanf(p, ") %*c %u %*d %*d %*d %*d %u", ret_parent, ret_flags) == 2;
}

static int stat_fields(uint32_t pid, uint32_t *ret_parent, uint32_t *ret_flags)
{
	char path[64], buf[1024];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	return target_stat(buf, ret_parent, ret_flags);
}

uint32_t target_parent(uint32_t pid)
{
	uint32_t parent = 0, flags;

	return stat_fields(pid, &parent, &flags) ? parent : 0;
}

/* The command line; its words end with NUL each. Returns its length. */
static size_t command_line(uint32_t pid, char *buf, size_t size)
{
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	f = fopen(path, "re");
	n = f ? fread(buf, 1, size - 1, f) : 0;
	if (f)
		fclose(f);
	buf[n] = 0;
	return n;
}

/* The word with the script that an interpreter runs: "-m name" gives the name. Without one it is the program. */
const char *target_script(const char *buf, size_t n)
{
	const char *p = buf, *name = strrchr(buf, '/');
	int i, interpreter = 0;
	static const char *const interpreters[] = { "python", "node", "ruby", "perl", "java", "pypy" };

	name = name ? name + 1 : buf;
	for (i = 0; i < (int)(sizeof(interpreters) / sizeof(*interpreters)); i++)
		interpreter |= !strncmp(name, interpreters[i], strlen(interpreters[i]));
	for (p += strlen(p) + 1; interpreter && p < buf + n; p += strlen(p) + 1)
		if (*p != '-')
			return p;
	return name;
}

/* A line of /proc/PID/cgroup: of version 2 the only one. */
static void cgroup_of(uint32_t pid, char *buf, size_t size)
{
	char path[64];
	FILE *f;

	buf[0] = 0;
	snprintf(path, sizeof(path), "/proc/%u/cgroup", pid);
	f = fopen(path, "re");
	if (f && fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = 0;
	if (f)
		fclose(f);
}

void target_identify(uint32_t pid, struct target_id *ret)
{
	static char words[4096];
	struct stat st = { 0 };
	char path[64];
	size_t n;

	*ret = (struct target_id){ .parent = target_parent(pid) };
	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (!stat(path, &st)) {
		ret->dev = st.st_dev;
		ret->ino = st.st_ino;
	}
	n = command_line(pid, words, sizeof(words));
	snprintf(ret->script, sizeof(ret->script), "%s", n ? target_script(words, n) : "");
	cgroup_of(pid, ret->cgroup, sizeof(ret->cgroup));
}

static int same_program(const struct target_id *a, const struct target_id *b)
{
	return a->ino && a->ino == b->ino && a->dev == b->dev && *a->script && !strcmp(a->script, b->script);
}

int target_is(uint32_t pid, const struct target_id *id)
{
	struct target_id other;

	if (target_parent(pid) != id->parent)
		return 0;
	target_identify(pid, &other);
	return same_program(&other, id) && !strcmp(other.cgroup, id->cgroup);
}

#define PF_FORKNOEXEC 0x40 /* include/linux/sched.h */

const char *target_same_program(uint32_t pid, uint32_t parent)
{
	static char words[4096];
	struct target_id a, b;
	uint32_t up, flags;
	size_t n, i;

	target_identify(pid, &a);
	target_identify(parent, &b);
	if (!stat_fields(pid, &up, &flags) || !a.ino || a.ino != b.ino || a.dev != b.dev)
		return NULL;
	if (flags & PF_FORKNOEXEC)
		return "it was forked and runs the same program";
	n = command_line(pid, words, sizeof(words));
	for (i = 0; i < n; i += strlen(words + i) + 1)
		if (strstr(words + i, "multiprocessing"))
			return "it is a child of Python's multiprocessing";
	return same_program(&a, &b) ? "both run the same program" : NULL;
}

/*
 * What starts servers and is none: what they start belongs together no more than all that a machine runs. By the name
 * that the kernel has of it, which is 15 bytes.
 */
static const char *const starters[] = {
	"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit", "containerd", "containerd-shim", "conmon",
	"dockerd", "podman", "runc", "crun", "s6-svscan", "s6-supervise", "runsv", "runsvdir", "supervisord", "sshd",
	"sshd-session", "login", "su", "sudo", "doas", "tmux: server", "tmux", "screen", "slurmstepd", "bash", "sh",
	"dash", "zsh", "fish", "ksh", "tcsh", "csh", "busybox", "xterm", "cron", "crond", "atd", "make", "gdb",
	"strace", "perf", "timeout", "nohup", "script",
};

int target_is_starter(uint32_t pid)
{
	char comm[16];
	uint32_t tgid;
	size_t i;

	if (pid <= 1 || target_resolve(pid, &tgid, comm))
		return 1;
	for (i = 0; i < sizeof(starters) / sizeof(*starters); i++)
		if (!strcmp(comm, starters[i]))
			return 1;
	return 0;
}
