#include "kernels/gemm/gemm_template.h"
#include "simd/avxvnni.h"

namespace bertc {

void gemm_int8_avxvnni(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  gemm::run<simd::AvxVnni, simd::AvxVnni::DotInt8>(gemm, first_block, last_block);
}

}  // namespace bertc
