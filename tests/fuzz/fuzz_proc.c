// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What /proc says of a process: "p" + its stat, "c" + its command line (of which a newline ends each word), "g" + a
 * line of its cgroup, which a newline parts from what is looked for. And what the kernel says of sockets: lines of
 * /proc/net/tcp, tcp6 and unix, each "t" or "u" + the line, and after a line "d" messages of sock_diag. Every socket
 * that comes of it can be looked up, and its other end too.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "userspace/find.h"
#include "userspace/sockets.h"
#include "userspace/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct sockets *s, const char *line)
{
	struct sock_one k;
	int is = line[0] == 't' ? sockets_tcp_line(line + 1, &k) : line[0] == 'u' ? sockets_unix_line(line + 1, &k) : 0;

	if (!is)
		return;
	if (!k.inode || memchr(k.name, 0, sizeof(k.name)) == NULL || (k.listens && !k.name[0]) ||
	    (line[0] == 'u') != (k.ends.family == AF_UNIX))
		abort();
	(void)sockets_add(s, &k);
}

static void of_a_process(const uint8_t *data, size_t size)
{
	char *buf = malloc(size), *what;
	const char *script;
	uint32_t parent, flags;
	size_t n = size - 1, i;

	if (!buf)
		return;
	memcpy(buf, data + 1, n);
	buf[n] = 0;
	what = memchr(buf, '\n', n);
	if (data[0] == 'p') {
		(void)target_stat(buf, &parent, &flags);
	} else if (data[0] == 'c') {
		for (i = 0; i < n; i++)
			buf[i] = buf[i] == '\n' ? 0 : buf[i];
		script = target_script(buf, n);
		if (script < buf || script > buf + n)
			abort();
	} else if (what) {
		*what++ = 0;
		(void)find_cgroup_line(buf, FIND_UNIT, what);
		(void)find_cgroup_line(buf, FIND_CGROUP, what);
	}
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size, *nl;
	struct sockets s = { 0 };
	char line[512], *diag;
	uint64_t held[4] = { 1, 2, 3, UINT64_MAX };
	size_t n, i;

	if (size && data[0] && strchr("pcg", data[0])) {
		of_a_process(data, size);
		return 0;
	}
	while (p < end && *p != 'd') {
		nl = memchr(p, '\n', (size_t)(end - p));
		n = (size_t)((nl ? nl : end) - p);
		n = n < sizeof(line) - 1 ? n : sizeof(line) - 1;
		memcpy(line, p, n);
		line[n] = 0;
		take(&s, line);
		p = nl ? nl + 1 : end;
	}
	sockets_sort(&s);
	if (end - p > 2) {
		n = (size_t)(end - p - 2); /* "d\n" */
		diag = malloc(n);          /* aligned as the real one is, and its end watched over */
		if (diag) {
			memcpy(diag, p + 2, n);
			(void)sockets_diag(&s, diag, n);
		}
		free(diag);
	}
	for (i = 0; i < s.n; i++) {
		if (!sockets_get(&s, s.v[i].inode))
			abort();
		(void)sockets_other_end(&s, &s.v[i]);
		(void)sockets_holds(held, 4, s.v[i].inode);
	}
	sockets_release(&s);
	return 0;
}
