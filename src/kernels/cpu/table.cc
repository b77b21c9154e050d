// The table of one ISA's kernels.
#include "kernels/cpu/ops.h"
#include "kernels/packed.h"

#define SIGMA_NAME_(isa) #isa
#define SIGMA_NAME(isa) SIGMA_NAME_(isa)

namespace sigma::SIGMA_ISA {

extern const Kernels kernels;
const Kernels kernels = {
    .name = SIGMA_NAME(SIGMA_ISA),
    .pack = pack_panels,
    .matmul = matmul,
    .rms_norm = rms_norm,
    .rope = rope,
    .swiglu = swiglu,
    .page_bytes = page_bytes,
    .kv_store = kv_store,
    .kv_load = kv_load,
    .attention = attention,
    .gradients = &gradients,
};

}  // namespace sigma::SIGMA_ISA
