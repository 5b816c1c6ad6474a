// The words on floats of the vector vocabulary (scalar16.h) in AVX2 with FMA: the first half of avx2.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "simd/inline.h"

namespace bertc::simd {

struct Avx2Floats {
  struct F32 {
    __m256 low, high;
  };
  struct I32 {
    __m256i low, high;
  };

  static BERTC_INLINE F32 load(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
  static BERTC_INLINE void store(float* to, F32 a) {
    _mm256_storeu_ps(to, a.low);
    _mm256_storeu_ps(to + 8, a.high);
  }
  static BERTC_INLINE F32 set(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static BERTC_INLINE F32 add(F32 a, F32 b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static BERTC_INLINE F32 sub(F32 a, F32 b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static BERTC_INLINE F32 mul(F32 a, F32 b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static BERTC_INLINE F32 div(F32 a, F32 b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  static BERTC_INLINE F32 fma(F32 a, F32 b, F32 c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static BERTC_INLINE F32 min(F32 a, F32 b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  static BERTC_INLINE F32 max(F32 a, F32 b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static BERTC_INLINE F32 round(F32 a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
  }
  static BERTC_INLINE __m256 power_of_two(__m256 n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  }
  static BERTC_INLINE F32 scale_exp2(F32 a, F32 n) {
    return {_mm256_mul_ps(a.low, power_of_two(n.low)), _mm256_mul_ps(a.high, power_of_two(n.high))};
  }
  static BERTC_INLINE __m256 exponent_of(__m256 a) {
    const __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(a), 23);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127)));
  }
  static BERTC_INLINE F32 exponent(F32 a) { return {exponent_of(a.low), exponent_of(a.high)}; }
  static BERTC_INLINE float sum(F32 a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static BERTC_INLINE float largest(F32 a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static BERTC_INLINE float smallest(F32 a) {
    const __m256 eight = _mm256_min_ps(a.low, a.high);
    const __m128 four = _mm_min_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
  }
  static BERTC_INLINE F32 sum_of_four(F32 a, F32 b, F32 c, F32 d) {
    const __m256 ab = _mm256_hadd_ps(_mm256_add_ps(a.low, a.high), _mm256_add_ps(b.low, b.high));
    const __m256 cd = _mm256_hadd_ps(_mm256_add_ps(c.low, c.high), _mm256_add_ps(d.low, d.high));
    const __m256 halves = _mm256_hadd_ps(ab, cd);
    const __m256 all = _mm256_add_ps(halves, _mm256_permute2f128_ps(halves, halves, 1));
    return {all, all};
  }
  static BERTC_INLINE __m256 largest_pairs(__m256 a, __m256 b) {
    return _mm256_max_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xDD));
  }
  static BERTC_INLINE F32 largest_of_four(F32 a, F32 b, F32 c, F32 d) {
    const __m256 ab = largest_pairs(_mm256_max_ps(a.low, a.high), _mm256_max_ps(b.low, b.high));
    const __m256 cd = largest_pairs(_mm256_max_ps(c.low, c.high), _mm256_max_ps(d.low, d.high));
    const __m256 halves = largest_pairs(ab, cd);
    const __m256 all = _mm256_max_ps(halves, _mm256_permute2f128_ps(halves, halves, 1));
    return {all, all};
  }
  template <int kLane>
  static BERTC_INLINE F32 spread(F32 a) {
    return {_mm256_permute_ps(a.low, kLane * 0x55), _mm256_permute_ps(a.high, kLane * 0x55)};
  }
  static BERTC_INLINE void store_four(float* to, F32 a) { _mm_storeu_ps(to, _mm256_castps256_ps128(a.low)); }
  static BERTC_INLINE F32 keep_lanes(F32 a, int count, float fill) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256 low = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane));
    const __m256 high = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count - 8), lane));
    const __m256 other = _mm256_set1_ps(fill);
    return {_mm256_blendv_ps(other, a.low, low), _mm256_blendv_ps(other, a.high, high)};
  }

  template <int kBit>
  static BERTC_INLINE F32 take_lanes(F32 a, F32 b) {
    if constexpr (kBit == 8) return {a.low, b.high};
    constexpr int kMask = kBit == 1 ? 0xAA : kBit == 2 ? 0xCC : 0xF0;
    return {_mm256_blend_ps(a.low, b.low, kMask), _mm256_blend_ps(a.high, b.high, kMask)};
  }
  static BERTC_INLINE __m256 load_eight_rising(const float* from, const int32_t* at, int32_t first) {
    const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i order = _mm256_sub_epi32(index, _mm256_set1_epi32(*at));
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(from + (*at - first)), order);
  }
  static BERTC_INLINE F32 load_rising(const float* from, const int32_t* at, int32_t first) {
    return {load_eight_rising(from, at, first), load_eight_rising(from, at + 8, first)};
  }
};

}  // namespace bertc::simd
