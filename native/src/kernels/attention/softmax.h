// The softmax of a block of rows, up to the division by the row's sum, which comes after the product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "simd/math.h"

namespace bertc::attention {

using simd::unroll;

// exp(factor * score + shift) of kColumns scores, where scale * kFactor is the factor. What rounds to
// bf16 anyway is found 32 at a time (simd/avx512bf16.h).
template <class V, class Element>
struct Exponential;

template <class V>
struct Exponential<V, float> {
  using F32 = typename V::F32;
  static constexpr std::size_t kColumns = 16;
  static constexpr float kFactor = 1.0f, kBias = 0.0f;

  template <class Load>
  static BERTC_INLINE F32 store(float* to, Load load, F32 factor, F32 shift, F32 total) {
    const F32 weight = simd::exp_of_negative<V>(V::fma(load(0), factor, shift));
    V::store(to, weight);
    return V::add(total, weight);
  }
};

template <class V>
struct Exponential<V, uint16_t> {
  using F32 = typename V::F32;
  static constexpr std::size_t kColumns = 32;
  static constexpr float kFactor = 1.44269504f * V::kExp2Steps, kBias = V::kExp2Bias;

  template <class Load>
  static BERTC_INLINE F32 store(uint16_t* to, Load load, F32 factor, F32 shift, F32 total) {
    return V::store_exp2_bf16(to, V::fma(load(0), factor, shift), V::fma(load(16), factor, shift), total);
  }
};

// kRows rows side by side: the steps of one fill the latency of another's. Columns beyond `length` are
// read up to the next multiple of 16, where they repeat the last key, and get a weight of zero.
template <class V, class Element, std::size_t kRows>
void softmax_rows(const float* scores, std::size_t stride, std::size_t length, const float* scales,
                  Element* weights, float* inverse_sums) {
  using F32 = typename V::F32;
  using Exp = Exponential<V, Element>;
  constexpr float kLowest = -3.402823466e38f;
  F32 high[4], total[4];
  unroll<4>([&](auto r) {
    high[r] = V::load(scores + (r < kRows ? r : 0) * stride);
    total[r] = V::set(0.0f);
  });
  for (std::size_t i = 16; i < length; i += 16) {
    unroll<kRows>([&](auto r) { high[r] = V::max(high[r], V::load(scores + r * stride + i)); });
  }
  const F32 largest = V::largest_of_four(high[0], high[1], high[2], high[3]);
  F32 factor[kRows], shift[kRows];
  unroll<kRows>([&](auto r) {
    factor[r] = V::set(scales[r] * Exp::kFactor);
    shift[r] = V::fma(V::template spread<r>(largest), V::set(-scales[r] * Exp::kFactor), V::set(Exp::kBias));
  });
  std::size_t column = 0;
  for (; column + Exp::kColumns <= length; column += Exp::kColumns) {
    unroll<kRows>([&](auto r) {
      const float* from = scores + r * stride + column;
      const auto load = [&](int i) { return V::load(from + i); };
      total[r] = Exp::store(weights + r * stride + column, load, factor[r], shift[r], total[r]);
    });
  }
  if (column < length) {
    const int rest = static_cast<int>(length - column);
    unroll<kRows>([&](auto r) {
      const float* from = scores + r * stride + column;
      const auto load = [&](int i) {
        if (rest >= i + 16) return V::load(from + i);
        return rest <= i ? V::set(kLowest) : V::keep_lanes(V::load(from + i), rest - i, kLowest);
      };
      total[r] = Exp::store(weights + r * stride + column, load, factor[r], shift[r], total[r]);
    });
  }
  const F32 sums = V::sum_of_four(total[0], total[1], total[2], total[3]);
  V::store_four(inverse_sums, V::div(V::set(1.0f), sums));
}

// Writes four inverse sums for each four rows begun.
template <class V, class Element>
BERTC_INLINE void softmax(const float* scores, std::size_t stride, std::size_t count, std::size_t length,
                          const float* scales, Element* weights, float* inverse_sums) {
  constexpr auto kFour = softmax_rows<V, Element, 4>;
  static constexpr decltype(kFour) kRows[] = {softmax_rows<V, Element, 1>, softmax_rows<V, Element, 2>,
                                              softmax_rows<V, Element, 3>, kFour};
  for (std::size_t row = 0; row < count; row += 4) {
    const std::size_t rows = count - row < 4 ? count - row : 4;
    kRows[rows - 1](scores + row * stride, stride, length, scales + row, weights + row * stride,
                    inverse_sums + row);
  }
}

}  // namespace bertc::attention
