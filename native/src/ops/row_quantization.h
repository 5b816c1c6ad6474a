// Operands of the ops that write rows in 8 bits: static, or multiplier?, offset?, static?.
#pragma once

#include <cmath>

#include "kernels/quantize_rows/kernel.h"
#include "ops/binder.h"

namespace bertc {

// The operand `index`, which holds a scale and its zero point.
inline StaticScale bind_static_scale(const Binder& binder, std::size_t index) {
  const float* numbers = binder.tensor(index, DType::kF32, {16}).as<float>();
  binder.require(std::isnormal(numbers[0]) && numbers[0] > 0, "a static scale must be above 0");
  binder.require(numbers[1] >= 0 && numbers[1] <= 255 && numbers[1] == std::nearbyint(numbers[1]),
                 "a static zero point must be a whole number from 0 to 255");
  return {.scale = numbers[0], .inverse = 1.0f / numbers[0], .zero_point = numbers[1]};
}

// The same of a step that writes 8 bits instead of floats: it has that operand if `out` is u8.
inline StaticScale bind_output_scale(const Binder& binder, std::size_t index, const Buffer& out) {
  binder.require(binder.has_input(index) == (out.dtype == DType::kU8),
                 "a u8 output goes with a static scale");
  return binder.has_input(index) ? bind_static_scale(binder, index) : StaticScale{};
}

// `first` is the index of the multiplier; any of the operands may be absent.
inline RowQuantization bind_row_quantization(const Binder& binder, std::size_t first, std::size_t columns) {
  RowQuantization how{};
  binder.require(binder.has_input(first) == binder.has_input(first + 1), "multiplier and offset go together");
  if (binder.has_input(first)) {
    how.multiplier = binder.tensor(first, DType::kF32, {columns}).as<float>();
    how.offset = binder.tensor(first + 1, DType::kF32, {columns}).as<float>();
  }
  if (binder.has_input(first + 2)) how.shared = bind_static_scale(binder, first + 2);
  return how;
}

}  // namespace bertc
