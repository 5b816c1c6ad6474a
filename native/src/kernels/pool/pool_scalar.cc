#include "kernels/pool/pool_template.h"
#include "simd/scalar16.h"

namespace bertc {

void pool_scalar(const Pool& in) { pool::run<simd::Scalar16>(in); }

void normalize_scalar(const float* x, std::size_t rows, std::size_t padded_columns, float* out) {
  pool::normalize<simd::Scalar16>(x, rows, padded_columns, out);
}

}  // namespace bertc
