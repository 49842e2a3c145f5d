/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where engines compute a batch: which functions of which files say that a step begins and ends, and where these are in
 * what a process has mapped. Attaches nothing.
 */
#ifndef IPW_ENGINE_H
#define IPW_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/uprobe.h"

#define ENGINE_POINTS  6  /* of a way */
#define ENGINE_WAYS    8
#define ENGINE_MODULES 16 /* files of one process that may be of an engine */

/* A program of bpf/engine.bpf.c at a function. */
struct engine_point {
	const char *symbol; /* ends in '*': see elf.h */
	const char *program;
	enum uprobe_edge edge;
	int may_lack;       /* the way is one without it, too */
};

/* One way to see the steps of an engine; the first of an engine that a process has is taken. */
struct engine_way {
	const char *engine;
	const char *files;   /* base names as fnmatch() takes them, with blanks between */
	int         exe;     /* or the executable itself, whatever its name */
	const char *what;    /* is a step */
	struct engine_point at[ENGINE_POINTS];
};

extern const struct engine_way engine_ways[]; /* ends with engine NULL */

/* A file that a process has mapped to run. */
struct engine_module {
	uint64_t start, end;  /* of one mapping of it: its name under /proc/PID/map_files */
	uint64_t dev, ino;    /* as the map says */
	int      exe, named;  /* it is the executable; its name is that of an engine's file */
	int      deleted;     /* its name is no longer there, or is another file's */
	char     path[256];
	int      err;         /* it could not be read: elf_why() */
	uint64_t at[ENGINE_WAYS][ENGINE_POINTS]; /* place in the file of each point; 0: it has not that one */
};

/* One line of /proc/PID/maps: 1 if it is a file mapped to run, of which all but exe, err and at is filled. */
int engine_maps_line(const char *line, struct engine_module *ret);

/* What a process has mapped that may be of an engine, each file once. Returns how many, or -errno. */
int engine_modules(uint32_t pid, struct engine_module *ret, int max);

/* Looks up all points in a file of a process. Sets err and at. */
void engine_look(uint32_t pid, struct engine_module *m);

/* The way to take of an engine: the first that one of the modules has whole; -1: there is none. */
int engine_choose(const char *engine, const struct engine_module *m, int n);
/* This module has that way whole. */
int engine_has(const struct engine_module *m, int way);

/*
 * By what a process calls itself: it is a further rank of a tensor parallel engine ("VLLM::Worker_TP1"). All ranks
 * compute the same batch at the same time, so the first speaks for them.
 */
int engine_is_further_rank(const char *title);
/* The same of a process. */
int engine_tells_again(uint32_t pid);

/* The path by which the kernel finds a module of a process, also when its name is gone or is one in a container. */
void engine_path(uint32_t pid, const struct engine_module *m, char *buf, size_t size);

#endif
