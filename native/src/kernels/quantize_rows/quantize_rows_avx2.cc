#include "kernels/quantize_rows/quantize_rows_template.h"
#include "simd/avx2.h"

namespace bertc {

void quantize_rows_avx2(const QuantizeRows& in) { quantize_rows::run<simd::Avx2>(in); }

void cast_bf16_avx2(const float* x, std::size_t count, uint16_t* out) {
  quantize_rows::cast_bf16<simd::Avx2>(x, count, out);
}

}  // namespace bertc
