// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/conn.h"
#include "userspace/util/str.h"

#define SOCKETS_MAX 262144
#define HELD_MAX    65536
#define TCP_LISTEN_STATE 10
#define TCP_ESTABLISHED_STATE 1

/* --- the table ---------------------------------------------------------------------------------------------------- */

int sockets_add(struct sockets *s, const struct sock_one *k)
{
	size_t cap = s->cap ? 2 * s->cap : 256;
	struct sock_one *v;

	if (s->n == SOCKETS_MAX)
		return -E2BIG;
	if (s->n == s->cap) {
		v = realloc(s->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = *k;
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	const struct sock_one *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

void sockets_sort(struct sockets *s)
{
	size_t i;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_inode);
	for (i = 0; i < s->n; i++)
		if (s->v[i].ends.family != AF_UNIX && !s->v[i].listens)
			(void)hash_put(&s->by_tuple, conn_tuple(&s->v[i].ends, 0), (void *)(i + 1));
}

void sockets_release(struct sockets *s)
{
	free(s->v);
	hash_release(&s->by_tuple);
	*s = (struct sockets){ 0 };
}

const struct sock_one *sockets_get(const struct sockets *s, uint64_t inode)
{
	struct sock_one key = { .inode = inode };

	return s->n ? bsearch(&key, s->v, s->n, sizeof(key), by_inode) : NULL;
}

const struct sock_one *sockets_other_end(const struct sockets *s, const struct sock_one *k)
{
	size_t at;

	if (k->listens)
		return NULL;
	if (k->ends.family == AF_UNIX)
		return k->peer ? sockets_get(s, k->peer) : NULL;
	at = (size_t)hash_get(&s->by_tuple, conn_tuple(&k->ends, 1));
	return at ? &s->v[at - 1] : NULL;
}

/* --- what the kernel says ----------------------------------------------------------------------------------------- */

/* "0100007F:1F90": words of host order, in hexadecimal. */
static int end_of(const char *hex, uint8_t addr[16], uint16_t *port)
{
	size_t len = strcspn(hex, ":"), i;
	uint32_t word;
	unsigned p;

	if ((len != 8 && len != 32) || sscanf(hex + len, ":%4x", &p) != 1)
		return 0;
	memset(addr, 0, 16);
	for (i = 0; i < len / 8; i++) {
		if (sscanf(hex + 8 * i, "%8x", &word) != 1)
			return 0;
		memcpy(addr + 4 * i, &word, 4);
	}
	*port = (uint16_t)p;
	return len == 32 ? AF_INET6 : AF_INET;
}

int sockets_tcp_line(const char *line, struct sock_one *ret)
{
	char local[64], remote[64];
	unsigned long long inode;
	unsigned state;

	*ret = (struct sock_one){ 0 };
	if (sscanf(line, " %*d: %63s %63s %x %*s %*s %*s %*d %*d %llu", local, remote, &state, &inode) != 4 || !inode)
		return 0;
	ret->inode = inode;
	ret->listens = state == TCP_LISTEN_STATE;
	ret->ends.family = (uint16_t)end_of(local, ret->ends.laddr, &ret->ends.lport);
	if (!ret->ends.family || end_of(remote, ret->ends.raddr, &ret->ends.rport) != ret->ends.family)
		return 0;
	if (ret->listens)
		conn_addr(&ret->ends, 0, ret->name, sizeof(ret->name));
	return 1;
}

int sockets_unix_line(const char *line, struct sock_one *ret)
{
	char name[256] = "", clean[64];
	unsigned long long inode;
	unsigned flags, type;

	*ret = (struct sock_one){ .ends.family = AF_UNIX };
	if (sscanf(line, "%*s %*x %*x %x %x %*x %llu %255s", &flags, &type, &inode, name) < 3 || !inode || type != 1)
		return 0;
	ret->inode = inode;
	ret->listens = (flags & 0x10000) != 0; /* __SO_ACCEPTCON */
	str_clean(clean, sizeof(clean), name, strlen(name));
	if (ret->listens)
		snprintf(ret->name, sizeof(ret->name), "unix %s", clean);
	return 1;
}

static void diag_one(struct sockets *s, const struct nlmsghdr *h)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	struct sock_one *k;
	struct rtattr *a;
	uint32_t peer;
	int len;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return;
	k = (struct sock_one *)sockets_get(s, m->udiag_ino);
	len = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	for (a = (struct rtattr *)(m + 1); k && k->ends.family == AF_UNIX && RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type != UNIX_DIAG_PEER || RTA_PAYLOAD(a) < sizeof(peer))
			continue;
		memcpy(&peer, RTA_DATA(a), sizeof(peer));
		k->peer = peer;
	}
}

int sockets_diag(struct sockets *s, const void *buf, size_t n)
{
	const struct nlmsghdr *h = buf;
	const struct nlmsgerr *e;
	int left = (int)n; /* NLMSG_NEXT may take it below 0 */

	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		e = NLMSG_DATA(h);
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) || e->error >= 0 ? -EIO : e->error;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY)
			diag_one(s, h);
	}
	return 1;
}

/* --- reading it --------------------------------------------------------------------------------------------------- */

static int load_table(struct sockets *s, uint32_t pid, const char *table, int (*take)(const char *, struct sock_one *))
{
	char path[64], line[512];
	struct sock_one k;
	int err = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/net/%s", pid, table);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : -errno; /* a kernel without IPv6 */
	while (!err && fgets(line, sizeof(line), f))
		if (take(line, &k))
			err = sockets_add(s, &k);
	fclose(f);
	return err;
}

/* A socket lives in the namespace that its maker was in. */
static int diag_socket(uint32_t pid)
{
	int self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (self >= 0 && there >= 0 && !setns(there, CLONE_NEWNET)) {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
		if (setns(self, CLONE_NEWNET)) {
			close(fd); /* in the wrong namespace nothing of ours would be right */
			fd = -1;
		}
	}
	if (self >= 0)
		close(self);
	if (there >= 0)
		close(there);
	return fd;
}

/* Who is at the other end of unix sockets: the one thing that /proc does not say. */
static void load_peers(struct sockets *s, uint32_t pid)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} req = {
		.h = { .nlmsg_len = sizeof(req), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_UNIX, .udiag_states = 1 << TCP_ESTABLISHED_STATE,
		       .udiag_show = UDIAG_SHOW_PEER },
	};
	static _Alignas(struct nlmsghdr) char buf[32768];
	int fd = diag_socket(pid), more;
	ssize_t n;

	if (fd < 0)
		return;
	more = send(fd, &req, sizeof(req), 0) == sizeof(req);
	while (more > 0) {
		n = recv(fd, buf, sizeof(buf), 0);
		more = n > 0 ? sockets_diag(s, buf, (size_t)n) : 0;
	}
	close(fd);
}

static uint64_t netns_of(uint32_t pid)
{
	char path[64], link[64];
	unsigned long long id = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	(void)sscanf(link, "net:[%llu]", &id);
	return id;
}

int sockets_load(struct sockets *s, uint32_t pid)
{
	uint64_t netns;
	int err;

	errno = 0;
	netns = netns_of(pid);
	if (!netns)
		return errno ? -errno : -EINVAL;
	if (s->netns == netns)
		return 0;
	sockets_release(s);
	err = load_table(s, pid, "tcp", sockets_tcp_line);
	if (!err)
		err = load_table(s, pid, "tcp6", sockets_tcp_line);
	if (!err)
		err = load_table(s, pid, "unix", sockets_unix_line);
	sockets_sort(s);
	load_peers(s, pid);
	err = err == -E2BIG ? 0 : err; /* those that there is room for */
	s->netns = err || !s->n ? 0 : netns;
	return err;
}

/* --- what a process holds ----------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int sockets_held(uint32_t pid, uint64_t **ret)
{
	uint64_t *ino = NULL, *more;
	char path[64], link[64];
	unsigned long long val;
	struct dirent *d;
	int n = 0, cap = 0;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (n < HELD_MAX && (d = readdir(dir))) {
		len = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
		link[len > 0 ? len : 0] = 0;
		if (sscanf(link, "socket:[%llu]", &val) != 1)
			continue;
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			more = realloc(ino, (size_t)cap * sizeof(*ino));
			if (!more)
				break;
			ino = more;
		}
		ino[n++] = val;
	}
	closedir(dir);
	if (n)
		qsort(ino, (size_t)n, sizeof(*ino), by_value);
	*ret = ino;
	return n;
}

void sockets_stdio(uint32_t pid, uint64_t ret[3])
{
	char path[64], link[64];
	unsigned long long val;
	ssize_t n;
	int fd;

	for (fd = 0; fd < 3; fd++) {
		snprintf(path, sizeof(path), "/proc/%u/fd/%d", pid, fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		ret[fd] = sscanf(link, "socket:[%llu]", &val) == 1 ? val : 0;
	}
}

int sockets_holds(const uint64_t *held, int n, uint64_t inode)
{
	return n > 0 && bsearch(&inode, held, (size_t)n, sizeof(*held), by_value) != NULL;
}

/* Those that listen, one after the other. *at is 0 at first. */
static const struct sock_one *next_listener(const struct sockets *s, const uint64_t *held, int n, int *at)
{
	const struct sock_one *k;

	while (*at < n) {
		k = sockets_get(s, held[(*at)++]);
		if (k && k->listens)
			return k;
	}
	return NULL;
}

static void append(char *buf, size_t size, const char *what)
{
	size_t n = strlen(buf);

	if (n + 2 < size)
		snprintf(buf + n, size - n, "%s%s", n ? ", " : "", what);
}

int sockets_listens(struct sockets *s, uint32_t pid, char *buf, size_t size, int *ret_unix)
{
	const struct sock_one *k;
	uint64_t *held = NULL;
	int n = sockets_held(pid, &held), at = 0, found = 0, err = n < 0 ? n : sockets_load(s, pid);

	buf[0] = 0;
	*ret_unix = 0;
	while (!err && (k = next_listener(s, held, n, &at))) {
		append(buf, size, k->name);
		*ret_unix += k->ends.family == AF_UNIX;
		found++;
	}
	free(held);
	return err ? err : found;
}

int sockets_listens_on(struct sockets *s, uint32_t pid, unsigned port)
{
	const struct sock_one *k;
	uint64_t *held = NULL;
	int n = sockets_held(pid, &held), at = 0, hit = 0;

	while (n > 0 && !sockets_load(s, pid) && !hit && (k = next_listener(s, held, n, &at)))
		hit = k->ends.family != AF_UNIX && k->ends.lport == port;
	free(held);
	return hit;
}

uint64_t sockets_unix_signature(uint32_t pid)
{
	char path[64], line[512];
	struct sock_one k;
	uint64_t sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/net/unix", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sockets_unix_line(line, &k) && k.listens)
			sum += k.inode * 0x9e3779b97f4a7c15ull;
	if (f)
		fclose(f);
	return sum;
}
