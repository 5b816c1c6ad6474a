// Disentangled scores (He et al. 2020, arXiv:2006.03654, eq. 4): what queries and keys give with rows of two
// tables, by the distance between them, is added to the scores of their contents.
//
// A block of queries is multiplied by the rows of `position_keys` for all its distances. Distances grow from
// key to key by one, and so rows by one or none: those of 16 keys are among 16 columns of that product, which
// a permutation puts in order. Sixteen keys, as they are packed, are multiplied by the rows of
// `position_queries` for their distances to the block. What key t gives with distance y is needed at query
// t - y: diagonals of [distances][16 keys] become rows by four steps, which take a lane from 1, 2, 4 and 8
// rows further on where that bit of its number is set.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/attention/kernel.h"
#include "kernels/attention/pack.h"
#include "kernels/attention/product.h"
#include "kernels/attention/softmax.h"

namespace bertc::attention {

// Rows of scores that diagonals are made for at a time: with AVX-512, 23 registers.
inline constexpr std::size_t kDiagonalRows = 8;

template <class V>
BERTC_INLINE typename V::F32 load_any(const float* from) {
  return V::load(from);
}

template <class V>
BERTC_INLINE typename V::F32 load_any(const uint16_t* from) {
  return V::load_bf16(from);
}

template <class V, class Dot>
class Positions {
  using Element = typename Dot::Active;
  using F32 = typename V::F32;

 public:
  // `keys` are packed; `scratch` has room for the buckets of all distances and position_floats().
  Positions(const Attention& in, const Head<Element>& head, const Element* keys, float* scratch)
      : in_(in), head_(head), keys_(keys), groups_(in.head_dim / Dot::kDepth) {
    buckets_ = reinterpret_cast<int32_t*>(scratch);
    queries_by_row_ = scratch + 2 * attention_columns(in.queries) + kSparePositions;
    keys_by_distance_ = queries_by_row_ + kMostQueries * position_columns(in.rows);
    block_ = reinterpret_cast<Element*>(keys_by_distance_ + kMostDistances * 16);
    rows_ = block_ + 16 * in.head_dim;
    apart_ = false;
    for (std::size_t i = 1; in.places != nullptr && i < in.queries; ++i) {
      apart_ = apart_ || static_cast<int64_t>(in.places[i]) - in.places[i - 1] != 1;
    }
    if (!apart_) spread_buckets();
  }

  // Adds to the scores [count][stride] of the queries from `first` on. Those of keys that are not there
  // become the lowest number.
  void add(std::size_t first, std::size_t count, std::size_t tile_rows, float* scores, std::size_t stride) {
    if (in_.position_keys != nullptr) multiply_queries(first, count, tile_rows);
    for (std::size_t key = 0; key < in_.keys; key += 16) {
      if (apart_) {
        add_apart(first, count, key, scores + key, stride);
        continue;
      }
      if (in_.position_queries != nullptr) multiply_keys(first, count, key);
      for (std::size_t row = 0; row < count; row += kDiagonalRows) {
        const std::size_t rows = count - row < kDiagonalRows ? count - row : kDiagonalRows;
        add_rows(first, row, rows, key, scores + row * stride + key, stride);
      }
    }
  }

 private:
  // Of the distances from 1 - queries - 16 on, so that 16 of any pair and its neighbors may be read.
  void spread_buckets() {
    const auto last = static_cast<std::ptrdiff_t>(2 * in_.reach - 16);
    auto at = static_cast<std::ptrdiff_t>(in_.reach) - static_cast<std::ptrdiff_t>(in_.queries + 15);
    const std::size_t count = in_.queries + 15 + attention_columns(in_.keys) + 16;
    for (std::size_t i = 0; i < count; i += 16, at += 16) {
      std::memcpy(buckets_ + i, in_.buckets + (at < 0 ? 0 : at < last ? at : last), 16 * sizeof(int32_t));
    }
  }

  // The buckets from that of key - query on; both may be up to 15 outside.
  const int32_t* buckets_of(std::size_t query, std::size_t key) const {
    return buckets_ + (in_.queries + 15 + key - query);
  }

  // Queries times the rows of position_keys that their distances name, all where tokens lie apart.
  void multiply_queries(std::size_t first, std::size_t count, std::size_t tile_rows) {
    const auto low = apart_ ? 0 : static_cast<std::size_t>(*buckets_of(first + count - 1, 0));
    const auto high = apart_ ? in_.rows - 1 : static_cast<std::size_t>(*buckets_of(first, in_.keys - 1));
    first_row_ = low / 16 * 16;
    const std::size_t blocks = high / 16 - low / 16 + 1;
    const Apart apart{16 * in_.position_width};
    const Element* queries = head_.query + first * head_.stride;
    const std::size_t stride = position_columns(in_.rows);
    if (in_.bf16_positions == (sizeof(Element) == 2)) {
      const auto* table = static_cast<const Element*>(in_.position_keys) + first_row_ * in_.position_width;
      const Operands<Dot> product{queries, head_.stride, table, groups_};
      return multiply<Dot>(product, count, tile_rows, blocks, queries_by_row_, stride, apart);
    }
    if constexpr (sizeof(Element) == 4) {
      for (std::size_t block = 0; block < blocks; ++block) {
        const auto* table =
            static_cast<const uint16_t*>(in_.position_keys) + (first_row_ + 16 * block) * in_.position_width;
        for (std::size_t d = 0; d < in_.head_dim; ++d) {
          V::store(block_ + 16 * d, load_transposed<V>(table, d));
        }
        multiply<Dot>({queries, head_.stride, block_, groups_}, count, tile_rows, 1,
                      queries_by_row_ + 16 * block, stride);
      }
    }
  }

  // The rows of position_queries for the distances of 16 keys to the block, times the keys: [rows][16].
  void multiply_keys(std::size_t first, std::size_t count, std::size_t key) {
    low_ = *buckets_of(first + count - 1, key);
    const auto rows = static_cast<std::size_t>(*buckets_of(first, key + 15) - low_) + 1;
    Operands<Dot> product{nullptr, in_.position_width, keys_ + key * in_.head_dim, groups_};
    if (in_.bf16_positions == (sizeof(Element) == 2)) {
      product.a = static_cast<const Element*>(in_.position_queries) +
                  static_cast<std::size_t>(low_) * in_.position_width;
    } else if constexpr (sizeof(Element) == 4) {
      product.a = rows_;
      product.a_stride = in_.head_dim;
      const uint16_t* from = static_cast<const uint16_t*>(in_.position_queries) +
                             static_cast<std::size_t>(low_) * in_.position_width;
      for (std::size_t row = 0; row < rows; ++row, from += in_.position_width) {
        for (std::size_t d = 0; d < in_.head_dim; d += 16) {
          V::store(rows_ + row * in_.head_dim + d, V::load_bf16(from + d));
        }
      }
    }
    multiply<Dot>(product, rows, kTileRows<Dot>, 1, keys_by_distance_, 16);
  }

  // The terms of up to eight rows of the block and 16 keys.
  void add_rows(std::size_t first, std::size_t row, std::size_t count, std::size_t key, float* scores,
                std::size_t stride) {
    constexpr std::size_t kRows = kDiagonalRows;
    const int rest = in_.keys - key < 16 ? static_cast<int>(in_.keys - key) : 16;
    F32 terms[kRows + 15];
    if (in_.position_queries != nullptr) {
      // The first row whose distance to the last of eight queries may be that of a query that is not there.
      const int32_t* buckets = buckets_of(first + row + kRows - 1, key);
      unroll<kRows + 15>([&](auto y) {
        const int32_t at = buckets[y] < low_ ? 0 : buckets[y] - low_;
        terms[y] = V::load(keys_by_distance_ + 16 * at);
      });
      unroll<kRows + 14>([&](auto y) { terms[y] = V::template take_lanes<1>(terms[y], terms[y + 1]); });
      unroll<kRows + 12>([&](auto y) { terms[y] = V::template take_lanes<2>(terms[y], terms[y + 2]); });
      unroll<kRows + 8>([&](auto y) { terms[y] = V::template take_lanes<4>(terms[y], terms[y + 4]); });
      unroll<kRows>([&](auto y) { terms[y] = V::template take_lanes<8>(terms[y], terms[y + 8]); });
    } else {
      unroll<kRows>([&](auto y) { terms[y] = V::set(0.0f); });
    }
    unroll<kRows>([&](auto r) {
      if (r >= count) return;
      float* to = scores + r * stride;
      F32 x = V::add(V::load(to), terms[kRows - 1 - r]);
      if (in_.position_keys != nullptr) {
        const float* product = queries_by_row_ + (row + r) * position_columns(in_.rows);
        x = V::add(
            x, V::load_rising(product, buckets_of(first + row + r, key), static_cast<int32_t>(first_row_)));
      }
      V::store(to, rest == 16 ? x : V::keep_lanes(x, rest, kLowest));
    });
  }

  // The same where tokens lie apart, one by one: such are texts with a hole, which a mask makes.
  void add_apart(std::size_t first, std::size_t count, std::size_t key, float* scores, std::size_t stride) {
    const std::size_t rest = in_.keys - key < 16 ? in_.keys - key : 16;
    for (std::size_t row = 0; row < count; ++row) {
      for (std::size_t t = 0; t < 16; ++t) {
        float& score = scores[row * stride + t];
        score = t < rest ? score + term(first, row, key + t) : kLowest;
      }
    }
  }

  float term(std::size_t first, std::size_t row, std::size_t key) const {
    const auto reach = static_cast<int64_t>(in_.reach);
    const int64_t distance = static_cast<int64_t>(in_.places[key]) - in_.places[first + row];
    const int64_t held = distance < -reach ? -reach : distance < reach ? distance : reach - 1;
    const auto at = static_cast<std::size_t>(in_.buckets[reach + held]);
    float sum = in_.position_keys == nullptr ? 0.0f : queries_by_row_[row * position_columns(in_.rows) + at];
    if (in_.position_queries == nullptr) return sum;
    const std::size_t begin = at * in_.position_width;
    return sum + (in_.bf16_positions ? dot(key, static_cast<const uint16_t*>(in_.position_queries) + begin)
                                     : dot(key, static_cast<const float*>(in_.position_queries) + begin));
  }

  template <class Stored>
  float dot(std::size_t key, const Stored* row) const {
    F32 sum = V::set(0.0f);
    for (std::size_t d = 0; d < in_.head_dim; d += 16) {
      sum = V::fma(load_any<V>(head_.key + key * head_.stride + d), load_any<V>(row + d), sum);
    }
    return V::sum(sum);
  }

  const Attention& in_;
  const Head<Element>& head_;
  const Element* keys_;
  std::size_t groups_;
  bool apart_;  // whether some tokens are not one apart
  int32_t* buckets_;
  float* queries_by_row_;    // [queries of a block][position_columns], from the row `first_row_` on
  float* keys_by_distance_;  // [rows][16], from the row `low_` on
  Element* block_;
  Element* rows_;
  std::size_t first_row_ = 0;
  int32_t low_ = 0;
};

}  // namespace bertc::attention
