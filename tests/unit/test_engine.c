// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where an engine's functions are in what a process has mapped: small libraries, made here by the compiler, stripped,
 * cut and bent; and what /proc says of one that is loaded.
 */
#include "userspace/engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "userspace/util/elf.h"

#define UBATCH "_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_type" \
	       "P22llama_memory_context_iR11ggml_status"

#define COMPUTE "_ZN13llama_context13graph_computeEP11ggml_cgraphb"

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][160];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && ", dir);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	assert_int_equal(system(cmd), 0);
}

/* A library of functions that do nothing. */
static void library(const char *name, const char *functions, const char *flags)
{
	FILE *f = fopen(in_dir("lib.c"), "w");
	char list[512], *p, *save;

	assert_non_null(f);
	snprintf(list, sizeof(list), "%s", functions);
	for (p = strtok_r(list, " ", &save); p; p = strtok_r(NULL, " ", &save))
		fprintf(f, "int %s(void);\nint %s(void) { return %d; }\n", p, p, (int)strlen(p));
	fclose(f);
	run("cc -O1 -fPIC -shared %s -o %s lib.c", flags, name);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/ipw-engine-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd);
}

static int find(const char *path, struct elf_want *want, int n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	assert_true(fd >= 0);
	err = elf_find(fd, want, n);
	close(fd);
	return err;
}

/* The linker's own opinion: place in the file by what is loaded. */
static uint64_t place(const char *path, const char *symbol)
{
	unsigned long start, end, off, addr;
	char line[512];
	uint64_t ret = 0;
	void *h = dlopen(path, RTLD_NOW);
	FILE *f = fopen("/proc/self/maps", "re");

	assert_non_null(h);
	assert_non_null(f);
	addr = (unsigned long)dlsym(h, symbol);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &off) == 3 && addr >= start && addr < end)
			ret = addr - start + off;
	fclose(f);
	dlclose(h);
	return ret;
}

static void functions_are_found(void **state)
{
	struct elf_want want[] = { { .name = "llama_decode" }, { .name = "no_such" }, { .name = "_Z22get_sched*" },
				   { .name = "puts" }, { .name = "_Z22get_scheduler_metadatal" } };

	library("liba.so", "first llama_decode _Z22get_scheduler_metadatal last", "");
	assert_int_equal(find(in_dir("liba.so"), want, 5), 0);
	assert_int_equal(want[0].offset, place(in_dir("liba.so"), "llama_decode"));
	assert_true(want[0].offset != 0);
	assert_int_equal(want[1].offset, 0);
	assert_int_equal(want[2].offset, place(in_dir("liba.so"), "_Z22get_scheduler_metadatal"));
	assert_int_equal(want[3].offset, 0);
	assert_int_equal(want[4].offset, want[2].offset);
}

static void what_strip_leaves(void **state)
{
	struct elf_want want[] = { { .name = "llama_decode" }, { .name = "hidden" } };
	uint64_t first;
	FILE *f = fopen(in_dir("v"), "w");

	assert_non_null(f);
	fputs("{ global: llama_decode; local: *; };\n", f);
	fclose(f);
	library("libs.so", "llama_decode hidden", "-Wl,--version-script=v");
	assert_int_equal(find(in_dir("libs.so"), want, 2), 0);
	assert_true(want[0].offset && want[1].offset);
	first = want[0].offset;
	run("strip -o libt.so libs.so"); /* the dynamic symbols stay, others go */
	assert_int_equal(find(in_dir("libt.so"), want, 2), 0);
	assert_int_equal(want[0].offset, first);
	assert_int_equal(want[1].offset, 0);
	run("echo 'int main(void) { return 0; }' >m.c && cc -O1 -nostdlib -static -Wl,-e,main -s -o libu.so m.c");
	assert_int_equal(find(in_dir("libu.so"), want, 2), -ENODATA);
	assert_string_equal(elf_why(-ENODATA), "it has no symbols");
}

/* The bytes of a library with some of them changed. */
static void bent(const char *from, const char *to, size_t at, const void *with, size_t n, size_t cut)
{
	static char buf[1 << 20];
	FILE *f = fopen(in_dir(from), "r");
	size_t size;

	assert_non_null(f);
	size = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	assert_true(at + n <= size);
	memcpy(buf + at, with, n);
	f = fopen(in_dir(to), "w");
	assert_non_null(f);
	fwrite(buf, 1, cut ? cut : size, f);
	fclose(f);
}

static void others(void **state)
{
	struct elf_want want[] = { { .name = "llama_decode" } };
	uint16_t machine = 8 /* MIPS */, many = 60000;
	uint64_t far = 1ull << 62;
	char class32 = 1;

	library("liba.so", "llama_decode", "");
	bent("liba.so", "m.so", 18, &machine, 2, 0);
	assert_int_equal(find(in_dir("m.so"), want, 1), -ENOTSUP);
	bent("liba.so", "m.so", 4, &class32, 1, 0);
	assert_int_equal(find(in_dir("m.so"), want, 1), -ENOTSUP);
	bent("liba.so", "m.so", 0, "#!/bin/sh\n", 10, 0);
	assert_int_equal(find(in_dir("m.so"), want, 1), -ENOEXEC);
	bent("liba.so", "m.so", 40, &far, 8, 0); /* where the sections are */
	assert_int_equal(find(in_dir("m.so"), want, 1), -EBADMSG);
	bent("liba.so", "m.so", 56, &many, 2, 0); /* segments */
	assert_int_equal(find(in_dir("m.so"), want, 1), -EBADMSG);
	bent("liba.so", "m.so", 0, "", 0, 5000);
	assert_int_equal(find(in_dir("m.so"), want, 1), -EBADMSG);
	bent("liba.so", "m.so", 0, "", 0, 30);
	assert_int_equal(find(in_dir("m.so"), want, 1), -ENOEXEC);
	assert_int_equal(find(dir, want, 1), -ENOEXEC);
}

static void lines_of_maps(void **state)
{
	static const struct {
		const char *line;
		int is, named, deleted;
		const char *path;
	} t[] = {
		{ "7f00-8000 r-xp 00001000 fe:01 77 /lib/libllama.so.0.7.0\n", 1, 1, 0, "/lib/libllama.so.0.7.0" },
		{ "7f00-8000 r-xp 00001000 fe:01 77 /a b/xllama.so (deleted)\n", 1, 1, 1, "/a b/xllama.so" },
		{ "7f00-8000 r-xp 00001000 fe:01 77 /v/_C_AVX512.abi3.so\n", 1, 1, 0, "/v/_C_AVX512.abi3.so" },
		{ "7f00-8000 r-xp 00001000 fe:01 77 /usr/bin/python3.11\n", 1, 0, 0, "/usr/bin/python3.11" },
		{ "7f00-8000 r-xp 00001000 fe:01 77 /libllama.so/x\n", 1, 0, 0, "/libllama.so/x" },
		{ "7f00-8000 r--p 00001000 fe:01 77 /usr/lib/libllama.so.0.7.0\n", 0, 0, 0, "" },
		{ "7f00-8000 r-xp 00000000 00:00 0 \n", 0, 0, 0, "" },
		{ "7f00-8000 r-xp 00000000 00:00 0 [vdso]\n", 0, 0, 0, "" },
		{ "7f00-8000 r-xp 00001000 00:0f 9 anon_inode:x\n", 0, 0, 0, "" },
		{ "8000-7f00 r-xp 00001000 fe:01 77 /usr/lib/libllama.so\n", 0, 0, 0, "" },
		{ "7f00-8000 r-xp 00001000 fe:01\n", 0, 0, 0, "" },
		{ "7f00 r-xp\n", 0, 0, 0, "" },
		{ "", 0, 0, 0, "" },
	};
	struct engine_module m;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		assert_int_equal(engine_maps_line(t[i].line, &m), t[i].is);
		if (!t[i].is)
			continue;
		assert_string_equal(m.path, t[i].path);
		assert_int_equal(m.named, t[i].named);
		assert_int_equal(m.deleted, t[i].deleted);
		assert_int_equal(m.ino, 77);
		assert_true(m.start == 0x7f00 && m.end == 0x8000);
	}
}

/* This process has a library loaded: what is found in it, also when its name is gone or another file's. */
static int look(const char *name, struct engine_module *ret)
{
	static struct engine_module m[ENGINE_MODULES];
	int n = engine_modules((uint32_t)getpid(), m, ENGINE_MODULES), i;

	assert_true(n > 0);
	for (i = 0; i < n && strcmp(m[i].path, in_dir(name)); i++)
		;
	if (i == n)
		return 0;
	engine_look((uint32_t)getpid(), &m[i]);
	*ret = m[i];
	return 1;
}

static void what_is_loaded(void **state)
{
	struct engine_module m;
	uint64_t at, end;
	void *h;

	library("libllama.so.9", "llama_decode " UBATCH " " COMPUTE, "");
	at = place(in_dir("libllama.so.9"), UBATCH);
	end = place(in_dir("libllama.so.9"), COMPUTE);
	assert_int_equal(look("libllama.so.9", &m), 0);
	h = dlopen(in_dir("libllama.so.9"), RTLD_NOW);
	assert_non_null(h);
	assert_int_equal(look("libllama.so.9", &m), 1);
	assert_int_equal(m.err, 0);
	assert_int_equal(m.exe, 0);
	assert_int_equal(engine_choose("llama.cpp", &m, 1), 0);
	assert_int_equal(m.at[0][0], at);
	assert_int_equal(m.at[0][1], end);
	assert_int_equal(engine_choose("vLLM on CPU", &m, 1), -1);
	library("new.so", "something_else", "");
	run("mv new.so libllama.so.9");
	assert_int_equal(look("libllama.so.9", &m), 1);
	assert_int_equal(m.deleted, 1);
	if (m.err != -ESTALE) { /* without the right to read what is mapped, another file is not taken for it */
		assert_int_equal(m.err, 0);
		assert_int_equal(m.at[0][0], at);
	}
	dlclose(h);
	assert_int_equal(look("libllama.so.9", &m), 0);
}

/* The first way that is whole, in any of the files. */
static void which_way(void **state)
{
	static struct engine_module m[3];
	static const char *const paths[] = { "/libggml-base.so.0", "/libllama.so.0", "/bin/server" };
	int i;

	memset(m, 0, sizeof(m));
	for (i = 0; i < 3; i++)
		snprintf(m[i].path, sizeof(m[i].path), "%s", paths[i]);
	assert_int_equal(engine_choose("llama.cpp", m, 3), -1);
	m[0].at[3][0] = m[0].at[3][1] = 64;
	assert_int_equal(engine_choose("llama.cpp", m, 3), 3);
	m[2].at[1][0] = m[2].at[1][1] = 64;
	assert_int_equal(engine_choose("llama.cpp", m, 3), 3); /* not the executable, and no name of an engine's */
	m[2].exe = 1;
	assert_int_equal(engine_choose("llama.cpp", m, 3), 1);
	m[1].at[0][0] = 64;
	assert_int_equal(engine_choose("llama.cpp", m, 3), 1); /* half a way is none */
	m[1].at[0][1] = 64;
	assert_int_equal(engine_choose("llama.cpp", m, 3), 0);
	m[1].err = -ENODATA;
	assert_int_equal(engine_choose("llama.cpp", m, 3), 1);
	assert_int_equal(engine_choose("no engine", m, 3), -1);
}

static void ranks(void **state)
{
	assert_int_equal(engine_is_further_rank("VLLM::Worker_TP1"), 1);
	assert_int_equal(engine_is_further_rank("VLLM::Worker_DP1_TP12"), 1);
	assert_int_equal(engine_is_further_rank("VLLM::Worker_TP0"), 0);
	assert_int_equal(engine_is_further_rank("VLLM::Worker_DP1_TP0_EP1"), 0);
	assert_int_equal(engine_is_further_rank("VLLM::Worker"), 0);
	assert_int_equal(engine_is_further_rank("/srv/a_TP/x"), 0);
	assert_int_equal(engine_is_further_rank(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_found),
		cmocka_unit_test(what_strip_leaves),
		cmocka_unit_test(others),
		cmocka_unit_test(lines_of_maps),
		cmocka_unit_test(what_is_loaded),
		cmocka_unit_test(which_way),
		cmocka_unit_test(ranks),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
