#include "kernels/layer_norm/layer_norm_template.h"
#include "simd/scalar16.h"

namespace bertc {

void layer_norm_scalar(const LayerNorm& in) { layer_norm::run<simd::Scalar16>(in); }

}  // namespace bertc
