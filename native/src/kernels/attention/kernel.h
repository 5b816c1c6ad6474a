// Softmax attention of one head inside one sequence: out = softmax(scale Q K^T) V.
//
// Q, K and V are rows of the fused [tokens, 3 * heads * head_dim] array. Both products run on the
// matrix kernels' inner loop: K and V are packed once per head into the layout of weights (keys are
// the columns of the first product, depth of the second), then kQueryBlock rows of Q at a time are
// multiplied, exponentiated and multiplied again, so that scores stay in L1 (12 rows x 512 keys x 4
// bytes = 24 KB). The division by the row's sum comes last. Blocks start at the sequence's first
// token, so a sequence's result does not depend on the batch.
#pragma once

#include <cstddef>

#include "kernels/gemm/kernel.h"

namespace bertc {

inline constexpr std::size_t kQueryBlock = 12;

struct Attention {
  const void* query;  // first row of this sequence and head; float32, or bf16 if bf16_in
  const void* key;
  const void* value;
  std::size_t in_stride;  // elements between rows, the same for all three
  bool bf16_in;
  void* out;  // float32, or bf16 if bf16_out
  std::size_t out_stride;
  bool bf16_out;
  std::size_t length;    // tokens in the sequence
  std::size_t head_dim;  // a multiple of 16
  float scale;
  std::byte* scratch;  // attention_scratch_bytes(length, head_dim), 64-byte aligned
};

constexpr std::size_t attention_scratch_bytes(std::size_t length, std::size_t head_dim) {
  const std::size_t keys = (length + 15) / 16 * 16;
  const std::size_t floats = 2 * keys * head_dim                         // packed K and V
                             + kQueryBlock * (2 * keys + 2 * head_dim);  // scores, weights, Q, out
  return floats * sizeof(float);
}

using AttentionKernel = void (*)(const Attention& attention);

}  // namespace bertc
