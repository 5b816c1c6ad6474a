// Layer norm over rows, and its quantized or bf16 copy for the next matrix product.
//
// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics in two passes over a row that
// is in L1. Columns beyond `columns` are zero on the way in and out (all vectors are zero there).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantize_rows/kernel.h"

namespace bertc {

struct LayerNorm {
  const float* x;
  std::size_t rows;
  std::size_t columns;
  std::size_t padded_columns;  // a multiple of 16: the row stride of all arrays
  const float* gamma;
  const float* beta;
  float epsilon;
  bool rms;        // the mean counts as zero, in the variance too
  float* y;        // may be x
  uint16_t* bf16;  // null, or where the row goes in bf16
  RowQuantization quantization;
  RowPlaces places;     // of the rows in 8 bits
  uint8_t* quantized;   // null, or where the row goes in 8 bits (kernels/quantize_rows), with:
  float* scale;         // [rows]
  int32_t* zero_point;  // [rows]
};

using LayerNormKernel = void (*)(const LayerNorm& layer_norm);

}  // namespace bertc
