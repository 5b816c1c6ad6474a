// Attention, once for all instruction sets and for float32, bf16 and int8 products. The contract is in
// kernel.h; the steps are in pack.h, product.h and softmax.h.
#pragma once

#include "kernels/attention/laps.h"
#include "kernels/attention/pack.h"
#include "kernels/attention/positions.h"
#include "kernels/attention/product.h"
#include "kernels/attention/softmax.h"
#include "kernels/attention/window.h"
#include "kernels/quantize_rows/quantize_rows_template.h"

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
      } else if (in.out_scale.scale > 0.0f) {
        quantize_rows::store_static<V>(static_cast<uint8_t*>(in.out) + at + d, x, in.out_scale);
      } else {
        V::store(static_cast<float*>(in.out) + at + d, x);
      }
    }
  }
}

// Blocks of queries, and tiles in a block, of nearly the same size: a tile of a row or two would wait for
// its own sums.
struct Blocking {
  std::size_t rows;    // of a block
  std::size_t longer;  // so many of the blocks have one more
  std::size_t tile_rows;

  BERTC_INLINE Blocking(std::size_t length, std::size_t most_rows, std::size_t most_tile_rows) {
    const std::size_t blocks = (length + most_rows - 1) / most_rows;
    rows = length / blocks;
    longer = length % blocks;
    const std::size_t most = rows + (longer > 0 ? 1 : 0);
    const std::size_t tiles = (most + most_tile_rows - 1) / most_tile_rows;
    tile_rows = (most + tiles - 1) / tiles;
  }
};

// Where the steps keep what they make. Element is what the second product reads.
template <class Element>
struct Scratch {
  float* scores;
  float* mixed;
  Element* keys;
  Element* values;
  Element* weights;
  Element* words;    // 16 rows that are quantized, before
  uint8_t* queries;  // and after
  Element* turned;   // 16 rows of queries or keys
  Element* converted;
  float* bias;  // of all distances, from 1 - queries on: at most 2 * columns

  explicit BERTC_INLINE Scratch(const Attention& in) {
    const std::size_t columns = attention_columns(in.keys), rows = attention_queries(in.keys);
    scores = reinterpret_cast<float*>(in.scratch);
    mixed = scores + rows * columns;
    keys = reinterpret_cast<Element*>(mixed + rows * in.head_dim);
    values = keys + columns * in.head_dim;
    weights = values + columns * in.head_dim;
    words = weights + rows * columns;
    queries = reinterpret_cast<uint8_t*>(words + 16 * in.head_dim);
    turned = reinterpret_cast<Element*>(queries + 16 * in.head_dim);
    converted = turned + 16 * in.head_dim;
    bias = reinterpret_cast<float*>(converted + 3 * in.queries * in.head_dim);
  }
};

// The bias, times a factor, of the distances from 1 - queries to columns - 1: that of a query's keys is
// contiguous, and lies one before that of the query before it.
template <class V>
void spread_bias(const Attention& in, float factor, float* to) {
  const auto last = static_cast<std::ptrdiff_t>(2 * in.reach - 16);
  auto at = static_cast<std::ptrdiff_t>(in.reach + 1) - static_cast<std::ptrdiff_t>(in.queries);
  const std::size_t count = in.queries - 1 + attention_columns(in.keys);
  for (std::size_t i = 0; i < count; i += 16, at += 16) {
    const std::ptrdiff_t held = at < 0 ? 0 : at < last ? at : last;
    V::store(to + i, V::mul(V::load(in.distance_bias + held), V::set(factor)));
  }
}

// The same of a slope instead of a bias.
template <class V>
void spread_slope(const Attention& in, float factor, float* to) {
  static constexpr float kPlaces[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  using F32 = typename V::F32;
  const F32 lanes = V::load(kPlaces), down = V::set(-in.slope * factor), zero = V::set(0.0f);
  const std::size_t before = in.queries - 1, count = before + attention_columns(in.keys);
  for (std::size_t i = 0; i < count; i += 16) {
    const F32 distance = V::add(lanes, V::set(static_cast<float>(i) - static_cast<float>(before)));
    V::store(to + i, V::mul(V::max(distance, V::sub(zero, distance)), down));
  }
}

// multiply_scores(first, count, tile_rows, span) writes the scores of these rows and returns their scales.
template <bool kWindowed, class V, class Dot, class MultiplyScores>
BERTC_INLINE void attend_keys(const Attention& in, const Scratch<typename Dot::Active>& scratch,
                              Laps<V>& laps, MultiplyScores multiply_scores) {
  Span span{0, in.keys};
  Window<V> window(in);
  const bool biased = in.distance_bias != nullptr || in.slope != 0.0f;
  if (biased) {
    const auto spread = in.distance_bias != nullptr ? spread_bias<V> : spread_slope<V>;
    spread(in, Exponential<V, typename Dot::Active>::kFactor, scratch.bias);
    laps.lap(kPacking);
  }
  const Blocking blocking(in.queries, attention_queries(in.keys), kTileRows<Dot>);
  for (std::size_t first = 0, block = 0; first < in.queries; ++block) {
    const std::size_t count = blocking.rows + (block < blocking.longer ? 1 : 0);
    if constexpr (kWindowed) span = window.next(first, count);
    const std::size_t columns = span.columns(), groups = (span.length + Dot::kDepth - 1) / Dot::kDepth;
    const float* scales = multiply_scores(first, count, blocking.tile_rows, span);
    if constexpr (kWindowed) window.hide(scratch.scores, columns, count);
    laps.lap(kScores);
    float inverse_sums[kMostQueries];
    if (!biased) {
      softmax<V, false>(scratch.scores, columns, count, span.length, scales, nullptr, scratch.weights,
                        inverse_sums);
    } else {
      softmax<V, true>(scratch.scores, columns, count, span.length, scales,
                       scratch.bias + (in.queries - 1 - first + span.begin), scratch.weights, inverse_sums);
    }
    laps.lap(kSoftmax);
    const Operands<Dot> mixing{scratch.weights, columns, scratch.values + 16 * span.begin, groups};
    if constexpr (kWindowed) {
      const Apart apart{block_stride<Dot>((in.keys + Dot::kDepth - 1) / Dot::kDepth)};
      multiply<Dot>(mixing, count, blocking.tile_rows, in.head_dim / 16, scratch.mixed, in.head_dim, apart);
    } else {
      multiply<Dot>(mixing, count, blocking.tile_rows, in.head_dim / 16, scratch.mixed, in.head_dim);
    }
    laps.lap(kMixing);
    write_rows<V>(in, first, count, scratch.mixed, inverse_sums);
    laps.lap(kPacking);
    first += count;
  }
}

template <class V, class Dot, class MultiplyScores>
BERTC_INLINE void attend(const Attention& in, const Scratch<typename Dot::Active>& scratch, Laps<V>& laps,
                         MultiplyScores multiply_scores) {
  if (in.window == 0) return attend_keys<false, V, Dot>(in, scratch, laps, multiply_scores);
  attend_keys<true, V, Dot>(in, scratch, laps, multiply_scores);
}

// Scores of content alone.
template <class V, class Dot, class Element = typename Dot::Active>
BERTC_INLINE void multiply_content(const Attention& in, const Scratch<Element>& scratch,
                                   const Head<Element>& head, std::size_t first, std::size_t count,
                                   std::size_t tile_rows, const Span& span) {
  Operands<Dot> rows{head.query + first * head.stride, head.stride, scratch.keys + span.begin * in.head_dim,
                     in.head_dim / Dot::kDepth};
  if (in.rotary != nullptr) {
    rows.a = rotate<V>(in, head.query, head.stride, first, count, scratch.turned);
    rows.a_stride = in.head_dim;
  }
  multiply<Dot>(rows, count, tile_rows, span.blocks(), scratch.scores, span.columns());
}

// Dot must not convert its rows: Active is what head_of and softmax write.
template <class V, class Dot>
void run(const Attention& in) {
  static_assert(!Dot::kPrepares);
  Laps<V> laps(in.ticks);
  const Scratch<typename Dot::Active> scratch(in);
  const Head<typename Dot::Active> head = head_of<V>(in, scratch.converted);
  pack_keys<V>(in, head, scratch.turned, scratch.keys);
  pack_values<V>(head, in.keys, in.head_dim, scratch.values);
  laps.lap(kPacking);
  float scales[kMostQueries];
  for (float& scale : scales) scale = in.scale;
  if (in.buckets != nullptr) {
    Positions<V, Dot> positions(in, head, scratch.keys, scratch.bias);
    laps.lap(kPacking);
    return attend_keys<false, V, Dot>(
        in, scratch, laps,
        [&](std::size_t first, std::size_t count, std::size_t tile_rows, const Span& span) {
          multiply_content<V, Dot>(in, scratch, head, first, count, tile_rows, span);
          laps.lap(kScores);
          positions.add(first, count, tile_rows, scratch.scores, span.columns());
          laps.lap(kDistances);
          return scales;
        });
  }
  attend<V, Dot>(in, scratch, laps,
                 [&](std::size_t first, std::size_t count, std::size_t tile_rows, const Span& span) {
                   multiply_content<V, Dot>(in, scratch, head, first, count, tile_rows, span);
                   return scales;
                 });
}

// The first product in 8 bits, the second by Dot. Sixteen queries are quantized when the first of them
// is needed. Disentangled scores are three products of the same keys, of which two would have to wait.
template <class V, class Dot>
void run_int8(const Attention& in) {
  constexpr bool kF32 = std::is_same_v<typename Dot::Active, float>;
  if (in.keys < (kF32 ? kShortestInt8InF32 : kShortestInt8InBf16) || in.buckets != nullptr) {
    return run<V, Dot>(in);
  }
  using Int8 = typename V::DotInt8;
  Laps<V> laps(in.ticks);
  const Scratch<typename Dot::Active> scratch(in);
  const Head<typename Dot::Active> head = head_of<V>(in, scratch.converted);
  auto* keys = reinterpret_cast<int8_t*>(scratch.keys);
  pack_int8_keys<V>(in, head, scratch.turned, scratch.words, keys);
  pack_values<V>(head, in.keys, in.head_dim, scratch.values);
  laps.lap(kPacking);
  const std::size_t groups = in.head_dim / 4, block_bytes = block_stride<Int8>(groups);
  float scales[16];
  std::size_t begin = 0, end = 0;
  attend<V, Dot>(
      in, scratch, laps, [&](std::size_t first, std::size_t count, std::size_t tile_rows, const Span& span) {
        if (first + count > end) {
          begin = first;
          end = first + 16;
          quantize<V>(sixteen<V>(in, head.query, head.stride, first, in.queries, scratch.turned), in.head_dim,
                      kFlip, scratch.words, scratch.queries, scales);
          for (float& scale : scales) scale *= in.scale;
          laps.lap(kPacking);
        }
        multiply<Int8>(
            {scratch.queries + 4 * (first - begin), 4, keys + span.begin / 16 * block_bytes, groups}, count,
            tile_rows, span.blocks(), scratch.scores, span.columns());
        return scales + (first - begin);
      });
}

}  // namespace bertc::attention
