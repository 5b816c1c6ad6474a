// Whether packed 8-bit weights keep the bound that kernels rely on (WeightBound in kernels/gemm/kernel.h).
#pragma once

#include "common/tensor.h"
#include "kernels/kernels.h"

namespace bertc {

// `weight` is int8 [blocks][groups][16][4].
bool keeps_bound(const Tensor& weight, WeightBound bound);

}  // namespace bertc
