// What attention does to its input first: brings a head's rows to the product's type, keys and values
// to the layout of packed weights, [blocks][groups][16][kDepth], and queries and keys to 8 bits.
#pragma once

#include <type_traits>

#include "kernels/attention/kernel.h"
#include "kernels/attention/product.h"

namespace bertc::attention {

// 128 in each of four bytes.
inline constexpr uint32_t kFlip = 0x80808080;

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
    for (std::size_t row = 0; row < (part == 0 ? in.queries : in.keys); ++row) {
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

// Turns the rows [first, first + count) of queries or keys: y = x cos + (pair of x, one of them negative) sin
// (Su et al. 2021, arXiv:2104.09864, eq. 34), in float32, rounded once. Returns `to`, [count][head_dim].
template <class V, class Element>
const Element* rotate(const Attention& in, const Element* rows, std::size_t stride, std::size_t first,
                      std::size_t count, Element* to) {
  const auto load = [](const Element* from) {
    if constexpr (sizeof(Element) == 2) return V::load_bf16(from);
    if constexpr (sizeof(Element) == 4) return V::load(from);
  };
  const auto store = [](Element* place, typename V::F32 x) {
    if constexpr (sizeof(Element) == 2) V::store_bf16(place, x);
    if constexpr (sizeof(Element) == 4) V::store(place, x);
  };
  const std::size_t half = in.half;
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t at = first + r;
    const Element* x = rows + at * stride;
    Element* y = to + r * in.head_dim;
    const auto position = in.positions == nullptr ? at : static_cast<std::size_t>(in.positions[at]);
    const float* angles = in.rotary + position * 2 * half;
    for (std::size_t d = 0; d < half; d += 16) {
      const auto cosine = V::load(angles + d), sine = V::load(angles + half + d);
      const auto left = load(x + d), right = load(x + half + d);
      store(y + d, V::sub(V::mul(left, cosine), V::mul(right, sine)));
      store(y + half + d, V::add(V::mul(right, cosine), V::mul(left, sine)));
    }
    for (std::size_t d = 2 * half; d < in.head_dim; d += 16) store(y + d, load(x + d));
  }
  return to;
}

// Sixteen rows from `first` on; the last row once more where there are no more.
template <class Element>
struct SixteenRows {
  const std::byte* row[16];

  BERTC_INLINE SixteenRows(const Element* rows, std::size_t stride, std::size_t first, std::size_t length) {
    for (std::size_t i = 0; i < 16; ++i) {
      const std::size_t at = first + i < length ? first + i : length - 1;
      row[i] = reinterpret_cast<const std::byte*>(rows + at * stride);
    }
  }

  // Columns become rows of 16 words, a word being kWord elements: [head_dim / kWord][16][kWord].
  static constexpr std::size_t kWord = 4 / sizeof(Element);
  template <class V>
  BERTC_INLINE void transpose(std::size_t head_dim, Element* to) const {
    for (std::size_t d = 0; d < head_dim; d += 4 * kWord) {
      V::transpose_words(row, d * sizeof(Element), to + 16 * d);
    }
  }
};

// The same of queries or keys, turned by their positions if they have some: `turned` holds 16 such rows.
template <class V, class Element>
BERTC_INLINE SixteenRows<Element> sixteen(const Attention& in, const Element* rows, std::size_t stride,
                                          std::size_t first, std::size_t length, Element* turned) {
  if (in.rotary == nullptr) return {rows, stride, first, length};
  const std::size_t count = length - first < 16 ? length - first : 16;
  return {rotate<V>(in, rows, stride, first, count, turned), in.head_dim, 0, count};
}

// Keys become columns. The last block is filled up with the last key: the softmax leaves those
// columns out.
template <class V, class Element>
void pack_keys(const Attention& in, const Head<Element>& head, Element* turned, Element* packed) {
  for (std::size_t key = 0; key < in.keys; key += 16, packed += 16 * in.head_dim) {
    sixteen<V>(in, head.key, head.stride, key, in.keys, turned).template transpose<V>(in.head_dim, packed);
  }
}

template <class V>
BERTC_INLINE typename V::F32 load_transposed(const float* words, std::size_t d) {
  return V::load(words + 16 * d);
}

template <class V>
BERTC_INLINE typename V::F32 load_transposed(const uint16_t* words, std::size_t d) {
  return d % 2 == 0 ? V::load_even_bf16(words + 16 * d) : V::load_odd_bf16(words + 16 * (d - 1));
}

// Sixteen rows in 8 bits, [head_dim / 4][16][4], each with a scale: its largest magnitude becomes 127.
// `flip` is xored to them: 0, or what makes -127..127 an unsigned 1..255. `words` is for the way.
template <class V, class Element>
BERTC_INLINE void quantize(const SixteenRows<Element>& rows, std::size_t head_dim, uint32_t flip,
                           Element* words, void* packed, float* scales) {
  rows.template transpose<V>(head_dim, words);
  const auto largest = V::max(V::largest_magnitude(words, head_dim), V::set(1e-30f));
  const auto inverse = V::div(V::set(127.0f), largest);
  V::store(scales, V::mul(largest, V::set(1.0f / 127.0f)));
  auto* to = static_cast<std::byte*>(packed);
  for (std::size_t d = 0; d < head_dim; d += 4, to += 64) {
    const auto at = [&](std::size_t i) { return V::mul(load_transposed<V>(words, d + i), inverse); };
    V::store_quads(to, at(0), at(1), at(2), at(3), flip);
  }
}

// Keys in 8 bits, signed: a block is preceded by what its sums start from, which takes back the 128 that
// unsigned queries have too much, and by its scales (product.h).
template <class V, class Element>
void pack_int8_keys(const Attention& in, const Head<Element>& head, Element* turned, Element* words,
                    int8_t* packed) {
  using Dot = typename V::DotInt8;
  const std::size_t head_dim = in.head_dim;
  for (std::size_t key = 0; key < in.keys; key += 16, packed += kBlockHeader + 16 * head_dim) {
    int8_t* block = packed + kBlockHeader;
    quantize<V>(sixteen<V>(in, head.key, head.stride, key, in.keys, turned), head_dim, 0, words, block,
                reinterpret_cast<float*>(packed + 64));
    typename Dot::Register sums = Dot::zero();
    for (std::size_t d = 0; d < head_dim; d += 4) {
      sums = Dot::dot(sums, V::set_int(static_cast<int32_t>(kFlip)), Dot::load_weights(block + 16 * d, 0));
    }
    Dot::store_sums(reinterpret_cast<int32_t*>(packed), V::sub_int(V::set_int(0), sums));
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
