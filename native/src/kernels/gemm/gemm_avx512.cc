#include "kernels/gemm/gemm_template.h"
#include "simd/avx512.h"

namespace bertc {

using simd::Avx512;

void gemm_f32_avx512(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx512, Avx512::DotF32>(gemm, first_block, last_block);
}

void gemm_bf16_avx512(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx512, Avx512::DotBf16>(gemm, first_block, last_block);
}

void gemm_int8_avx512(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx512, Avx512::DotInt8>(gemm, first_block, last_block);
}

}  // namespace bertc
