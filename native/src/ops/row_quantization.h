// Operands of the ops that write rows in 8 bits: static, or multiplier?, offset?, first_offset?,
// last_offset?, cu_seqlens?, static?; their attribute hadamard.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <initializer_list>
#include <string>

#include "kernels/quantize_rows/kernel.h"
#include "ops/binder.h"
#include "ops/op.h"

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

// The vectors of rows at places, operands of which either may be absent.
inline PlaceVectors bind_place_vectors(Binder& binder, const std::string& what, std::size_t columns) {
  const auto bind = [&](const std::string& operand) {
    return binder.has(operand) ? binder.tensor(operand, DType::kF32, {columns}).as<float>() : nullptr;
  };
  return {.first = bind("first_" + what), .last = bind("last_" + what)};
}

// Whether the rows of x, one for each token, have vectors by place: some of the operands that were bound to
// `vectors`.
inline bool bind_places(Binder& binder, const Buffer& x, std::initializer_list<PlaceVectors> vectors) {
  bool any = false;
  for (const PlaceVectors& each : vectors) any = any || each.first != nullptr || each.last != nullptr;
  binder.require(any == binder.has("cu_seqlens"), "cu_seqlens goes with vectors of the first or last token");
  if (!any) return false;
  binder.cu_seqlens();
  binder.require(x.rows == Rows::kTokens, "only rows of tokens can be the first or the last of a sequence");
  return true;
}

// Where the rows from `first` on stand.
inline RowPlaces places_from(const Frame& frame, std::size_t first) {
  const int32_t* begin = frame.batch.cu_seqlens + 1;
  const int32_t* end = begin + frame.batch.sequences;
  return {.ends = std::upper_bound(begin, end, static_cast<int32_t>(first)), .first_row = first};
}

// Those for the rows of x; any of the operands may be absent.
inline RowQuantization bind_row_quantization(Binder& binder, const Buffer& x) {
  const std::size_t columns = x.padded_columns();
  RowQuantization quantization{};
  if (binder.has("multiplier")) {
    quantization.multiplier = binder.tensor("multiplier", DType::kF32, {columns}).as<float>();
  }
  if (binder.has("offset")) quantization.offset = binder.tensor("offset", DType::kF32, {columns}).as<float>();
  quantization.offsets = bind_place_vectors(binder, "offset", columns);
  if (binder.has("static")) quantization.static_scale = bind_static_scale(binder);
  quantization.hadamard =
      binder.has_attribute("hadamard") ? static_cast<std::size_t>(binder.integer("hadamard", 1, 16)) : 1;
  const std::size_t order = quantization.hadamard;
  if (order == 1) return quantization;
  binder.require(std::has_single_bit(order) && x.columns % (order * 16) == 0 && columns <= kMostMixedColumns,
                 "its columns have no so many parts to mix");
  binder.require(quantization.static_scale.scale == 0, "rows with a static scale are not mixed");
  return quantization;
}

}  // namespace bertc
