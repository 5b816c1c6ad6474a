// Softmax attention of one head inside one sequence: out = softmax(scale Q K^T + B) V, where B, if there is
// one, depends on the distance from query to key alone. With rotary positions, queries and keys are first
// turned by an angle for each pair of columns and position; with a window, a query sees the keys near it;
// disentangled, scores have two more terms, Q R^T and K S^T of the rows of R and S that distances name.
//
// Q, K and V are rows of one fused array, in which neighboring heads may share K and V. K and V are packed
// once per head into the layout of weights (keys are the columns of the first product, depth of the
// second). Then a block of rows of Q at a time is multiplied, exponentiated and multiplied again, so that
// scores stay in L1. The division by the row's sum comes last. How a sequence is cut into blocks and
// tiles depends on its numbers of queries and keys alone, so its result does not depend on the batch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm/kernel.h"

namespace bertc {

struct Attention {
  const void* query;  // first row of this sequence and head; float32, or bf16 if bf16_in
  const void* key;
  const void* value;
  std::size_t in_stride;  // elements between rows, the same for all three
  bool bf16_in;
  void* out;  // float32, or bf16 if bf16_out, or 8 bits if there is an out_scale
  std::size_t out_stride;
  bool bf16_out;
  StaticScale out_scale;
  std::size_t queries;   // tokens in the sequence
  std::size_t keys;      // those of them that are attended to, the first ones
  std::size_t head_dim;  // a multiple of 16
  float scale;
  // Null, or what is added to scores: [2 * reach], that at reach + d for the key d tokens after the query.
  // Farther keys get the first or the last number, 16 of which are alike at either end.
  const float* distance_bias;
  std::size_t reach;  // 16 or more
  // What scores lose for each token from query to key, where there is no such row (ALiBi; Press et al. 2022,
  // arXiv:2108.12409, sec. 3).
  float slope;
  // Null, or [positions][2 * half]: the cosines of a position's angles, then their sines. Columns d and
  // half + d of queries and keys, d < half, are a pair; columns from 2 * half on stay as they are.
  const float* rotary;
  std::size_t half;          // a multiple of 16
  const int32_t* positions;  // of the sequence's tokens, rows of `rotary`; null: 0, 1, ...
  // 0, or how far a query sees: it attends to keys whose places are no farther from its own. Where there are
  // none, to the last key.
  std::size_t window;
  const int32_t* places;  // of the sequence's tokens, increasing; null: 0, 1, ...
  // Null, or which row of the two tables below a distance names: [2 * reach], packed as distance_bias is.
  // From one to the next it is the same or one more. With it there is no bias, no rotary and no window, and
  // `places` say how far tokens are from each other.
  const int32_t* buckets;
  std::size_t rows;  // of the tables that buckets name
  const void*
      position_keys;  // null, or packed as weights are, from this head's columns on; as bf16_positions
  const void* position_queries;  // null, or rows, from this head's columns on
  std::size_t position_width;    // elements between rows
  bool bf16_positions;           // float32 if not
  std::byte* scratch;            // attention_scratch_bytes(queries, head_dim, rows), 64-byte aligned
  uint64_t* ticks;               // null, or [kAttentionParts]: what each part takes is added (laps.h)
};

// What a head's time goes to: packing also writes what comes out.
enum AttentionPart : std::size_t { kPacking, kScores, kDistances, kSoftmax, kMixing, kAttentionParts };

// A row of scores, and of the weights that they become: 32 are exponentiated at a time.
constexpr std::size_t attention_columns(std::size_t length) { return (length + 31) / 32 * 32; }

// Rows of Q in a block. Eight are one tile of a product (product.h); their scores and weights at 512
// keys take 24 KB of L1. With few keys a softmax takes mostly waiting for results: two tiles at a time.
inline constexpr std::size_t kMostQueries = 16, kShortColumns = 64;
constexpr std::size_t attention_queries(std::size_t length) {
  return attention_columns(length) <= kShortColumns ? kMostQueries : kMostQueries / 2;
}

// In 8 bits the first product takes half the time of bf16, a quarter of float32's, but quantizing takes 200
// cycles for 16 rows of 32. Shorter sequences gain nothing and are multiplied as the second product is.
inline constexpr std::size_t kShortestInt8InBf16 = 49, kShortestInt8InF32 = 21;

// Disentangled scores take, beside the bias's room for the buckets of all distances: what a block of queries
// gives with all rows of a table, what 16 keys give with the rows of their distances to a panel of queries
// (and the rows that are read before and behind those), that of all keys by query, and a head's columns of
// both tables. A panel of n queries has n + 15 distances to 16 keys: 128 multiply 12 % for nothing, and what
// all keys give takes 512 bytes a token.
inline constexpr std::size_t kPanelQueries = 128, kPanelDistances = 1 + kPanelQueries + 15 + 8;
inline constexpr std::size_t kSparePositions = 64;
constexpr std::size_t position_columns(std::size_t rows) { return (rows + 15) / 16 * 16 + 16; }
constexpr std::size_t position_floats(std::size_t rows, std::size_t columns, std::size_t head_dim) {
  if (rows == 0) return 0;
  return kSparePositions + kMostQueries * position_columns(rows) + kPanelDistances * 16 +
         kPanelQueries * columns + 2 * position_columns(rows) * head_dim;
}

// What a longer sequence needs is enough for a shorter one: no term falls as the length grows. Rows do,
// once, at kShortColumns, so that room for scores is made for more of them from there on.
constexpr std::size_t attention_scratch_bytes(std::size_t length, std::size_t head_dim,
                                              std::size_t rows = 0) {
  const std::size_t columns = attention_columns(length);
  const std::size_t short_scores = kMostQueries * (columns < kShortColumns ? columns : kShortColumns);
  const std::size_t long_scores = kMostQueries / 2 * columns;
  const std::size_t scores = short_scores > long_scores ? short_scores : long_scores;
  const std::size_t floats = 2 * columns                // the bias of all distances
                             + 2 * columns * head_dim   // packed K and V
                             + 2 * scores               // and weights
                             + kMostQueries * head_dim  // out
                             + 2 * 16 * head_dim        // 16 rows of Q that are quantized
                             + 16 * head_dim            // 16 rows of Q or K that are turned
                             + 3 * length * head_dim    // Q, K and V in another type
                             + position_floats(rows, columns, head_dim);
  return floats * sizeof(float);
}

using AttentionKernel = void (*)(const Attention& attention);

}  // namespace bertc
