#include "kernels/peak/peak_template.h"
#include "simd/avx2.h"

namespace bertc {

std::size_t peak_f32_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotF32>(iterations); }
std::size_t peak_bf16_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotBf16>(iterations); }
std::size_t peak_int8_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotInt8>(iterations); }
std::size_t peak_int7_avx2(std::size_t iterations) { return peak::run<simd::Avx2::DotInt7>(iterations); }

}  // namespace bertc
