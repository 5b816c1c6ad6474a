// Matrix product with a fused epilogue: out = activation(a b + bias) + residual.
//
// `a` is [rows, depth], row-major. `b` is packed at compile time, once for every instruction set, as
// [blocks][depth / kDepth][16][kDepth]: a block is 16 output columns, and the kDepth (4 int8, 2
// bf16, 1 float32) elements that one instruction multiplies lie side by side. Columns are a whole
// number of blocks and depth a whole number of groups: packing filled up with zeros.
//
// int8: a is unsigned with a scale and zero point per row, b signed with a scale per column. The
// sums are int32 and exact: they need depth <= kMaxInt8Depth. out = (sum - zero_point * column_sum)
// * row_scale * column_scale + bias, with column_sum[n] = sum over k of b[k, n]. Where all rows share a
// scale and zero point, row_scale is null: column_scale and column_sum are already multiplied by them.
//
// Loops: for a block of kRowBlock rows, for a panel of columns, for a tile of rows. The panel
// (BERT-base: 64 columns x 768 = 48 KB of int8) is read from L2 or L3 once per row block and stays near
// for all its tiles; the rows (128 x 3072 = 393 KB at most, twice that where bytes are widened) stay in L2.
// Every element is summed over k in one order, whatever tile it falls in, so results do not depend on what
// else is in the batch.
//
// What 128 rows take less than 48, whole models on one thread, sequences of 128 and sentences of 14 tokens:
//                            MiniLM                              BERT-base
//   AVX2, 1 MB of L2 (Zen 4) int8 2-3 %, 7 bits 0-1 %            int8 3-4 %, 7 bits 0 %, fp32 3-6 %
//   AVX2, 512 KB (Zen 3)     int8 9 %, 7 bits 4 %
//   AVX-512 (Zen 4)          int8 0-1 %, bf16 1 %, fp32 0-2 %    int8 2 %, bf16 0-3 %, fp32 2-3 %
//   portable C++             int8 0 %
// 192 rows took 1 % less again with AVX2 on 1 MB of L2, nothing with AVX-512, and want half as much more.
//
// Gated: blocks 2j and 2j + 1 of the product are gate and value of block j of the output, which is
// activation(gate) * value: half as many columns, and the product is in no memory (Shazeer 2020,
// arXiv:2002.05202, eq. 6).
//
// Rows at places (kernels/quantize_rows/places.h) may have a bias of their own: one row in 14 to 128. A tile
// is finished in runs of rows that are alike, which costs the others nothing.
//
// Weights whose groups are bounded (WeightBound) have kernels of their own, where they are faster:
// gemm_int8_pairs and gemm_int8_fours.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantize_rows/kernel.h"

namespace bertc {

// What the weights of a column are bounded in: pairs of depths that lie side by side in the packed layout, 2
// j and 2 j + 1, or fours, the pairs that lie at the same place in two groups of 4 depths, 8 j + (0, 1, 4, 5)
// and 8 j + (2, 3, 6, 7). The positive weights of each add up to at most 128, the negative ones to at least
// -128: sums of their products with 0..255 fit 16 bits, 255 * 128 = 32640 < 2^15.
enum class WeightBound : int32_t { kNone, kPairs, kFours };

inline constexpr int kBoundedSum = 128;

enum class Activation : int32_t {
  kNone,
  kGelu,
  kGeluTanh,
  kRelu,
  kTanh,
  kSigmoid,
  kSilu,
  kQuickGelu,
  kMish,
  kLog1pRelu
};

// int32: the exact sums minus zero points, before any scale (int8 only; tests compare them).
enum class GemmOutput : int32_t { kF32, kBf16, kU8, kI32 };

inline constexpr std::size_t kBlockColumns = 16;
inline constexpr std::size_t kRowBlock = 128;
// 2^31 / (255 * 128), in whole groups of 4: beyond it a sum of products could overflow. Quantization makes
// no -128, but a file may hold it.
inline constexpr std::size_t kMaxInt8Depth = 65792;

struct Gemm {
  const void* a;
  std::size_t a_stride;  // elements
  const void* b;
  std::size_t rows;
  std::size_t depth_groups;

  const float* row_scale;  // these four: int8 only
  const int32_t* row_zero_point;
  const float* column_scale;
  const int32_t* column_sum;

  const float* bias;
  PlaceVectors biases;   // of rows at places that have a bias of their own
  const float* offset;   // kU8 only: null, or what is added before a row is stored
  PlaceVectors offsets;  // the same of rows at places
  RowPlaces places;
  Activation activation;
  bool gated;             // without a residual
  const float* residual;  // may be null, or the same memory as out
  std::size_t residual_stride;
  void* out;
  std::size_t out_stride;
  GemmOutput output;
  StaticScale out_scale;  // kU8 only

  std::byte* scratch;  // gemm_scratch_bytes(depth), 64-byte aligned, one per thread
};

// Enough for a row block in the widest form that a kernel converts it to.
constexpr std::size_t gemm_scratch_bytes(std::size_t padded_depth) {
  return kRowBlock * padded_depth * sizeof(float);
}

// Computes the columns of blocks [first_block, last_block) of the product; gated, both are even.
using GemmKernel = void (*)(const Gemm& gemm, std::size_t first_block, std::size_t last_block);

}  // namespace bertc
