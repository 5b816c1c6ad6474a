#include "kernels/pool/pool_template.h"
#include "simd/avx512.h"

namespace bertc {

void pool_avx512(const Pool& in) { pool::run<simd::Avx512>(in); }

void normalize_avx512(const float* x, std::size_t rows, std::size_t padded_columns, float* out) {
  pool::normalize<simd::Avx512>(x, rows, padded_columns, out);
}

}  // namespace bertc
