#include "kernels/peak/peak_template.h"
#include "simd/scalar16.h"

namespace bertc {

std::size_t peak_f32_scalar(std::size_t iterations) { return peak::run<simd::Scalar16::DotF32>(iterations); }
std::size_t peak_bf16_scalar(std::size_t iterations) {
  return peak::run<simd::Scalar16::DotBf16>(iterations);
}
std::size_t peak_int8_scalar(std::size_t iterations) {
  return peak::run<simd::Scalar16::DotInt8>(iterations);
}

}  // namespace bertc
