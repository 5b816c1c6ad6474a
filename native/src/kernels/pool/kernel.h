// One row per sequence from its tokens' rows, and rows divided by their L2 norm.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bertc {

enum class Pooling : int32_t {
  kCls,
  kMean,
  kMax,
  kLastToken,
  kSum,
  kMeanSqrtLength,  // the sum over the root of the number of tokens
  kWeightedMean     // token i of a sequence counts i + 1 times, whichever is the first that counts
};

struct Pool {
  const float* x;
  const int32_t* cu_seqlens;  // of the sequences to pool, and one more; rows of x
  const int32_t* pooled;      // null, or of each row of x: 0 before the row that its sequence is pooled from
  std::size_t sequences;
  std::size_t padded_columns;
  Pooling mode;
  float* out;
};

using PoolKernel = void (*)(const Pool& pool);

// x / max(|x|, 1e-12) for each row, as PyTorch's normalize does. out may be x.
using NormalizeKernel = void (*)(const float* x, std::size_t rows, std::size_t padded_columns, float* out);

}  // namespace bertc
