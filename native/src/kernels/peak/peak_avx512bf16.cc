#include "kernels/peak/peak_template.h"
#include "simd/avx512bf16.h"

namespace bertc {

std::size_t peak_bf16_avx512bf16(std::size_t iterations) {
  return peak::run<simd::Avx512Bf16::DotBf16>(iterations);
}

}  // namespace bertc
