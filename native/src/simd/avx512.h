// The vector vocabulary (scalar16.h) in AVX-512 with VNNI: one register is 16 lanes.
// Only files whose name ends in _avx512.cc or _avx512bf16.cc include this.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "simd/inline.h"

namespace bertc::simd {

struct Avx512 {
  using F32 = __m512;
  using I32 = __m512i;

  static BERTC_INLINE F32 load(const float* from) { return _mm512_loadu_ps(from); }
  static BERTC_INLINE void store(float* to, F32 a) { _mm512_storeu_ps(to, a); }
  static BERTC_INLINE F32 set(float value) { return _mm512_set1_ps(value); }
  static BERTC_INLINE F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
  static BERTC_INLINE F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
  static BERTC_INLINE F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
  static BERTC_INLINE F32 div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
  static BERTC_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
  static BERTC_INLINE F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
  static BERTC_INLINE F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
  // Immediate: the smaller magnitude, its sign bit cleared.
  static BERTC_INLINE F32 min_abs(F32 a, F32 b) { return _mm512_range_ps(a, b, 0b1010); }
  static BERTC_INLINE F32 round(F32 a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static BERTC_INLINE F32 scale_exp2(F32 a, F32 n) { return _mm512_scalef_ps(a, n); }
  static BERTC_INLINE F32 exponent(F32 a) { return _mm512_getexp_ps(a); }
  static BERTC_INLINE float sum(F32 a) { return _mm512_reduce_add_ps(a); }
  static BERTC_INLINE float largest(F32 a) { return _mm512_reduce_max_ps(a); }
  static BERTC_INLINE float smallest(F32 a) { return _mm512_reduce_min_ps(a); }
  static BERTC_INLINE F32 sum_of_four(F32 a, F32 b, F32 c, F32 d) {
    const F32 ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const F32 cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const F32 quarters = add(low_pairs(ab, cd), high_pairs(ab, cd));
    const F32 halves = add(quarters, _mm512_shuffle_f32x4(quarters, quarters, 0x4E));
    return add(halves, _mm512_shuffle_f32x4(halves, halves, 0xB1));
  }
  static BERTC_INLINE F32 largest_of_four(F32 a, F32 b, F32 c, F32 d) {
    const F32 ab = max(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const F32 cd = max(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const F32 quarters = max(low_pairs(ab, cd), high_pairs(ab, cd));
    const F32 halves = max(quarters, _mm512_shuffle_f32x4(quarters, quarters, 0x4E));
    return max(halves, _mm512_shuffle_f32x4(halves, halves, 0xB1));
  }
  static BERTC_INLINE F32 low_pairs(F32 a, F32 b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
  static BERTC_INLINE F32 high_pairs(F32 a, F32 b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
  template <int kLane>
  static BERTC_INLINE F32 spread(F32 a) {
    return _mm512_permute_ps(a, kLane * 0x55);
  }
  static BERTC_INLINE void store_four(float* to, F32 a) { _mm_storeu_ps(to, _mm512_castps512_ps128(a)); }
  static BERTC_INLINE F32 keep_lanes(F32 a, int count, float fill) {
    const auto mask = static_cast<__mmask16>((1u << count) - 1u);
    return _mm512_mask_blend_ps(mask, set(fill), a);
  }

  template <int kBit>
  static BERTC_INLINE F32 take_lanes(F32 a, F32 b) {
    constexpr __mmask16 kMask = kBit == 1 ? 0xAAAA : kBit == 2 ? 0xCCCC : kBit == 4 ? 0xF0F0 : 0xFF00;
    return _mm512_mask_blend_ps(kMask, a, b);
  }
  static BERTC_INLINE F32 load_rising(const float* from, const int32_t* at, int32_t first) {
    return _mm512_permutexvar_ps(sub_int(load_int(at), set_int(*at)), load(from + (*at - first)));
  }

  static constexpr bool kLooksUp = true;
  static BERTC_INLINE F32 look_up(const float (&table)[32], F32 index) {
    return _mm512_permutex2var_ps(load(table), _mm512_castps_si512(index), load(table + 16));
  }

  static BERTC_INLINE I32 to_int(F32 a) { return _mm512_cvtps_epi32(a); }
  static BERTC_INLINE F32 to_float(I32 a) { return _mm512_cvtepi32_ps(a); }
  static BERTC_INLINE I32 load_int(const int32_t* from) { return _mm512_loadu_si512(from); }
  static BERTC_INLINE I32 set_int(int32_t value) { return _mm512_set1_epi32(value); }
  static BERTC_INLINE I32 sub_int(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
  static BERTC_INLINE I32 mul_int(I32 a, I32 b) { return _mm512_mullo_epi32(a, b); }

  static BERTC_INLINE void store_u8(uint8_t* to, I32 a) {
    const __m512i positive = _mm512_max_epi32(a, _mm512_setzero_si512());
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtusepi32_epi8(positive));
  }
  // The bytes of lane i are x0[i] to x3[i], rounded to integers of 8 bits, with the bits of `flip` inverted.
  static BERTC_INLINE void store_quads(void* to, F32 x0, F32 x1, F32 x2, F32 x3, uint32_t flip) {
    const auto pick = [](int mask, I32 a, I32 b) {  // a where the mask has ones, else b
      return _mm512_ternarylogic_epi32(_mm512_set1_epi32(mask), a, b, 0xCA);
    };
    const I32 low = pick(0xFF, to_int(x0), _mm512_slli_epi32(to_int(x1), 8));
    const I32 high = pick(0xFFFFFF, _mm512_slli_epi32(to_int(x2), 16), _mm512_slli_epi32(to_int(x3), 24));
    _mm512_storeu_si512(to,
                        _mm512_xor_si512(pick(0xFFFF, low, high), _mm512_set1_epi32(static_cast<int>(flip))));
  }
  static BERTC_INLINE F32 load_i8(const int8_t* from) {
    return to_float(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
  static BERTC_INLINE F32 load_f16(const uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  // The largest magnitude of numbers that lie 16 words apart: their bits without the sign, as integers.
  static BERTC_INLINE F32 largest_magnitude(const float* from, std::size_t count) {
    I32 largest = _mm512_setzero_si512();
    for (std::size_t i = 0; i < count; ++i) {
      const I32 bits = _mm512_and_si512(_mm512_loadu_si512(from + 16 * i), _mm512_set1_epi32(0x7FFFFFFF));
      largest = _mm512_max_epi32(largest, bits);
    }
    return _mm512_castsi512_ps(largest);
  }
  static BERTC_INLINE F32 largest_magnitude(const uint16_t* from, std::size_t count) {
    I32 largest = _mm512_setzero_si512();
    for (std::size_t i = 0; i < count; i += 2) {
      const I32 bits = _mm512_and_si512(_mm512_loadu_si512(from + 16 * i), _mm512_set1_epi16(0x7FFF));
      largest = _mm512_max_epu16(largest, bits);
    }
    const I32 odd = _mm512_and_si512(largest, _mm512_set1_epi32(~0xFFFF));
    return max(_mm512_castsi512_ps(_mm512_slli_epi32(largest, 16)), _mm512_castsi512_ps(odd));
  }
  // The even, or the odd ones, of 32 numbers.
  static BERTC_INLINE F32 load_even_bf16(const void* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(from), 16));
  }
  static BERTC_INLINE F32 load_odd_bf16(const void* from) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(from), _mm512_set1_epi32(~0xFFFF)));
  }
  static BERTC_INLINE F32 load_bf16(const uint16_t* from) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  // The rounded number in the upper half of each lane; the lower half holds rubbish.
  static BERTC_INLINE __m512i round_bf16(F32 a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i lowest_kept = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(bits, _mm512_add_epi32(lowest_kept, _mm512_set1_epi32(0x7FFF)));
  }
  static BERTC_INLINE void store_bf16(uint16_t* to, F32 a) {
    const __m256i halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_bf16(a), 16));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halves);
  }
  // Quarter j of a register comes from row 4 j + i: then two levels of unpacking transpose 4 x 4 words
  // in each quarter.
  static BERTC_INLINE F32 load_quarters(const std::byte* const* rows, std::size_t offset) {
    const auto quarter = [&](int j) {
      return _mm_loadu_ps(reinterpret_cast<const float*>(rows[4 * j] + offset));
    };
    F32 a = _mm512_castps128_ps512(quarter(0));
    a = _mm512_insertf32x4(a, quarter(1), 1);
    a = _mm512_insertf32x4(a, quarter(2), 2);
    return _mm512_insertf32x4(a, quarter(3), 3);
  }
  static BERTC_INLINE void transpose_words(const std::byte* const (&rows)[16], std::size_t offset, void* to) {
    const F32 a = load_quarters(rows, offset), b = load_quarters(rows + 1, offset);
    const F32 c = load_quarters(rows + 2, offset), d = load_quarters(rows + 3, offset);
    const F32 ab_low = _mm512_unpacklo_ps(a, b), ab_high = _mm512_unpackhi_ps(a, b);
    const F32 cd_low = _mm512_unpacklo_ps(c, d), cd_high = _mm512_unpackhi_ps(c, d);
    auto* words = static_cast<float*>(to);
    store(words, low_pairs(ab_low, cd_low));
    store(words + 16, high_pairs(ab_low, cd_low));
    store(words + 32, low_pairs(ab_high, cd_high));
    store(words + 48, high_pairs(ab_high, cd_high));
  }

  // Register blocking of all three products: 6 rows x 4 blocks are 24 accumulators, 4 registers
  // hold weights and 1 the broadcast: 29 of 32. Each step loads 4 + 6 registers for 24 products, so
  // the two load ports keep up with two multipliers, and 24 independent sums cover a latency of 5
  // cycles at 2 products a cycle more than twice.
  struct DotF32 {
    using Input = float;
    using Active = float;
    using Weight = float;
    using Sum = float;
    using Register = __m512;
    using Broadcast = __m512;
    using Loaded = __m512;
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 1, kParts = 1, kRows = 6, kBlocks = 4;

    static BERTC_INLINE Register zero() { return _mm512_setzero_ps(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) { return _mm512_set1_ps(*a); }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t) { return _mm512_loadu_ps(b); }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      return _mm512_fmadd_ps(a, b, sum);
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { _mm512_storeu_ps(to, sum); }
  };

  // Without the bf16 instruction: an exact product of the even and of the odd elements, in float32.
  struct DotBf16 {
    using Input = uint16_t;
    using Active = uint16_t;
    using Weight = uint16_t;
    using Sum = float;
    using Register = __m512;
    using Broadcast = __m512i;
    using Loaded = __m512i;
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 2, kParts = 1, kRows = 6, kBlocks = 2;

    static BERTC_INLINE Register zero() { return _mm512_setzero_ps(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) {
      int pair;
      std::memcpy(&pair, a, 4);
      return _mm512_set1_epi32(pair);
    }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t) { return _mm512_loadu_si512(b); }
    static BERTC_INLINE __m512 even(__m512i pairs) {
      return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    }
    static BERTC_INLINE __m512 odd(__m512i pairs) {
      return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(~0xFFFF)));
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      sum = _mm512_fmadd_ps(even(a), even(b), sum);
      return _mm512_fmadd_ps(odd(a), odd(b), sum);
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { _mm512_storeu_ps(to, sum); }
  };

  struct DotInt8 {
    using Input = uint8_t;
    using Active = uint8_t;
    using Weight = int8_t;
    using Sum = int32_t;
    using Register = __m512i;
    using Broadcast = __m512i;
    using Loaded = __m512i;
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 4, kParts = 1, kRows = 6, kBlocks = 4;

    static BERTC_INLINE Register zero() { return _mm512_setzero_si512(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) {
      int quad;
      std::memcpy(&quad, a, 4);
      return _mm512_set1_epi32(quad);
    }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t) { return _mm512_loadu_si512(b); }
    // Inline assembly, since GCC 12 spills the accumulators around _mm512_dpbusd_epi32 (measured:
    // half the speed).
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
      return sum;
    }
    static BERTC_INLINE Register load_sums(const void* from) { return _mm512_loadu_si512(from); }
    static BERTC_INLINE void store_scaled(float* to, Register sum, const void* scale) {
      _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(scale)));
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { _mm512_storeu_si512(to, sum); }
  };
};

}  // namespace bertc::simd
