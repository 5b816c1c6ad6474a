#include "kernels/gemm/gemm_template.h"
#include "simd/scalar16.h"

namespace bertc {

using simd::Scalar16;

void gemm_f32_scalar(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Scalar16, Scalar16::DotF32>(gemm, first_block, last_block);
}

void gemm_bf16_scalar(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Scalar16, Scalar16::DotBf16>(gemm, first_block, last_block);
}

void gemm_int8_scalar(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Scalar16, Scalar16::DotInt8>(gemm, first_block, last_block);
}

}  // namespace bertc
