/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The reasons that a user reads in `list`: short, in words, several of them parted by "; ". */
#ifndef IPW_COLLECTOR_WHY_H
#define IPW_COLLECTOR_WHY_H

#include <stddef.h>

/* Adds a reason to those in `why`. What does not fit is cut, and "..." says so. */
void why_add(char *why, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts '?' for each byte that is not printable ASCII: the names of devices come from firmware and go to terminals. */
void printable(char *s);

#endif
