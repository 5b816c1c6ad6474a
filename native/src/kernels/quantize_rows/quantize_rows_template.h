// Row quantization, once for all instruction sets. The contract is in kernel.h.
#pragma once

#include "kernels/quantize_rows/kernel.h"
#include "simd/inline.h"

namespace bertc::quantize_rows {

// What quantize_row takes as element i.. of a row: the row itself, or multiplier * row + offset.
template <class V>
struct Plain {
  typename V::F32 operator()(const float* x, std::size_t i) const { return V::load(x + i); }
};

template <class V>
struct Affine {
  const float* multiplier;
  const float* offset;
  typename V::F32 operator()(const float* x, std::size_t i) const {
    return V::fma(V::load(x + i), V::load(multiplier + i), V::load(offset + i));
  }
};

template <class V, class Element = Plain<V>>
void quantize_row(const float* x, std::size_t padded_columns, uint8_t* quantized, float* scale,
                  int32_t* zero_point, const Element& element = {}) {
  using F32 = typename V::F32;
  F32 lowest = V::set(0.0f);
  F32 highest = V::set(0.0f);
  for (std::size_t i = 0; i < padded_columns; i += 16) {
    const F32 value = element(x, i);
    lowest = V::min(value, lowest);
    highest = V::max(value, highest);
  }
  const float low = V::smallest(lowest);
  const float range = V::largest(highest) - low;
  const bool usable = range > 1e-30f && range <= 3.402823466e38f;
  const float inverse = usable ? 255.0f / range : 0.0f;
  const float shift = usable ? __builtin_nearbyintf(-low * inverse) : 0.0f;
  *scale = usable ? range / 255.0f : 0.0f;
  *zero_point = static_cast<int32_t>(shift);
  const F32 factor = V::set(inverse);
  const F32 offset = V::set(shift);
  for (std::size_t i = 0; i < padded_columns; i += 16) {
    V::store_u8(quantized + i, V::to_int(V::add(V::round(V::mul(element(x, i), factor)), offset)));
  }
}

template <class V>
void run(const QuantizeRows& in) {
  for (std::size_t row = 0; row < in.rows; ++row) {
    const std::size_t at = row * in.padded_columns;
    quantize_row<V>(in.x + at, in.padded_columns, in.quantized + at, in.scale + row, in.zero_point + row);
  }
}

template <class V>
void cast_bf16(const float* x, std::size_t count, uint16_t* out) {
  for (std::size_t i = 0; i < count; i += 16) V::store_bf16(out + i, V::load(x + i));
}

}  // namespace bertc::quantize_rows
