// Rows of float32 to unsigned 8 bits with a scale and zero point per row, or to bf16.
//
// The formula is bertc.quantize.primitives.quantize_rows, step by step: the range of a row, widened
// to hold zero, maps to 0..255. A row whose range is below 1e-30, or not
// finite, becomes zeros with scale 0. With a static scale the formula is
// bertc.quantize.primitives.quantize_static.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantize_rows/places.h"

namespace bertc {

// The widest row whose parts are mixed: it lies on the stack.
inline constexpr std::size_t kMostMixedColumns = 8192;

// A scale and zero point that all rows share; values outside its range are clipped.
struct StaticScale {
  float scale;       // 0: there is none
  float inverse;     // 1 / scale
  float zero_point;  // a whole number from 0 to 255
};

// What of a row is quantized, and by which scale.
struct RowQuantization {
  // Null, or vectors: not x is quantized, but multiplier * x + offset. Without them they count as 1 and 0.
  const float* multiplier;
  const float* offset;
  PlaceVectors offsets;      // of rows at places that have an offset of their own
  StaticScale static_scale;  // if there is none, each row gets the scale of its range
  // So many equal parts of what is quantized are multiplied by Sylvester's Hadamard matrix before, as
  // bertc.ir.formulas.mix_parts does: 1 (for none), 2, 4, 8 or 16, each part of whole registers.
  std::size_t hadamard;
};

struct QuantizeRows {
  const float* x;
  RowPlaces places;
  std::size_t rows;
  std::size_t padded_columns;  // a multiple of 16: the row stride of all arrays
  RowQuantization quantization;
  uint8_t* quantized;
  float* scale;         // [rows]
  int32_t* zero_point;  // [rows]
};

using QuantizeRowsKernel = void (*)(const QuantizeRows& quantize_rows);

using CastBf16Kernel = void (*)(const float* x, std::size_t count, uint16_t* out);

}  // namespace bertc
