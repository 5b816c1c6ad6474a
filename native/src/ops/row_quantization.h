// Operands of the ops that write rows in 8 bits: multiplier?, offset?, static?.
#pragma once

#include <cmath>

#include "kernels/quantize_rows/kernel.h"
#include "ops/binder.h"

namespace bertc {

// `first` is the index of the multiplier; any of the operands may be absent. `static` holds a scale and
// its zero point.
inline RowQuantization bind_row_quantization(const Binder& binder, std::size_t first, std::size_t columns) {
  RowQuantization how{};
  binder.require(binder.has_input(first) == binder.has_input(first + 1),
                 "multiplier and offset go together");
  if (binder.has_input(first)) {
    how.multiplier = binder.tensor(first, DType::kF32, {columns}).as<float>();
    how.offset = binder.tensor(first + 1, DType::kF32, {columns}).as<float>();
  }
  if (binder.has_input(first + 2)) {
    const float* numbers = binder.tensor(first + 2, DType::kF32, {16}).as<float>();
    binder.require(std::isnormal(numbers[0]) && numbers[0] > 0, "a static scale must be above 0");
    binder.require(numbers[1] >= 0 && numbers[1] <= 255 && numbers[1] == std::nearbyint(numbers[1]),
                   "a static zero point must be a whole number from 0 to 255");
    how.static_scale = numbers[0];
    how.static_zero_point = static_cast<int32_t>(numbers[1]);
  }
  return how;
}

}  // namespace bertc
