// Disentangled scores (He et al. 2020, arXiv:2006.03654, eq. 4): what queries and keys give with rows of two
// tables, by the distance between them, is added to the scores of their contents.
//
// A block of queries is multiplied by the rows of `position_keys` for all its distances. Distances grow from
// key to key by one, and so rows by one or none: those of 16 keys are among 16 columns of that product, which
// a permutation puts in order. Sixteen keys, as they are packed, are multiplied by the rows of
// `position_queries` for their distances to a panel of queries, many blocks at once, since the distances of
// neighboring queries are nearly the same. What key t gives with distance y is needed at query t - y:
// diagonals of [distances][16 keys] become rows by four steps, which take a lane from 1, 2, 4 and 8 rows
// further on where that bit of its number is set. So either table costs a product for each token and each
// row that its distances name, and a tenth more.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/attention/kernel.h"
#include "kernels/attention/pack.h"
#include "kernels/attention/product.h"
#include "kernels/attention/softmax.h"

namespace bertc::attention {

template <class V>
BERTC_INLINE typename V::F32 load_any(const float* from) {
  return V::load(from);
}

template <class V>
BERTC_INLINE typename V::F32 load_any(const uint16_t* from) {
  return V::load_bf16(from);
}

template <class Stored>
inline constexpr std::size_t kLine = 64 / sizeof(Stored);

template <class V, class Dot>
class Positions {
  using Element = typename Dot::Active;
  using F32 = typename V::F32;

 public:
  // `keys` are packed; `scratch` has room for the buckets of all distances and position_floats().
  Positions(const Attention& in, const Head<Element>& head, const Element* keys, float* scratch)
      : in_(in), head_(head), keys_(keys), groups_(in.head_dim / Dot::kDepth) {
    const std::size_t columns = attention_columns(in.queries),
                      table = position_columns(in.rows) * in.head_dim;
    buckets_ = reinterpret_cast<int32_t*>(scratch);
    queries_by_row_ = scratch + 2 * columns + kSparePositions;
    keys_by_row_ = queries_by_row_ + kMostQueries * position_columns(in.rows) + 16;
    panel_ = keys_by_row_ + (kPanelDistances - 1) * 16;
    key_rows_ = reinterpret_cast<Element*>(panel_ + kPanelQueries * columns);
    query_rows_ = key_rows_ + table;
    for (std::size_t i = 1; in.places != nullptr && i < in.queries; ++i) {
      apart_ = apart_ || static_cast<int64_t>(in.places[i]) - in.places[i - 1] != 1;
    }
    high_ = in.rows - 1;
    if (!apart_) {
      spread_buckets();
      low_ = row_of(in.queries - 1, 0);
      high_ = row_of(0, (in.keys + 15) / 16 * 16 - 1);
    }
    if (in.bf16_positions) {
      copy_rows<uint16_t>();
    } else {
      copy_rows<float>();
    }
  }

  // Adds to the scores [count][stride] of the queries from `first` on. Those of keys that are not there
  // become the lowest number.
  void add(std::size_t first, std::size_t count, std::size_t tile_rows, float* scores, std::size_t stride) {
    if (in_.position_keys != nullptr) multiply_queries(first, count, tile_rows);
    if (apart_) return add_apart(first, count, scores, stride);
    if (in_.position_queries != nullptr && first + count > end_) fill_panel(first);
    for (std::size_t key = 0; key < in_.keys; key += 16) add_keys(first, count, key, scores + key, stride);
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

  std::size_t row_of(std::size_t query, std::size_t key) const {
    return static_cast<std::size_t>(*buckets_of(query, key));
  }

  // This head's columns of the rows that distances name, in the product's type: what lies apart in a table
  // of all heads would meet in the same few lines of L1. Those of the next head come from memory meanwhile,
  // as no hardware guesses strides of a row.
  template <class Stored>
  void copy_rows() {
    constexpr bool kSame = sizeof(Stored) == sizeof(Element);
    if constexpr (kSame || sizeof(Element) == 4) {  // tables of float32 are multiplied in float32
      const std::size_t size = in_.head_dim;
      for (std::size_t at = low_ / 16 * 16; in_.position_keys != nullptr && at <= high_; at += 16) {
        const auto* from = static_cast<const Stored*>(in_.position_keys) + at * in_.position_width;
        Element* to = key_rows_ + (at - low_ / 16 * 16) * size;
        for (std::size_t i = 0; i < 16 * size; i += kLine<Stored>) __builtin_prefetch(from + 16 * size + i);
        if constexpr (kSame) {
          std::memcpy(to, from, 16 * size * sizeof(Element));
        } else {
          for (std::size_t d = 0; d < size; ++d) V::store(to + 16 * d, load_transposed<V>(from, d));
        }
      }
      for (std::size_t row = low_; in_.position_queries != nullptr && row <= high_; ++row) {
        const auto* from = static_cast<const Stored*>(in_.position_queries) + row * in_.position_width;
        Element* to = query_rows_ + (row - low_) * size;
        for (std::size_t i = 0; i < size; i += kLine<Stored>) __builtin_prefetch(from + size + i);
        if constexpr (kSame) {
          std::memcpy(to, from, size * sizeof(Element));
        } else {
          for (std::size_t d = 0; d < size; d += 16) V::store(to + d, load_any<V>(from + d));
        }
      }
    }
  }

  // Queries times the rows of position_keys that their distances name, all where tokens lie apart.
  void multiply_queries(std::size_t first, std::size_t count, std::size_t tile_rows) {
    const std::size_t low = apart_ ? low_ : row_of(first + count - 1, 0);
    const std::size_t high = apart_ ? high_ : row_of(first, in_.keys - 1);
    first_row_ = low / 16 * 16;
    const Element* table = key_rows_ + (first_row_ - low_ / 16 * 16) * in_.head_dim;
    multiply<Dot>({head_.query + first * head_.stride, head_.stride, table, groups_}, count, tile_rows,
                  high / 16 - low / 16 + 1, queries_by_row_, position_columns(in_.rows));
  }

  // What all keys give with their distances to the queries from `first` on: [keys / 16][queries][16], the
  // last query first.
  void fill_panel(std::size_t first) {
    const std::size_t count = in_.queries - first < kPanelQueries ? in_.queries - first : kPanelQueries;
    end_ = first + count;
    for (std::size_t key = 0; key < in_.keys; key += 16) {
      const std::size_t low = row_of(end_ - 1, key), rows = row_of(first, key + 15) - low + 1;
      multiply<Dot>(
          {query_rows_ + (low - low_) * in_.head_dim, in_.head_dim, keys_ + key * in_.head_dim, groups_},
          rows, kTileRows<Dot>, 1, keys_by_row_, 16);
      skew(buckets_of(end_ - 1, key), static_cast<int32_t>(low), count, panel_ + key * kPanelQueries);
    }
  }

  // Lane t of row r becomes that of the row for the r + t th distance; eight rows at a time. Each step's
  // last rows are the next eight's first, so that each row is made once; the first sixteen only begin that.
  void skew(const int32_t* buckets, int32_t low, std::size_t count, float* to) const {
    F32 x[9], ones[10], twos[12], fours[16];
    x[0] = V::set(0.0f);
    unroll<2>([&](auto i) { ones[i] = x[0]; });
    unroll<4>([&](auto i) { twos[i] = x[0]; });
    unroll<8>([&](auto i) { fours[i] = x[0]; });
    const auto end = static_cast<std::ptrdiff_t>(count);
    for (std::ptrdiff_t row = -16; row < end; row += 8) {
      unroll<8>([&](auto i) {
        constexpr std::ptrdiff_t kNext = i;
        x[i + 1] = V::load(keys_by_row_ + 16 * static_cast<std::ptrdiff_t>(buckets[row + 15 + kNext] - low));
        ones[i + 2] = V::template take_lanes<1>(x[i], x[i + 1]);
        twos[i + 4] = V::template take_lanes<2>(ones[i], ones[i + 2]);
        fours[i + 8] = V::template take_lanes<4>(twos[i], twos[i + 4]);
        if (row >= 0) V::store(to + 16 * (row + kNext), V::template take_lanes<8>(fours[i], fours[i + 8]));
      });
      x[0] = x[8];
      unroll<2>([&](auto i) { ones[i] = ones[i + 8]; });
      unroll<4>([&](auto i) { twos[i] = twos[i + 8]; });
      unroll<8>([&](auto i) { fours[i] = fours[i + 8]; });
    }
  }

  // The terms of a block of queries and 16 keys.
  void add_keys(std::size_t first, std::size_t count, std::size_t key, float* scores,
                std::size_t stride) const {
    const int rest = in_.keys - key < 16 ? static_cast<int>(in_.keys - key) : 16;
    for (std::size_t row = 0; row < count; ++row, scores += stride) {
      F32 x = V::load(scores);
      if (in_.position_queries != nullptr) {
        x = V::add(x, V::load(panel_ + key * kPanelQueries + 16 * (end_ - 1 - first - row)));
      }
      if (in_.position_keys != nullptr) {
        const float* product = queries_by_row_ + row * position_columns(in_.rows);
        x = V::add(x,
                   V::load_rising(product, buckets_of(first + row, key), static_cast<int32_t>(first_row_)));
      }
      V::store(scores, rest == 16 ? x : V::keep_lanes(x, rest, kLowest));
    }
  }

  // The same of all keys where tokens lie apart, one by one: such are texts with a hole, which a mask makes.
  void add_apart(std::size_t first, std::size_t count, float* scores, std::size_t stride) const {
    for (std::size_t row = 0; row < count; ++row, scores += stride) {
      for (std::size_t key = 0; key < (in_.keys + 15) / 16 * 16; ++key) {
        scores[key] = key < in_.keys ? scores[key] + term(first, row, key) : kLowest;
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
    F32 products = V::set(0.0f);
    for (std::size_t d = 0; d < in_.head_dim; d += 16) {
      products = V::fma(load_any<V>(head_.key + key * head_.stride + d),
                        load_any<V>(query_rows_ + at * in_.head_dim + d), products);
    }
    return sum + V::sum(products);
  }

  const Attention& in_;
  const Head<Element>& head_;
  const Element* keys_;
  std::size_t groups_;
  bool apart_ = false;          // whether some tokens are not one apart
  std::size_t low_ = 0, high_;  // the rows that distances name, those to keys that fill a block up, too
  int32_t* buckets_;
  float* queries_by_row_;  // [queries of a block][position_columns], from the row `first_row_` on
  std::size_t first_row_ = 0;
  float* keys_by_row_;  // [rows][16]; one before and some behind them may be read
  float* panel_;
  std::size_t end_ = 0;  // of the panel's queries
  Element* key_rows_;    // packed as weights are, from the block of `low_` on
  Element* query_rows_;  // [rows][head_dim], from the row `low_` on
};

}  // namespace bertc::attention
