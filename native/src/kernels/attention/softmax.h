// The softmax of a block of rows, up to the division by the row's sum, which comes after the product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "simd/math.h"

namespace bertc::attention {

using simd::unroll;

// The weights of kColumns scores, 16 of which `exponents` gives: a score x is exp(x) of x * kFactor + kBias.
// What rounds to bf16 anyway is found 32 at a time (simd/avx512bf16.h).
template <class V, class Element>
struct Exponential;

template <class V>
struct Exponential<V, float> {
  using F32 = typename V::F32;
  static constexpr std::size_t kColumns = 16;
  static constexpr float kFactor = 1.0f, kBias = 0.0f;

  template <class Exponents>
  static BERTC_INLINE F32 store(float* to, Exponents exponents, F32 total) {
    const F32 weight = simd::exp_of_negative<V>(exponents(0));
    V::store(to, weight);
    return V::add(total, weight);
  }
};

template <class V>
struct Exponential<V, uint16_t> {
  using F32 = typename V::F32;
  static constexpr std::size_t kColumns = 32;
  static constexpr float kFactor = 1.44269504f * V::kExp2Steps, kBias = V::kExp2Bias;

  template <class Exponents>
  static BERTC_INLINE F32 store(uint16_t* to, Exponents exponents, F32 total) {
    return V::store_exp2_bf16(to, exponents(0), exponents(16), total);
  }
};

inline constexpr float kLowest = -3.402823466e38f;

// The largest score of each row: rows r = 0..3 in lane r of each four lanes.
template <class V, std::size_t kRows>
BERTC_INLINE typename V::F32 largest_scores(const float* scores, std::size_t stride, std::size_t length) {
  typename V::F32 high[4];
  unroll<4>([&](auto r) { high[r] = V::load(scores + (r < kRows ? r : 0) * stride); });
  for (std::size_t i = 16; i < length; i += 16) {
    unroll<kRows>([&](auto r) { high[r] = V::max(high[r], V::load(scores + r * stride + i)); });
  }
  return V::largest_of_four(high[0], high[1], high[2], high[3]);
}

// The same, of scores times the row's factor plus their bias, which take their place. Row r reads the bias
// from r numbers before the first row's on.
template <class V, std::size_t kRows>
BERTC_INLINE typename V::F32 largest_biased_scores(float* scores, std::size_t stride, std::size_t length,
                                                   const typename V::F32 (&factor)[kRows],
                                                   const float* bias) {
  typename V::F32 high[4];
  unroll<4>([&](auto r) { high[r] = V::set(kLowest); });
  const auto put = [&](auto r, std::size_t i, auto keep) {
    float* score = scores + r * stride + i;
    const typename V::F32 x = keep(V::fma(V::load(score), factor[r], V::load(bias + i - r)));
    V::store(score, x);
    high[r] = V::max(high[r], x);
  };
  std::size_t i = 0;
  for (; i + 16 <= length; i += 16) {
    unroll<kRows>([&](auto r) { put(r, i, [](auto x) { return x; }); });
  }
  if (i < length) {
    const int rest = static_cast<int>(length - i);
    unroll<kRows>([&](auto r) { put(r, i, [&](auto x) { return V::keep_lanes(x, rest, kLowest); }); });
  }
  return V::largest_of_four(high[0], high[1], high[2], high[3]);
}

// kRows rows side by side: the steps of one fill the latency of another's. Columns beyond `length` are
// read up to the next multiple of 16, where they repeat the last key, and get a weight of zero.
template <class V, bool kBiased, class Element, std::size_t kRows>
void softmax_rows(float* scores, std::size_t stride, std::size_t length, const float* scales,
                  Element* weights, float* inverse_sums, const float* bias) {
  using F32 = typename V::F32;
  using Exp = Exponential<V, Element>;
  F32 factor[kRows], shift[kRows], total[4];
  unroll<kRows>([&](auto r) { factor[r] = V::set(scales[r] * Exp::kFactor); });
  unroll<4>([&](auto r) { total[r] = V::set(0.0f); });
  if constexpr (kBiased) {
    const F32 largest = largest_biased_scores<V>(scores, stride, length, factor, bias);
    unroll<kRows>([&](auto r) { shift[r] = V::sub(V::set(Exp::kBias), V::template spread<r>(largest)); });
  } else {
    const F32 largest = largest_scores<V, kRows>(scores, stride, length);
    unroll<kRows>([&](auto r) {
      const F32 negative = V::set(-scales[r] * Exp::kFactor);
      shift[r] = V::fma(V::template spread<r>(largest), negative, V::set(Exp::kBias));
    });
  }
  const auto exponent = [&](auto r, F32 score) {
    return kBiased ? V::add(score, shift[r]) : V::fma(score, factor[r], shift[r]);
  };
  std::size_t column = 0;
  for (; column + Exp::kColumns <= length; column += Exp::kColumns) {
    unroll<kRows>([&](auto r) {
      const float* from = scores + r * stride + column;
      const auto exponents = [&](int i) { return exponent(r, V::load(from + i)); };
      total[r] = Exp::store(weights + r * stride + column, exponents, total[r]);
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
      const auto exponents = [&](int i) { return exponent(r, load(i)); };
      total[r] = Exp::store(weights + r * stride + column, exponents, total[r]);
    });
  }
  const F32 sums = V::sum_of_four(total[0], total[1], total[2], total[3]);
  V::store_four(inverse_sums, V::div(V::set(1.0f), sums));
}

// Writes four inverse sums for each four rows begun. `bias`, where there is one, is that of the first row.
template <class V, bool kBiased, class Element>
BERTC_INLINE void softmax(float* scores, std::size_t stride, std::size_t count, std::size_t length,
                          const float* scales, const float* bias, Element* weights, float* inverse_sums) {
  constexpr auto kFour = softmax_rows<V, kBiased, Element, 4>;
  static constexpr decltype(kFour) kRows[] = {softmax_rows<V, kBiased, Element, 1>,
                                              softmax_rows<V, kBiased, Element, 2>,
                                              softmax_rows<V, kBiased, Element, 3>, kFour};
  for (std::size_t row = 0; row < count; row += 4) {
    const std::size_t rows = count - row < 4 ? count - row : 4;
    kRows[rows - 1](scores + row * stride, stride, length, scales + row, weights + row * stride,
                    inverse_sums + row, kBiased ? bias - row : nullptr);
  }
}

}  // namespace bertc::attention
