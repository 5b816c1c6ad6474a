#include "kernels/gemm/gemm_template.h"
#include "simd/avx2.h"

namespace bertc {

using simd::Avx2;

void gemm_f32_avx2(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx2, Avx2::DotF32>(gemm, first_block, last_block);
}

void gemm_bf16_avx2(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx2, Avx2::DotBf16>(gemm, first_block, last_block);
}

void gemm_int8_avx2(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx2, Avx2::DotInt8>(gemm, first_block, last_block);
}

void gemm_int7_avx2(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx2, Avx2::DotInt7>(gemm, first_block, last_block);
}

}  // namespace bertc
