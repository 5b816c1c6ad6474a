// Row quantization, once for all instruction sets. The contract is in kernel.h.
#pragma once

#include "kernels/quantize_rows/kernel.h"
#include "simd/inline.h"

namespace bertc::quantize_rows {

// Element i.. of what is quantized: of the row itself, of multiplier * row, of row + offset, or of both. The
// product is rounded before the sum, as in the reference: the same bits everywhere.
template <class V>
struct Plain {
  typename V::F32 operator()(const float* x, std::size_t i) const { return V::load(x + i); }
};

template <class V>
struct Scaled {
  const float* multiplier;
  typename V::F32 operator()(const float* x, std::size_t i) const {
    return V::mul(V::load(x + i), V::load(multiplier + i));
  }
};

template <class V>
struct Shifted {
  const float* offset;
  typename V::F32 operator()(const float* x, std::size_t i) const {
    return V::add(V::load(x + i), V::load(offset + i));
  }
};

template <class V>
struct Affine {
  const float* multiplier;
  const float* offset;
  typename V::F32 operator()(const float* x, std::size_t i) const {
    return V::add(V::mul(V::load(x + i), V::load(multiplier + i)), V::load(offset + i));
  }
};

// Where a row's numbers go.
struct Row {
  uint8_t* quantized;
  float* scale;
  int32_t* zero_point;
};

// The numbers of a row between which all others lie, lane by lane; zero is one of them.
template <class V>
struct Ends {
  using F32 = typename V::F32;
  F32 lowest = V::set(0.0f);
  F32 highest = V::set(0.0f);

  // Among each other first: one after the other, each would wait for the one before.
  template <std::size_t kCount>
  BERTC_INLINE void add(const F32* values) {
    lowest = V::min(fold<kCount>(values, [](F32 a, F32 b) { return V::min(a, b); }), lowest);
    highest = V::max(fold<kCount>(values, [](F32 a, F32 b) { return V::max(a, b); }), highest);
  }

 private:
  template <std::size_t kCount, class Pick>
  static BERTC_INLINE F32 fold(const F32* values, const Pick& pick) {
    if constexpr (kCount == 1)
      return *values;
    else
      return pick(fold<kCount / 2>(values, pick), fold<kCount / 2>(values + kCount / 2, pick));
  }
};

template <class V, class Element>
BERTC_INLINE void store_row(const float* x, std::size_t padded_columns, const Element& element,
                            const Ends<V>& ends, const Row& out) {
  using F32 = typename V::F32;
  const float low = V::smallest(ends.lowest);
  const float range = V::largest(ends.highest) - low;
  const bool usable = range > 1e-30f && range <= 3.402823466e38f;
  const float inverse = usable ? 255.0f / range : 0.0f;
  const float shift = usable ? __builtin_nearbyintf(-low * inverse) : 0.0f;
  *out.scale = usable ? range / 255.0f : 0.0f;
  *out.zero_point = static_cast<int32_t>(shift);
  const F32 factor = V::set(inverse);
  const F32 offset = V::set(shift);
  for (std::size_t i = 0; i < padded_columns; i += 16) {
    V::store_u8(out.quantized + i, V::to_int(V::add(V::round(V::mul(element(x, i), factor)), offset)));
  }
}

template <class V, class Element>
void quantize_by_range(const float* x, std::size_t padded_columns, const Element& element, const Row& out) {
  Ends<V> ends;
  std::size_t i = 0;
  for (; i + 64 <= padded_columns; i += 64) {
    const typename V::F32 values[] = {element(x, i), element(x, i + 16), element(x, i + 32),
                                      element(x, i + 48)};
    ends.template add<4>(values);
  }
  for (; i < padded_columns; i += 16) {
    const typename V::F32 value = element(x, i);
    ends.template add<1>(&value);
  }
  store_row<V>(x, padded_columns, element, ends, out);
}

// Registers times Sylvester's Hadamard matrix, stage by stage as in the reference: the same bits everywhere.
template <class V, std::size_t kOrder>
BERTC_INLINE void mix(typename V::F32* parts) {
  constexpr std::size_t kHalf = kOrder / 2;
  if constexpr (kOrder > 1) {
    mix<V, kHalf>(parts);
    mix<V, kHalf>(parts + kHalf);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kHalf; ++i) {
      const typename V::F32 first = parts[i];
      parts[i] = V::add(first, parts[i + kHalf]);
      parts[i + kHalf] = V::sub(first, parts[i + kHalf]);
    }
  }
}

template <class V, std::size_t kOrder, class Element>
void quantize_mixed(const float* x, std::size_t columns, const Element& element, const Row& out) {
  alignas(64) float mixed[kMostMixedColumns];
  const std::size_t stride = columns / kOrder;
  Ends<V> ends;
  for (std::size_t i = 0; i < stride; i += 16) {
    typename V::F32 parts[kOrder];
#pragma GCC unroll 16
    for (std::size_t part = 0; part < kOrder; ++part) parts[part] = element(x, part * stride + i);
    mix<V, kOrder>(parts);
    ends.template add<kOrder>(parts);
#pragma GCC unroll 16
    for (std::size_t part = 0; part < kOrder; ++part) V::store(mixed + part * stride + i, parts[part]);
  }
  store_row<V>(mixed, columns, Plain<V>{}, ends, out);
}

// Sixteen numbers by a static scale. Other kernels write their results with it, too.
template <class V>
BERTC_INLINE void store_static(uint8_t* to, typename V::F32 x, const StaticScale& static_scale) {
  const typename V::F32 value =
      V::add(V::round(V::mul(x, V::set(static_scale.inverse))), V::set(static_scale.zero_point));
  // Held to 0..255 before they become integers: those that are far outside would wrap around.
  V::store_u8(to, V::to_int(V::min(V::max(value, V::set(0.0f)), V::set(255.0f))));
}

template <class V, class Element>
void quantize_static(const float* x, std::size_t padded_columns, const Element& element,
                     StaticScale static_scale, const Row& out) {
  *out.scale = static_scale.scale;
  *out.zero_point = static_cast<int32_t>(static_scale.zero_point);
  for (std::size_t i = 0; i < padded_columns; i += 16) {
    store_static<V>(out.quantized + i, element(x, i), static_scale);
  }
}

template <class V, class Element>
void quantize_elements(const float* x, std::size_t padded_columns, const Element& element,
                       const RowQuantization& quantization, const Row& out) {
  if (quantization.static_scale.scale > 0.0f) {
    quantize_static<V>(x, padded_columns, element, quantization.static_scale, out);
    return;
  }
  switch (quantization.hadamard) {
    case 2:
      return quantize_mixed<V, 2>(x, padded_columns, element, out);
    case 4:
      return quantize_mixed<V, 4>(x, padded_columns, element, out);
    case 8:
      return quantize_mixed<V, 8>(x, padded_columns, element, out);
    case 16:
      return quantize_mixed<V, 16>(x, padded_columns, element, out);
    default:
      return quantize_by_range<V>(x, padded_columns, element, out);
  }
}

template <class V>
void quantize_row(const float* x, std::size_t padded_columns, const RowQuantization& quantization,
                  const float* offset, const Row& out) {
  const float* multiplier = quantization.multiplier;
  if (multiplier != nullptr && offset != nullptr) {
    quantize_elements<V>(x, padded_columns, Affine<V>{multiplier, offset}, quantization, out);
  } else if (multiplier != nullptr) {
    quantize_elements<V>(x, padded_columns, Scaled<V>{multiplier}, quantization, out);
  } else if (offset != nullptr) {
    quantize_elements<V>(x, padded_columns, Shifted<V>{offset}, quantization, out);
  } else {
    quantize_elements<V>(x, padded_columns, Plain<V>{}, quantization, out);
  }
}

template <class V>
void run(const QuantizeRows& in) {
  RowPlaces places = in.places;
  for (std::size_t row = 0; row < in.rows; ++row) {
    const std::size_t at = row * in.padded_columns;
    const float* offset = in.quantization.offset;
    if (places.ends != nullptr) offset = vector_of(places.of(row), in.quantization.offsets, offset);
    quantize_row<V>(in.x + at, in.padded_columns, in.quantization, offset,
                    {in.quantized + at, in.scale + row, in.zero_point + row});
  }
}

template <class V>
void cast_bf16(const float* x, std::size_t count, uint16_t* out) {
  for (std::size_t i = 0; i < count; i += 16) V::store_bf16(out + i, V::load(x + i));
}

}  // namespace bertc::quantize_rows
