// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/target.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/util/str.h"

#define INODES_MAX 65536

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

/* --- what it listens on ------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Inodes of the sockets that the process holds, sorted. Returns how many, or -errno. */
static int socket_inodes(uint32_t tgid, uint64_t **ret)
{
	uint64_t *ino = malloc(INODES_MAX * sizeof(*ino));
	char path[64], link[64];
	struct dirent *d;
	unsigned long long val;
	ssize_t len;
	int n = 0;
	DIR *dir;

	if (!ino)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%u/fd", tgid);
	dir = opendir(path);
	if (!dir) {
		free(ino);
		return -errno;
	}
	while (n < INODES_MAX && (d = readdir(dir))) {
		len = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
		link[len > 0 ? len : 0] = 0;
		if (sscanf(link, "socket:[%llu]", &val) == 1)
			ino[n++] = val;
	}
	closedir(dir);
	qsort(ino, (size_t)n, sizeof(*ino), by_value);
	*ret = ino;
	return n;
}

static void append(char *buf, size_t size, const char *what)
{
	size_t n = strlen(buf);

	if (n + 2 < size)
		snprintf(buf + n, size - n, "%s%s", n ? ", " : "", what);
}

/* A local address as /proc/net/tcp has it: hexadecimal words of host order. */
static void address(const char *hex, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	uint32_t word[4] = { 0 };
	unsigned port = 0;
	int i, v6 = strcspn(hex, ":") == 32;

	for (i = 0; i < (v6 ? 4 : 1); i++)
		(void)sscanf(hex + 8 * i, "%8x", &word[i]);
	(void)sscanf(hex + strcspn(hex, ":"), ":%x", &port);
	inet_ntop(v6 ? AF_INET6 : AF_INET, word, ip, sizeof(ip));
	snprintf(buf, size, v6 ? "[%s]:%u" : "%s:%u", ip, port);
}

static int listens_tcp(uint32_t tgid, const char *table, const uint64_t *ino, int n, char *buf, size_t size)
{
	char path[64], line[512], local[128], text[96];
	unsigned long long inode;
	uint64_t key;
	unsigned state;
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/net/%s", tgid, table);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %*d: %127s %*s %x %*s %*s %*s %*d %*d %llu", local, &state, &inode) != 3 ||
		    state != 10)
			continue;
		key = inode;
		if (!bsearch(&key, ino, (size_t)n, sizeof(*ino), by_value))
			continue;
		address(local, text, sizeof(text));
		append(buf, size, text);
		found++;
	}
	if (f)
		fclose(f);
	return found;
}

int target_listens_on(uint32_t tgid, unsigned port)
{
	char buf[4096] = "", want[16], *p;
	uint64_t *ino = NULL;
	int n = socket_inodes(tgid, &ino), hit = 0;
	size_t len;

	if (n > 0 && listens_tcp(tgid, "tcp", ino, n, buf, sizeof(buf)) +
		     listens_tcp(tgid, "tcp6", ino, n, buf, sizeof(buf)) > 0) {
		snprintf(want, sizeof(want), ":%u", port);
		len = strlen(want);
		for (p = strstr(buf, want); p && !hit; p = strstr(p + 1, want))
			hit = !p[len] || p[len] == ',';
	}
	if (n >= 0)
		free(ino);
	return hit;
}

/* A line of /proc/net/unix: whether it is a stream socket that listens, and its inode and name. */
static int unix_line(const char *line, uint64_t *ret_inode, char name[256])
{
	unsigned long long inode;
	unsigned flags, type;

	name[0] = 0;
	if (sscanf(line, "%*s %*x %*x %x %x %*x %llu %255s", &flags, &type, &inode, name) < 3)
		return 0;
	*ret_inode = inode;
	return flags & 0x10000 && type == 1; /* it accepts; SOCK_STREAM */
}

static FILE *unix_table(uint32_t tgid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/net/unix", tgid);
	return fopen(path, "re");
}

uint64_t target_unix_signature(uint32_t tgid)
{
	char line[512], name[256];
	uint64_t sum = 0, inode;
	FILE *f = unix_table(tgid);

	while (f && fgets(line, sizeof(line), f))
		if (unix_line(line, &inode, name))
			sum += inode * 0x9e3779b97f4a7c15ull;
	if (f)
		fclose(f);
	return sum;
}

static int listens_unix(uint32_t tgid, const uint64_t *ino, int n, char *buf, size_t size)
{
	char line[512], name[256], text[300], clean[256];
	FILE *f = unix_table(tgid);
	uint64_t key;
	int found = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (!unix_line(line, &key, name))
			continue;
		if (!bsearch(&key, ino, (size_t)n, sizeof(*ino), by_value))
			continue;
		str_clean(clean, sizeof(clean), name, strlen(name));
		snprintf(text, sizeof(text), "unix %s", clean);
		append(buf, size, text);
		found++;
	}
	if (f)
		fclose(f);
	return found;
}

int target_listens(uint32_t tgid, char *buf, size_t size, int *ret_unix)
{
	uint64_t *ino = NULL;
	int n = socket_inodes(tgid, &ino), found;

	buf[0] = 0;
	*ret_unix = 0;
	if (n < 0)
		return n;
	found = listens_tcp(tgid, "tcp", ino, n, buf, size) + listens_tcp(tgid, "tcp6", ino, n, buf, size);
	*ret_unix = listens_unix(tgid, ino, n, buf, size);
	free(ino);
	return found + *ret_unix;
}
