// Attention, once for all instruction sets and for float32 and bf16 products. The contract is in
// kernel.h; the steps are in pack.h, product.h and softmax.h.
#pragma once

#include "kernels/attention/laps.h"
#include "kernels/attention/pack.h"
#include "kernels/attention/product.h"
#include "kernels/attention/softmax.h"

namespace bertc::attention {

template <class V>
void write_rows(const Attention& in, std::size_t first, std::size_t count, const float* mixed,
                const float* inverse_sums) {
  for (std::size_t row = 0; row < count; ++row) {
    const typename V::F32 inverse = V::set(inverse_sums[row]);
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

// Blocks of queries, and tiles in a block, of nearly the same size: a tile of a row or two would wait for
// its own sums.
struct Cut {
  std::size_t rows;    // of a block
  std::size_t longer;  // so many of the blocks have one more
  std::size_t tile_rows;

  Cut(std::size_t length, std::size_t most_rows, std::size_t most_tile_rows) {
    const std::size_t blocks = (length + most_rows - 1) / most_rows;
    rows = length / blocks;
    longer = length % blocks;
    const std::size_t most = rows + (longer > 0 ? 1 : 0);
    const std::size_t tiles = (most + most_tile_rows - 1) / most_tile_rows;
    tile_rows = (most + tiles - 1) / tiles;
  }
};

// Dot must not convert its rows: Active is what head_of and softmax write.
template <class V, class Dot>
void run(const Attention& in) {
  static_assert(!Dot::kPrepares);
  using Element = typename Dot::Active;
  const std::size_t columns = attention_columns(in.length);
  const std::size_t most_rows = attention_queries(in.length);
  auto* scores = reinterpret_cast<float*>(in.scratch);
  float* mixed = scores + most_rows * columns;
  auto* packed_keys = reinterpret_cast<Element*>(mixed + most_rows * in.head_dim);
  Element* packed_values = packed_keys + columns * in.head_dim;
  Element* weights = packed_values + columns * in.head_dim;
  Element* converted = weights + most_rows * columns;

  Laps<V> laps(in.ticks);
  const Head<Element> head = head_of<V>(in, converted);
  pack_keys<V>(head, in.length, in.head_dim, packed_keys);
  pack_values<V>(head, in.length, in.head_dim, packed_values);
  laps.lap(kPacking);
  const Cut cut(in.length, most_rows, kTileRows<Dot>);
  for (std::size_t first = 0, block = 0; first < in.length; ++block) {
    const std::size_t count = cut.rows + (block < cut.longer ? 1 : 0);
    multiply<Dot>({head.query + first * head.stride, head.stride, packed_keys, in.head_dim / Dot::kDepth},
                  count, cut.tile_rows, (in.length + 15) / 16, scores, columns);
    laps.lap(kScores);
    float inverse_sums[kMostQueries];
    softmax<V>(scores, columns, count, in.length, in.scale, weights, inverse_sums);
    laps.lap(kSoftmax);
    multiply<Dot>({weights, columns, packed_values, (in.length + Dot::kDepth - 1) / Dot::kDepth}, count,
                  cut.tile_rows, in.head_dim / 16, mixed, in.head_dim);
    laps.lap(kMixing);
    write_rows<V>(in, first, count, mixed, inverse_sums);
    laps.lap(kPacking);
    first += count;
  }
}

}  // namespace bertc::attention
