// Operands of the ops that write rows in 8 bits: static, or multiplier?, offset?, static?.
#pragma once

#include <cmath>

#include "kernels/quantize_rows/kernel.h"
#include "ops/binder.h"

namespace bertc {

// The operand `static`, which holds a scale and its zero point.
inline StaticScale bind_static_scale(Binder& binder) {
  const float* numbers = binder.tensor("static", DType::kF32, {16}).as<float>();
  binder.require(std::isnormal(numbers[0]) && numbers[0] > 0, "a static scale must be above 0");
  binder.require(numbers[1] >= 0 && numbers[1] <= 255 && numbers[1] == std::nearbyint(numbers[1]),
                 "a static zero point must be a whole number from 0 to 255");
  return {.scale = numbers[0], .inverse = 1.0f / numbers[0], .zero_point = numbers[1]};
}

// The same of a step that writes 8 bits instead of floats: it has that operand if `out` is u8.
inline StaticScale bind_output_scale(Binder& binder, const Buffer& out) {
  const bool is_static = binder.has("static");
  binder.require(is_static == (out.dtype == DType::kU8), "a u8 output goes with a static scale");
  return is_static ? bind_static_scale(binder) : StaticScale{};
}

// Any of the operands may be absent.
inline RowQuantization bind_row_quantization(Binder& binder, std::size_t columns) {
  RowQuantization quantization{};
  const bool is_affine = binder.has("multiplier");
  binder.require(is_affine == binder.has("offset"), "multiplier and offset go together");
  if (is_affine) {
    quantization.multiplier = binder.tensor("multiplier", DType::kF32, {columns}).as<float>();
    quantization.offset = binder.tensor("offset", DType::kF32, {columns}).as<float>();
  }
  if (binder.has("static")) quantization.static_scale = bind_static_scale(binder);
  return quantization;
}

}  // namespace bertc
