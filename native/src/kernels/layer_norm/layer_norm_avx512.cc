#include "kernels/layer_norm/layer_norm_template.h"
#include "simd/avx512.h"

namespace bertc {

void layer_norm_avx512(const LayerNorm& in) { layer_norm::run<simd::Avx512>(in); }

}  // namespace bertc
