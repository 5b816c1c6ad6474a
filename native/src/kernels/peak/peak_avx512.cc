#include "kernels/peak/peak_template.h"
#include "simd/avx512.h"

namespace bertc {

std::size_t peak_f32_avx512(std::size_t iterations) { return peak::run<simd::Avx512::DotF32>(iterations); }
std::size_t peak_bf16_avx512(std::size_t iterations) { return peak::run<simd::Avx512::DotBf16>(iterations); }
std::size_t peak_int8_avx512(std::size_t iterations) { return peak::run<simd::Avx512::DotInt8>(iterations); }

}  // namespace bertc
