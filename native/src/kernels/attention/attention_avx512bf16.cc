#include "kernels/attention/attention_template.h"
#include "simd/avx512bf16.h"

namespace bertc {

void attention_bf16_avx512bf16(const Attention& attention) {
  attention::run<simd::Avx512Bf16, simd::Avx512Bf16::DotBf16>(attention);
}

void attention_int8_avx512bf16(const Attention& attention) {
  attention::run_int8<simd::Avx512Bf16, simd::Avx512Bf16::DotBf16>(attention);
}

}  // namespace bertc
