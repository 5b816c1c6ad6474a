// Pooling and L2 normalization, once for all instruction sets. The contract is in kernel.h.
#pragma once

#include "kernels/pool/kernel.h"
#include "simd/inline.h"

namespace bertc::pool {

// What the sum over a sequence's tokens, without the first `left_out`, is multiplied by.
inline float factor_of(Pooling mode, float length, float left_out) {
  switch (mode) {
    case Pooling::kMean:
      return 1.0f / (length - left_out);
    case Pooling::kMeanSqrtLength:
      return 1.0f / __builtin_sqrtf(length - left_out);
    case Pooling::kWeightedMean:
      return 2.0f / (length * (length + 1.0f) - left_out * (left_out + 1.0f));
    default:
      return 1.0f;
  }
}

// The row that a sequence's pooling starts at: its first, if `pooled` is 0 for all of them.
inline std::size_t begin_of(const int32_t* pooled, std::size_t first, std::size_t last) {
  if (pooled == nullptr) return first;
  std::size_t begin = first;
  while (begin < last && pooled[begin] == 0) ++begin;
  return begin < last ? begin : first;
}

template <class V>
void run(const Pool& in) {
  using F32 = typename V::F32;
  for (std::size_t s = 0; s < in.sequences; ++s) {
    const auto first = static_cast<std::size_t>(in.cu_seqlens[s]);
    const auto last = static_cast<std::size_t>(in.cu_seqlens[s + 1]);
    const std::size_t begin = begin_of(in.pooled, first, last);
    const std::size_t start = in.mode == Pooling::kLastToken ? last - 1 : begin;
    const std::size_t stop = in.mode == Pooling::kCls ? begin + 1 : last;
    const F32 factor =
        V::set(factor_of(in.mode, static_cast<float>(last - first), static_cast<float>(begin - first)));
    const F32 weight =
        V::set(in.mode == Pooling::kWeightedMean ? static_cast<float>(start - first + 1) : 1.0f);
    for (std::size_t i = 0; i < in.padded_columns; i += 16) {
      F32 value = V::mul(V::load(in.x + start * in.padded_columns + i), weight);
      for (std::size_t token = start + 1; token < stop; ++token) {
        const F32 next = V::load(in.x + token * in.padded_columns + i);
        if (in.mode == Pooling::kMax) {
          value = V::max(value, next);
        } else if (in.mode == Pooling::kWeightedMean) {
          value = V::fma(next, V::set(static_cast<float>(token - first + 1)), value);
        } else {
          value = V::add(value, next);
        }
      }
      V::store(in.out + s * in.padded_columns + i, V::mul(value, factor));
    }
  }
}

template <class V>
void normalize(const float* x, std::size_t rows, std::size_t padded_columns, float* out) {
  using F32 = typename V::F32;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t at = row * padded_columns;
    F32 squares = V::set(0.0f);
    for (std::size_t i = 0; i < padded_columns; i += 16) {
      squares = V::fma(V::load(x + at + i), V::load(x + at + i), squares);
    }
    const float norm = __builtin_sqrtf(V::sum(squares));
    const F32 inverse = V::set(1.0f / (norm > 1e-12f ? norm : 1e-12f));
    for (std::size_t i = 0; i < padded_columns; i += 16) {
      V::store(out + at + i, V::mul(V::load(x + at + i), inverse));
    }
  }
}

}  // namespace bertc::pool
