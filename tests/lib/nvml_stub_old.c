// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define NVML_STUB_OLD
#include "tests/lib/nvml_stub.c"
