// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define NVML_STUB_R450
#include "tests/lib/nvml_stub.c"
