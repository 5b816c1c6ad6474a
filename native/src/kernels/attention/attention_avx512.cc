#include "kernels/attention/attention_template.h"
#include "simd/avx512.h"

namespace bertc {

void attention_f32_avx512(const Attention& attention) {
  attention::run<simd::Avx512, simd::Avx512::DotF32>(attention);
}

void attention_int8_avx512(const Attention& attention) {
  attention::run_int8<simd::Avx512, simd::Avx512::DotF32>(attention);
}

}  // namespace bertc
