// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Models on disk: "g" + a GGUF file; "s" + a safetensors file; "c" + a config.json, beside one good tensor; and "w" +
 * what /proc says of a server's files and words. What is said to be known cannot be below 0, and texts end.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/ipw/model_internal.h"
#include "userspace/served.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void remove_folder(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/config.json", folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/model.safetensors", folder);
	unlink(path);
	rmdir(folder);
}

static void put(const char *name, const void *data, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f))
		abort();
}

static void in_memory(const uint8_t *data, size_t size, char path[32])
{
	int fd = memfd_create("model", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, 32, "/proc/self/fd/%d", fd);
}

static void forget(const char *path)
{
	close(atoi(path + 14));
}

static void check(const char *path)
{
	struct model_file m;
	char why[128], text[512];

	if (model_file_read(path, &m, why, sizeof(why))) {
		if (!*why)
			abort();
		return;
	}
	if (m.params < 0 || m.bytes < 0 || m.active > m.params || m.decode_bytes > m.bytes ||
	    strlen(model_file_text(&m, text, sizeof(text))) < 8 || !memchr(m.name, 0, sizeof(m.name)))
		abort();
	(void)model_file_flops(&m, 100, 10, 50, 1);
	(void)model_file_read_bytes(&m, 100, 50);
}

static void file(const uint8_t *data, size_t size)
{
	char path[32];

	in_memory(data, size, path);
	check(path);
	forget(path);
}

static void tensors(const uint8_t *data, size_t size)
{
	struct model_sum sum = { .ntype = 0 };
	struct model_src s;
	char path[32];

	in_memory(data, size, path);
	if (model_src_open(&s, path) || (model_safetensors(&s, 4, &sum) && !s.why))
		abort();
	model_src_close(&s);
	forget(path);
}

static void config(const uint8_t *data, size_t size)
{
	static const char head[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
	char one[sizeof(head) + 11] = { sizeof(head) - 1 };

	if (!*folder) {
		snprintf(folder, sizeof(folder), "/tmp/ipw-fuzz-XXXXXX");
		if (!mkdtemp(folder))
			abort();
		atexit(remove_folder);
		memcpy(one + 8, head, sizeof(head) - 1);
		put("model.safetensors", one, sizeof(one));
	}
	put("config.json", data, size);
	check(folder);
}

static void words(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	const char *p;

	memcpy(copy, data, size);
	copy[size] = 0;
	p = served_word(copy, size);
	if (p && (p < copy || p >= copy + size || !*p))
		abort();
	p = served_path(copy);
	if (p && *p != '/')
		abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const what[])(const uint8_t *data, size_t size) = { file, tensors, config, words };
	static const char kinds[] = "gscw";
	const char *kind = size ? memchr(kinds, data[0], 4) : NULL;

	if (kind)
		what[kind - kinds](data + 1, size - 1);
	return 0;
}
