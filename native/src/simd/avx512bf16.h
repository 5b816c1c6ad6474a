// AVX-512 with VNNI and BF16: avx512.h, and the bf16 product in one instruction.
// Only files whose name ends in _avx512bf16.cc include this.
#pragma once

#include "simd/avx512.h"

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
  static BERTC_INLINE void interleave_bf16(uint16_t* to, F32 even, F32 odd) {
    const __m512i low = _mm512_cvtepu16_epi32(to_bf16(even));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(to_bf16(odd)), 16);
    _mm512_storeu_si512(to, _mm512_or_si512(low, high));
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
