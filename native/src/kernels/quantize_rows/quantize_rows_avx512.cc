#include "kernels/quantize_rows/quantize_rows_template.h"
#include "simd/avx512.h"

namespace bertc {

void quantize_rows_avx512(const QuantizeRows& in) { quantize_rows::run<simd::Avx512>(in); }

void cast_bf16_avx512(const float* x, std::size_t count, uint16_t* out) {
  quantize_rows::cast_bf16<simd::Avx512>(x, count, out);
}

}  // namespace bertc
