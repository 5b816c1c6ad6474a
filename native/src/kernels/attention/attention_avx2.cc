#include "kernels/attention/attention_template.h"
#include "simd/avx2.h"

namespace bertc {

void attention_f32_avx2(const Attention& attention) {
  attention::run<simd::Avx2, simd::Avx2::DotF32>(attention);
}

}  // namespace bertc
