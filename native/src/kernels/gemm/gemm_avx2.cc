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

void gemm_int8_pairs_avx2(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<Avx2, Avx2::DotInt8Pairs>(gemm, first_block, last_block);
}

// A step of the loop takes two groups: where they are odd, weights bounded in fours are taken by pairs.
void gemm_int8_fours_avx2(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  if (gemm.depth_groups % 2 != 0) return gemm_int8_pairs_avx2(gemm, first_block, last_block);
  Gemm by_two = gemm;
  by_two.depth_groups /= 2;
  gemm::run<Avx2, Avx2::DotInt8Fours>(by_two, first_block, last_block);
}

}  // namespace bertc
