// The CPU kernel sets: the same sources compiled once per ISA. Null where a set is not built in or this CPU (or its
// operating system, for the wide registers) cannot run it.
#pragma once

#include "kernels/kernels.h"

namespace sigma {

const Kernels* avx512_bf16_kernels();
// Intel's processors do half as many multiply-adds a second with vdpbf16ps as with f32 (they have AMX for bf16).
bool has_slow_bf16_products();
const Kernels* avx512_kernels();
const Kernels* avx2_kernels();
const Kernels* neon_kernels();
const Kernels* scalar_kernels();

}  // namespace sigma
