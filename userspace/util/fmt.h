/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers for people, in few columns. */
#ifndef IPW_UTIL_FMT_H
#define IPW_UTIL_FMT_H

#include <stddef.h>

/* Three significant digits in five columns: "0.031", "12.4", "310", "4999", "42.1k"; "-" when unknown. Returns buf. */
char *fmt3(char *buf, size_t size, double v);
/* The same in four: ".031", "12.4", "310", "4999", "42k". */
char *fmt4(char *buf, size_t size, double v);

#endif
