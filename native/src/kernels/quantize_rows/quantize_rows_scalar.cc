#include "kernels/quantize_rows/quantize_rows_template.h"
#include "simd/scalar16.h"

namespace bertc {

void quantize_rows_scalar(const QuantizeRows& in) { quantize_rows::run<simd::Scalar16>(in); }

void cast_bf16_scalar(const float* x, std::size_t count, uint16_t* out) {
  quantize_rows::cast_bf16<simd::Scalar16>(x, count, out);
}

}  // namespace bertc
