#include "kernels/gemm/gemm_template.h"
#include "simd/avx512bf16.h"

namespace bertc {

void gemm_bf16_avx512bf16(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<simd::Avx512Bf16, simd::Avx512Bf16::DotBf16>(gemm, first_block, last_block);
}

// For its bf16 output, which is rounded by one instruction.
void gemm_int8_avx512bf16(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<simd::Avx512Bf16, simd::Avx512Bf16::DotInt8>(gemm, first_block, last_block);
}

}  // namespace bertc
