// AVX-512 with VNNI and BF16: avx512.h, and the bf16 product in one instruction.
// Only files whose name ends in _avx512bf16.cc include this.
#pragma once

#include "simd/avx512.h"
#include "simd/polynomials.h"

namespace bertc::simd {

struct Avx512Bf16 : Avx512 {
  // One instruction instead of five. It takes subnormal numbers for zero, which the others round.
  static BERTC_INLINE __m256i to_bf16(F32 a) {
    const __m256bh halves = _mm512_cvtneps_pbh(a);
    __m256i bits;
    std::memcpy(&bits, &halves, sizeof bits);
    return bits;
  }
  static BERTC_INLINE void store_bf16(uint16_t* to, F32 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), to_bf16(a));
  }
  // to[2 i] = even[i], to[2 i + 1] = odd[i].
  static BERTC_INLINE void interleave(uint16_t* to, const uint16_t* even, const uint16_t* odd) {
    const auto widen = [](const uint16_t* from) {
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    };
    _mm512_storeu_si512(to, _mm512_or_si512(widen(even), _mm512_slli_epi32(widen(odd), 16)));
  }

  // 2^(x / kExp2Steps) of 32 x <= 0 as bf16, and `total` plus their sums by pairs. The bits of a bf16
  // number 2^n (1 + f) are 128 (n + 127 + f): 128 log2 of it, but for a small function of f. So x rounded
  // to an integer, plus that function by its lower 7 bits, are the bits. Relative error: at most 2^-7,
  // where rounding alone makes one of 2^-8; 0 becomes 1 exactly. Below 2^-127 it is 0.
  static constexpr float kExp2Steps = 128.0f, kExp2Bias = 127 * 128;
  static BERTC_INLINE F32 store_exp2_bf16(uint16_t* to, F32 low, F32 high, F32 total) {
    // Packing alternates between quarters of its operands.
    const __m512i packed = _mm512_packus_epi32(_mm512_cvtps_epi32(low), _mm512_cvtps_epi32(high));
    const __m512i steps = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), packed);
    const __m512i offsets = _mm512_permutex2var_epi16(
        _mm512_load_si512(kExp2Bf16), _mm512_srli_epi16(steps, 1), _mm512_load_si512(kExp2Bf16 + 32));
    const __m512i bits = _mm512_add_epi16(steps, offsets);
    _mm512_storeu_si512(to, bits);
    return DotBf16::dot(total, bits, _mm512_set1_epi16(0x3F80));
  }

  struct DotBf16 : Avx512::DotBf16 {
    static constexpr std::size_t kBlocks = 4;
    // Inline assembly for the reason given at Avx512::DotInt8.
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
      return sum;
    }
  };
};

}  // namespace bertc::simd
