// Attention, once for all instruction sets and for float32 and bf16 products. The contract is in
// kernel.h; the inner loop is the matrix product's.
#pragma once

#include "kernels/attention/kernel.h"
#include "kernels/gemm/gemm_template.h"

namespace bertc::attention {

using gemm::Operands;

// How a product type stores what it multiplies.
template <class V, class Element>
struct Packer;

template <class V>
struct Packer<V, float> {
  static BERTC_INLINE void store(float* to, typename V::F32 x) { V::store(to, x); }
  static constexpr std::size_t kDepth = 1;
  static BERTC_INLINE void interleave(float* to, typename V::F32 row, typename V::F32) { V::store(to, row); }
};

template <class V>
struct Packer<V, uint16_t> {
  static BERTC_INLINE void store(uint16_t* to, typename V::F32 x) { V::store_bf16(to, x); }
  static constexpr std::size_t kDepth = 2;
  static BERTC_INLINE void interleave(uint16_t* to, typename V::F32 row, typename V::F32 next) {
    V::interleave_bf16(to, row, next);
  }
};

template <class V>
BERTC_INLINE typename V::F32 load_input(const Attention& in, const void* base, std::size_t row,
                                        std::size_t column) {
  const std::size_t at = row * in.in_stride + column;
  return in.bf16_in ? V::load_bf16(static_cast<const uint16_t*>(base) + at)
                    : V::load(static_cast<const float*>(base) + at);
}

// Keys become columns: [keys / 16][head_dim / kDepth][16][kDepth], missing keys zero.
template <class V, class Element>
void pack_keys(const Attention& in, Element* packed) {
  constexpr std::size_t kDepth = Packer<V, Element>::kDepth;
  alignas(64) Element row[16];
  const std::size_t keys = (in.length + 15) / 16 * 16;
  for (std::size_t key = 0; key < keys; ++key) {
    Element* block = packed + key / 16 * 16 * in.head_dim + key % 16 * kDepth;
    for (std::size_t d = 0; d < in.head_dim; d += 16) {
      Packer<V, Element>::store(row, key < in.length ? load_input<V>(in, in.key, key, d) : V::set(0.0f));
      for (std::size_t i = 0; i < 16; i += kDepth) {
        __builtin_memcpy(block + (d + i) * 16, row + i, kDepth * sizeof(Element));
      }
    }
  }
}

// Values keep their columns: [head_dim / 16][length / kDepth][16][kDepth], a missing row zero.
template <class V, class Element>
void pack_values(const Attention& in, Element* packed) {
  constexpr std::size_t kDepth = Packer<V, Element>::kDepth;
  const std::size_t rows = (in.length + kDepth - 1) / kDepth * kDepth;
  for (std::size_t row = 0; row < rows; row += kDepth) {
    for (std::size_t d = 0; d < in.head_dim; d += 16) {
      const typename V::F32 next =
          row + 1 < in.length ? load_input<V>(in, in.value, row + 1, d) : V::set(0.0f);
      Packer<V, Element>::interleave(packed + d * rows + row * 16, load_input<V>(in, in.value, row, d), next);
    }
  }
}

template <class V, class Element>
void pack_queries(const Attention& in, std::size_t first, std::size_t count, Element* packed) {
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t d = 0; d < in.head_dim; d += 16) {
      Packer<V, Element>::store(packed + row * in.head_dim + d, load_input<V>(in, in.query, first + row, d));
    }
  }
}

// [rows, depth] times packed columns, any number of rows and blocks.
template <class Dot>
void multiply_all(Operands<Dot> in, std::size_t rows, std::size_t blocks, float* out,
                  std::size_t out_stride) {
  for (std::size_t block = 0; block < blocks;) {
    const std::size_t panel = gemm::panel_blocks<Dot>(blocks - block);
    for (std::size_t row = 0; row < rows; row += Dot::kRows) {
      Operands<Dot> tile = in;
      tile.a += row * in.a_stride;
      tile.b += block * in.block_stride();
      gemm::multiply(tile, rows - row < Dot::kRows ? rows - row : Dot::kRows, panel,
                     out + row * out_stride + block * kBlockColumns, out_stride);
    }
    block += panel;
  }
}

// exp(scale (score - largest)) of one row into `weights`, zero beyond `length`; returns their sum.
template <class V, class Element>
float exponentiate(const float* scores, std::size_t length, float scale, Element* weights) {
  using F32 = typename V::F32;
  constexpr float kLowest = -3.402823466e38f;
  const std::size_t whole = length / 16 * 16;
  const int rest = static_cast<int>(length - whole);
  F32 high = V::set(kLowest);
  for (std::size_t i = 0; i < whole; i += 16) high = V::max(high, V::load(scores + i));
  if (rest != 0) high = V::max(high, V::keep_lanes(V::load(scores + whole), rest, kLowest));
  const F32 factor = V::set(scale);
  const F32 shift = V::set(-scale * V::largest(high));
  F32 total = V::set(0.0f);
  for (std::size_t i = 0; i < length; i += 16) {
    F32 weight = simd::exp<V>(V::fma(V::load(scores + i), factor, shift));
    if (i == whole) weight = V::keep_lanes(weight, rest, 0.0f);
    total = V::add(total, weight);
    Packer<V, Element>::store(weights + i, weight);
  }
  return V::sum(total);
}

template <class V>
void write_rows(const Attention& in, std::size_t first, std::size_t count, const float* mixed,
                const float* sums) {
  for (std::size_t row = 0; row < count; ++row) {
    const typename V::F32 inverse = V::set(1.0f / sums[row]);
    const std::size_t at = (first + row) * in.out_stride;
    for (std::size_t d = 0; d < in.head_dim; d += 16) {
      const typename V::F32 x = V::mul(V::load(mixed + row * in.head_dim + d), inverse);
      if (in.bf16_out) {
        V::store_bf16(static_cast<uint16_t*>(in.out) + at + d, x);
      } else {
        V::store(static_cast<float*>(in.out) + at + d, x);
      }
    }
  }
}

// Dot must not convert its rows: Active is what the packers write.
template <class V, class Dot>
void run(const Attention& in) {
  static_assert(!Dot::kPrepares);
  using Element = typename Dot::Active;
  const std::size_t keys = (in.length + 15) / 16 * 16;
  auto* scores = reinterpret_cast<float*>(in.scratch);
  float* mixed = scores + kQueryBlock * keys;
  auto* packed_keys = reinterpret_cast<Element*>(mixed + kQueryBlock * in.head_dim);
  Element* packed_values = packed_keys + keys * in.head_dim;
  Element* queries = packed_values + keys * in.head_dim;
  Element* weights = queries + kQueryBlock * in.head_dim;

  pack_keys<V>(in, packed_keys);
  pack_values<V>(in, packed_values);
  for (std::size_t first = 0; first < in.length; first += kQueryBlock) {
    const std::size_t count = in.length - first < kQueryBlock ? in.length - first : kQueryBlock;
    pack_queries<V>(in, first, count, queries);
    multiply_all<Dot>({queries, in.head_dim, packed_keys, in.head_dim / Dot::kDepth}, count, keys / 16,
                      scores, keys);
    float sums[kQueryBlock];
    for (std::size_t row = 0; row < count; ++row) {
      sums[row] = exponentiate<V>(scores + row * keys, in.length, in.scale, weights + row * keys);
    }
    const std::size_t groups = (in.length + Dot::kDepth - 1) / Dot::kDepth;
    multiply_all<Dot>({weights, keys, packed_values, groups}, count, in.head_dim / 16, mixed, in.head_dim);
    write_rows<V>(in, first, count, mixed, sums);
  }
}

}  // namespace bertc::attention
