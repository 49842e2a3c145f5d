// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/util/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

#define SEGMENTS_MAX 512
#define SECTIONS_MAX 65536
#define TABLES_MAX   4
#define AT_ONCE      2048 /* symbols */

struct elf {
	int        fd;
	uint64_t   size;
	Elf64_Ehdr h;
	Elf64_Phdr *seg;
	Elf64_Shdr *sec;
	uint32_t   nseg, nsec;
};

const char *elf_why(int err)
{
	switch (err) {
	case -ENOEXEC:
		return "it is no ELF file";
	case -ENOTSUP:
		return "it is of another machine than this";
	case -ENODATA:
		return "it has no symbols";
	case -EBADMSG:
		return "its ELF headers contradict themselves";
	case -EFBIG:
		return "it has more symbols than are looked at";
	default:
		return strerror(-err);
	}
}

static int in_file(const struct elf *e, uint64_t at, uint64_t n)
{
	return at <= e->size && n <= e->size - at;
}

static int read_at(const struct elf *e, uint64_t at, void *buf, size_t n)
{
	char *p = buf;
	ssize_t r;

	if (!in_file(e, at, n))
		return -EBADMSG;
	while (n) {
		r = pread(e->fd, p, n, (off_t)at);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EBADMSG; /* it was cut while we read */
		p += r;
		at += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static int read_alloc(const struct elf *e, uint64_t at, size_t n, void **ret)
{
	void *buf;
	int err;

	if (!n || !in_file(e, at, n))
		return -EBADMSG;
	buf = malloc(n);
	if (!buf)
		return -ENOMEM;
	err = read_at(e, at, buf, n);
	if (err)
		free(buf);
	else
		*ret = buf;
	return err;
}

static int read_headers(struct elf *e)
{
	Elf64_Shdr first;
	int err;

	if (e->size < sizeof(e->h) || read_at(e, 0, &e->h, sizeof(e->h)) || memcmp(e->h.e_ident, ELFMAG, SELFMAG))
		return -ENOEXEC;
	if (e->h.e_ident[EI_CLASS] != ELFCLASS64 || e->h.e_ident[EI_DATA] != ELFDATA2LSB || e->h.e_machine != MACHINE)
		return -ENOTSUP;
	if (e->h.e_type != ET_EXEC && e->h.e_type != ET_DYN)
		return -ENOEXEC;
	if (!e->h.e_shoff)
		return -ENODATA;
	e->nsec = e->h.e_shnum;
	if (!e->nsec) { /* more than fit into its field */
		err = read_at(e, e->h.e_shoff, &first, sizeof(first));
		if (err)
			return err;
		e->nsec = first.sh_size > SECTIONS_MAX ? SECTIONS_MAX + 1 : (uint32_t)first.sh_size;
	}
	e->nseg = e->h.e_phnum;
	if (e->h.e_phentsize != sizeof(*e->seg) || e->h.e_shentsize != sizeof(*e->sec) || !e->nseg || !e->nsec ||
	    e->nseg > SEGMENTS_MAX || e->nsec > SECTIONS_MAX)
		return -EBADMSG;
	err = read_alloc(e, e->h.e_phoff, e->nseg * sizeof(*e->seg), (void **)&e->seg);
	return err ? err : read_alloc(e, e->h.e_shoff, e->nsec * sizeof(*e->sec), (void **)&e->sec);
}

/* From an address to a place in the file; 0: it is no code. */
static uint64_t offset_of(const struct elf *e, uint64_t addr)
{
	const Elf64_Phdr *s;
	uint64_t off;
	uint32_t i;

	for (i = 0; i < e->nseg; i++) {
		s = &e->seg[i];
		off = addr - s->p_vaddr;
		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X) || addr < s->p_vaddr || off >= s->p_filesz)
			continue;
		return in_file(e, s->p_offset, off + 1) ? s->p_offset + off : 0;
	}
	return 0;
}

static int is_name(const char *want, const char *name)
{
	size_t n = strlen(want);

	if (!n || want[n - 1] != '*')
		return !strcmp(want, name);
	return !strncmp(want, name, n - 1) && !strchr(name, '.');
}

static void match(const struct elf *e, const Elf64_Sym *s, const char *name, struct elf_want *want, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (!want[i].offset && is_name(want[i].name, name))
			want[i].offset = offset_of(e, s->st_value);
}

static int is_code(const Elf64_Sym *s)
{
	return ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF && s->st_value;
}

/* One table of symbols and its names, a piece at a time. */
static int walk(const struct elf *e, const Elf64_Shdr *tab, const char *names, size_t size, struct elf_want *want,
		int n)
{
	static Elf64_Sym buf[AT_ONCE];
	uint64_t left = tab->sh_size / sizeof(*buf), at = tab->sh_offset;
	size_t k, i;
	int err;

	for (; left; left -= k, at += k * sizeof(*buf)) {
		k = left < AT_ONCE ? (size_t)left : AT_ONCE;
		err = read_at(e, at, buf, k * sizeof(*buf));
		if (err)
			return err;
		for (i = 0; i < k; i++)
			if (is_code(&buf[i]) && buf[i].st_name < size)
				match(e, &buf[i], names + buf[i].st_name, want, n);
	}
	return 0;
}

static int table(const struct elf *e, const Elf64_Shdr *tab, struct elf_want *want, int n)
{
	const Elf64_Shdr *str;
	char *names = NULL;
	int err;

	if (tab->sh_entsize != sizeof(Elf64_Sym) || tab->sh_link >= e->nsec ||
	    !in_file(e, tab->sh_offset, tab->sh_size))
		return -EBADMSG;
	str = &e->sec[tab->sh_link];
	if (str->sh_type != SHT_STRTAB || !str->sh_size)
		return -EBADMSG;
	if (tab->sh_size > ELF_SYMBOLS_MAX || str->sh_size > ELF_NAMES_MAX)
		return -EFBIG;
	err = read_alloc(e, str->sh_offset, (size_t)str->sh_size, (void **)&names);
	if (err)
		return err;
	names[str->sh_size - 1] = 0;
	err = walk(e, tab, names, (size_t)str->sh_size, want, n);
	free(names);
	return err;
}

static int all_found(const struct elf_want *want, int n)
{
	while (n && want[n - 1].offset)
		n--;
	return !n;
}

static int find(struct elf *e, struct elf_want *want, int n)
{
	int err = read_headers(e), tables = 0;
	uint32_t i;

	for (i = 0; i < e->nsec && !err && tables < TABLES_MAX && !all_found(want, n); i++) {
		if (e->sec[i].sh_type != SHT_SYMTAB && e->sec[i].sh_type != SHT_DYNSYM)
			continue;
		err = table(e, &e->sec[i], want, n);
		tables++;
	}
	return err ? err : tables ? 0 : -ENODATA;
}

int elf_find(int fd, struct elf_want *want, int n)
{
	struct elf e = { .fd = fd };
	struct stat st;
	int i, err;

	for (i = 0; i < n; i++)
		want[i].offset = 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	e.size = (uint64_t)st.st_size;
	err = find(&e, want, n);
	free(e.seg);
	free(e.sec);
	return err;
}
