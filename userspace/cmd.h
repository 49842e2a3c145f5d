/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The commands. Each takes its argv, prints what it has to say, and returns the exit status. */
#ifndef IPW_CMD_H
#define IPW_CMD_H

/* Without a word, on a terminal: the servers that run here, and what to type. */
int cmd_servers(void);
int cmd_trace(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_script(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_grade(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_cover(int argc, char **argv);
int cmd_route(int argc, char **argv);
int cmd_fit(int argc, char **argv);
int cmd_csv(int argc, char **argv);

struct sink;

/* Plays a recording (NULL: the default one) into a sink. Returns the exit status. */
int report_file(const char *path, int by_tokens, const struct sink *sink);

#endif
