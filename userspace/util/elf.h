/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a function is in an ELF file. The file is somebody else's, perhaps being written while it is read, so it is
 * read by pread(), never mapped; nothing in it is trusted, and what is read of it is bounded.
 */
#ifndef IPW_UTIL_ELF_H
#define IPW_UTIL_ELF_H

#include <stddef.h>
#include <stdint.h>

#define ELF_SYMBOLS_MAX (64u << 20)  /* bytes of one symbol table that are read */
#define ELF_NAMES_MAX   (128u << 20) /* and of its names */

struct elf_want {
	const char *name; /* ends in '*': what begins so, and has no '.' (a compiler's part of a function) */
	uint64_t offset;  /* in the file, of its first instruction; 0: it is not there */
};

/*
 * Looks for functions that the file defines, in .symtab and .dynsym. 0, whether they are there or not; -ENOEXEC: no ELF
 * file; -ENOTSUP: of another machine; -ENODATA: it has no symbols; -EBADMSG: it contradicts itself; -EFBIG: more
 * symbols than are read; or -errno.
 */
int elf_find(int fd, struct elf_want *want, int n);

/* That code for people. */
const char *elf_why(int err);

#endif
