// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Files that a traced process has mapped: "e" + a file that may be ELF, in which functions are looked for; and "m" +
 * lines of /proc/PID/maps. What is found lies in the file.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/engine.h"
#include "userspace/util/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void functions(const uint8_t *data, size_t size)
{
	struct elf_want want[] = { { .name = "llama_decode" }, { .name = "llama_encode" }, { .name = "_Z2*" },
				   { .name = "" }, { .name = "*" } };
	int fd = memfd_create("elf", MFD_CLOEXEC), n = sizeof(want) / sizeof(*want), i;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (!*elf_why(elf_find(fd, want, n)))
		abort();
	for (i = 0; i < n; i++)
		if (want[i].offset && want[i].offset >= size)
			abort();
	close(fd);
}

static void maps(const uint8_t *data, size_t size)
{
	static struct engine_module m;
	const char *p = (const char *)data, *end = p + size, *nl;
	char line[512];
	size_t n;

	while (p < end) {
		nl = memchr(p, '\n', (size_t)(end - p));
		n = (size_t)((nl ? nl : end) - p);
		n = n < sizeof(line) - 2 ? n : sizeof(line) - 2;
		memcpy(line, p, n);
		line[n] = '\n';
		line[n + 1] = 0;
		if (engine_maps_line(line, &m) &&
		    (m.start >= m.end || !m.ino || m.path[0] != '/' || !memchr(m.path, 0, sizeof(m.path))))
			abort();
		p = nl ? nl + 1 : end;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] == 'e')
		functions(data + 1, size - 1);
	else if (size && data[0] == 'm')
		maps(data + 1, size - 1);
	return 0;
}
