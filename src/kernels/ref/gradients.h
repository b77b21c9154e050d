// The reference set of gradients.h.
#pragma once

#include "kernels/gradients.h"

namespace sigma::ref {

extern const GradientKernels gradients;

}  // namespace sigma::ref
