// Layer norm, once for all instruction sets. The contract is in kernel.h.
#pragma once

#include "kernels/layer_norm/kernel.h"
#include "kernels/quantize_rows/quantize_rows_template.h"

namespace bertc::layer_norm {

template <class V>
float row_mean(const float* x, std::size_t columns, std::size_t padded) {
  typename V::F32 sum = V::set(0.0f);
  for (std::size_t i = 0; i < padded; i += 16) sum = V::add(sum, V::load(x + i));
  return V::sum(sum) / static_cast<float>(columns);
}

template <class V>
float row_variance(const float* x, std::size_t columns, float mean) {
  using F32 = typename V::F32;
  const F32 center = V::set(mean);
  const std::size_t whole = columns / 16 * 16;
  F32 squares = V::set(0.0f);
  for (std::size_t i = 0; i < whole; i += 16) {
    const F32 distance = V::sub(V::load(x + i), center);
    squares = V::fma(distance, distance, squares);
  }
  if (whole != columns) {
    const int rest = static_cast<int>(columns - whole);
    const F32 distance = V::keep_lanes(V::sub(V::load(x + whole), center), rest, 0.0f);
    squares = V::fma(distance, distance, squares);
  }
  return V::sum(squares) / static_cast<float>(columns);
}

template <class V>
void run(const LayerNorm& in) {
  using F32 = typename V::F32;
  RowPlaces places = in.places;
  for (std::size_t row = 0; row < in.rows; ++row) {
    const float* x = in.x + row * in.padded_columns;
    float* y = in.y + row * in.padded_columns;
    const float mean = in.rms ? 0.0f : row_mean<V>(x, in.columns, in.padded_columns);
    const float variance = row_variance<V>(x, in.columns, mean);
    const F32 center = V::set(mean);
    const F32 inverse = V::set(1.0f / __builtin_sqrtf(variance + in.epsilon));
    for (std::size_t i = 0; i < in.padded_columns; i += 16) {
      const F32 normal = V::mul(V::sub(V::load(x + i), center), inverse);
      const F32 out = V::fma(normal, V::load(in.gamma + i), V::load(in.beta + i));
      V::store(y + i, out);
      if (in.bf16 != nullptr) V::store_bf16(in.bf16 + row * in.padded_columns + i, out);
    }
    if (in.quantized != nullptr) {
      uint8_t* quantized = in.quantized + row * in.padded_columns;
      const float* offset = in.quantization.offset;
      if (places.ends != nullptr) offset = vector_of(places.of(row), in.quantization.offsets, offset);
      quantize_rows::quantize_row<V>(y, in.padded_columns, in.quantization, offset,
                                     {quantized, in.scale + row, in.zero_point + row});
    }
  }
}

}  // namespace bertc::layer_norm
