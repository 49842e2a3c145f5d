# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
#   make            build/ipw-trace
#   make unit       the tests that need no root, built as they are and with ASan and UBSan
#   make fuzz       the libFuzzer targets (clang)
#   make bench      what tests/bench measures
#   make install    PREFIX=/usr/local, DESTDIR=
#
# V=1 shows the commands; O=DIR builds elsewhere; SAN=1 builds with ASan and UBSan.

O       ?= build
V       ?= 0
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
CC      ?= cc
CLANG   ?= $(shell command -v clang-14 || echo clang)
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
CFLAGS  ?= -O2 -g

VERSION := $(shell cat VERSION)
ARCH    := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
Q       := $(if $(filter 1,$(V)),,@)
say      = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2);)

# Content codings beside gzip; what is not installed is left out, and `ipw-trace list` says what there is.
CODINGS     := $(shell pkg-config --exists libzstd 2>/dev/null && echo -DHAVE_ZSTD) \
	       $(shell pkg-config --exists libbrotlidec 2>/dev/null && echo -DHAVE_BROTLI)
CODING_LIBS := $(if $(findstring ZSTD,$(CODINGS)),-lzstd) $(if $(findstring BROTLI,$(CODINGS)),-lbrotlidec)

SANFLAGS    := $(if $(filter 1,$(SAN)),-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CFLAGS  := -std=gnu11 -D_GNU_SOURCE -DIPW_VERSION='"$(VERSION)"' $(CODINGS) -I. -I$(O) -Wall -Wextra \
	       -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Werror=implicit $(SANFLAGS) \
	       $(CFLAGS)
ALL_LDFLAGS := $(SANFLAGS) $(LDFLAGS)
LIBS        := -lbpf -lelf -lcurl $(CODING_LIBS) -lz -lcjson -lm -ldl

BPF_SRC  := $(wildcard bpf/*.bpf.c)
BPF_OBJ  := $(BPF_SRC:%.c=$(O)/%.o)
SKEL     := $(O)/ipw.skel.h
SRC      := $(filter-out userspace/main.c,$(wildcard userspace/*.c userspace/*/*.c)) $(wildcard collectors/*.c)
OBJ      := $(SRC:%.c=$(O)/%.o)
LIB      := $(O)/libipw.a
BIN      := $(O)/ipw-trace
UNIT_SRC := $(wildcard tests/unit/*.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(O)/%)
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(O)/%)
STUB_SRC := $(wildcard tests/lib/*_stub*.c)
STUB_SO  := $(STUB_SRC:%.c=$(O)/%.so)
HELP_SRC := $(filter-out $(STUB_SRC),$(wildcard tests/lib/*.c))
HELP_BIN := $(HELP_SRC:%.c=$(O)/%)
RIG_BIN  := $(O)/tests/rig/load $(O)/tests/rig/engine
BENCH_BIN := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all unit tests fuzz bench clean install uninstall

all: $(BIN)

$(BIN): $(O)/userspace/main.o $(LIB)
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(LIB): $(OBJ)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(O)/%.o: %.c VERSION
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Only live.c knows libbpf and the skeleton.
$(O)/userspace/live.o: | $(SKEL)

$(O)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) -g -O2 -target bpf -D__TARGET_ARCH_$(ARCH) -Wall -Werror -MMD -MP -c -o $@ $<

$(O)/bpf/ipw.o: $(BPF_OBJ)
	$(call say,BPFLD,$@)$(BPFTOOL) gen object $@ $^

$(SKEL): $(O)/bpf/ipw.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name ipw > $@

# --- tests -----------------------------------------------------------------------------------------------------------

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIB)
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(O)/tests/lib/%.so: tests/lib/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -fPIC -shared -o $@ $<

$(O)/tests/lib/%: $(O)/tests/lib/%.o $(LIB)
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(RIG_BIN): %: %.o
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm

tests: $(UNIT_BIN) $(HELP_BIN) $(STUB_SO) $(RIG_BIN)

unit: tests
	$(Q)tests/run unit

# What the fuzzers test, built once more so that clang instruments it too. An archive: what needs libbpf stays out of it
# unless a fuzzer asks for it.
FUZZ_FLAGS := -std=gnu11 -D_GNU_SOURCE $(CODINGS) -DIPW_VERSION='"$(VERSION)"' -I. -g -O1 -fno-sanitize-recover=all -MMD -MP
FUZZ_OBJ   := $(patsubst %.c,$(O)/fuzz/%.o,$(filter-out userspace/live.c,$(SRC)))

$(O)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

$(O)/fuzz/libipw.a: $(FUZZ_OBJ)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(O)/tests/fuzz/%: tests/fuzz/%.c $(O)/fuzz/libipw.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)$(CLANG) $(FUZZ_FLAGS) -MF $@.d -fsanitize=fuzzer,address,undefined -o $@ $< \
		$(O)/fuzz/libipw.a $(CODING_LIBS) -lcurl -lz -lcjson -lm -ldl

fuzz: $(FUZZ_BIN)

# BENCH="--quick cpu memory": some rows, in a hurry; see tests/bench/run --help.
$(O)/tests/bench/%: $(O)/tests/bench/%.o
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(O)/tests/bench/parse $(O)/tests/bench/results $(O)/tests/bench/edge: $(LIB)

bench: all $(BENCH_BIN)
	$(Q)IPW_BUILD=$(O) tests/bench/run $(BENCH)

# ---------------------------------------------------------------------------------------------------------------------

install: all
	install -D -m 755 $(BIN) $(DESTDIR)$(BINDIR)/ipw-trace
	install -D -m 644 userspace/man/ipw-trace.8 $(DESTDIR)$(MANDIR)/man8/ipw-trace.8

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/ipw-trace $(DESTDIR)$(MANDIR)/man8/ipw-trace.8

clean:
	rm -rf $(O)

-include $(OBJ:.o=.d) $(O)/userspace/main.d $(BPF_OBJ:.o=.d) $(UNIT_BIN:=.d) $(HELP_BIN:=.d) $(RIG_BIN:=.d) $(BENCH_BIN:=.d) $(STUB_SO:.so=.d) $(FUZZ_BIN:=.d) $(FUZZ_OBJ:.o=.d)
