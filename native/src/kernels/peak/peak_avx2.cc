#include "kernels/peak/peak_template.h"
#include "simd/avx2.h"

namespace bertc {

std::size_t peak_f32_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotF32>(iterations); }
std::size_t peak_bf16_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotBf16>(iterations); }
// Of weights bounded in pairs, as the default recipe makes them.
std::size_t peak_int8_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotInt8Pairs>(iterations); }
std::size_t peak_int8_fours_avx2(std::size_t iterations) {
  return peak::run<simd::Avx2::DotInt8Fours>(iterations);
}

}  // namespace bertc
