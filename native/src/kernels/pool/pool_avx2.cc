#include "kernels/pool/pool_template.h"
#include "simd/avx2.h"

namespace bertc {

void pool_avx2(const Pool& in) { pool::run<simd::Avx2>(in); }

void normalize_avx2(const float* x, std::size_t rows, std::size_t padded_columns, float* out) {
  pool::normalize<simd::Avx2>(x, rows, padded_columns, out);
}

}  // namespace bertc
