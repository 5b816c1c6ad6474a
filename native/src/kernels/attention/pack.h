// What attention does to its input first: brings a head's rows to the product's type, and keys and
// values to the layout of packed weights, [blocks][groups][16][kDepth].
#pragma once

#include <type_traits>

#include "kernels/attention/kernel.h"
#include "simd/inline.h"

namespace bertc::attention {

// A head's queries, keys and values in the product's type.
template <class Element>
struct Head {
  const Element* query;
  const Element* key;
  const Element* value;
  std::size_t stride;
};

template <class V>
BERTC_INLINE void convert(const float* from, uint16_t* to) {
  V::store_bf16(to, V::load(from));
}

template <class V>
BERTC_INLINE void convert(const uint16_t* from, float* to) {
  V::store(to, V::load_bf16(from));
}

template <class V, class From, class Element>
Head<Element> convert_head(const Attention& in, Element* to) {
  const void* const inputs[] = {in.query, in.key, in.value};
  const Element* parts[3];
  for (std::size_t part = 0; part < 3; ++part) {
    parts[part] = to;
    for (std::size_t row = 0; row < in.length; ++row) {
      const From* from = static_cast<const From*>(inputs[part]) + row * in.in_stride;
      for (std::size_t d = 0; d < in.head_dim; d += 16, to += 16) convert<V>(from + d, to);
    }
  }
  return {parts[0], parts[1], parts[2], in.head_dim};
}

// In place where the input has the product's type, else converted into `scratch`.
template <class V, class Element>
Head<Element> head_of(const Attention& in, Element* scratch) {
  constexpr bool kBf16 = sizeof(Element) == 2;
  if (in.bf16_in != kBf16) return convert_head<V, std::conditional_t<kBf16, float, uint16_t>>(in, scratch);
  return {static_cast<const Element*>(in.query), static_cast<const Element*>(in.key),
          static_cast<const Element*>(in.value), in.in_stride};
}

// Keys become columns. The last block is filled up with the last key: the softmax leaves those
// columns out.
template <class V, class Element>
void pack_keys(const Head<Element>& head, std::size_t length, std::size_t head_dim, Element* packed) {
  constexpr std::size_t kWord = 4 / sizeof(Element);
  for (std::size_t key = 0; key < length; key += 16) {
    const std::byte* rows[16];
    for (std::size_t i = 0; i < 16; ++i) {
      const std::size_t row = key + i < length ? key + i : length - 1;
      rows[i] = reinterpret_cast<const std::byte*>(head.key + row * head.stride);
    }
    for (std::size_t d = 0; d < head_dim; d += 4 * kWord, packed += 64 * kWord) {
      V::transpose_words(rows, d * sizeof(Element), packed);
    }
  }
}

// Values keep their columns; their rows are the depth.
template <class V>
void pack_values(const Head<float>& head, std::size_t length, std::size_t head_dim, float* packed) {
  for (std::size_t d = 0; d < head_dim; d += 16) {
    for (std::size_t row = 0; row < length; ++row, packed += 16) {
      V::store(packed, V::load(head.value + row * head.stride + d));
    }
  }
}

// bf16: rows in pairs. The last of an odd number goes with itself, and a weight that is zero.
template <class V>
void pack_values(const Head<uint16_t>& head, std::size_t length, std::size_t head_dim, uint16_t* packed) {
  for (std::size_t d = 0; d < head_dim; d += 16) {
    for (std::size_t row = 0; row < length; row += 2, packed += 32) {
      const uint16_t* first = head.value + row * head.stride + d;
      V::interleave(packed, first, row + 1 < length ? first + head.stride : first);
    }
  }
}

}  // namespace bertc::attention
