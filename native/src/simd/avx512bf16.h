// AVX-512 with VNNI and BF16: avx512.h, and the bf16 product in one instruction.
// Only files whose name ends in _avx512bf16.cc include this.
#pragma once

#include "simd/avx512.h"

namespace bertc::simd {

struct Avx512Bf16 : Avx512 {
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
