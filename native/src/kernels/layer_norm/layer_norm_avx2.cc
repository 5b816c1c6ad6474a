#include "kernels/layer_norm/layer_norm_template.h"
#include "simd/avx2.h"

namespace bertc {

void layer_norm_avx2(const LayerNorm& in) { layer_norm::run<simd::Avx2>(in); }

}  // namespace bertc
