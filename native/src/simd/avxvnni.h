// AVX2's vocabulary with the byte products of AVX-VNNI: processors with VNNI in 256 bits and no AVX-512.
// Not measured on one. Only files whose name ends in _avxvnni.cc include this.
#pragma once

#include "simd/avx2.h"

namespace bertc::simd {

// A type of its own: templates over it are compiled with other flags than those over Avx2.
struct AvxVnni : Avx2 {
  // Four products add in 32 bits, exactly, whatever the weights. 6 rows x 16 columns: 12 accumulators, 2
  // registers of weights and a broadcast are 15 of 16.
  struct DotInt8 : Avx2::DotInt8Pairs {
    static constexpr std::size_t kRows = 6;

    // Inline assembly as in Avx512::DotInt8; without {vex} it might become the instruction of AVX-512.
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
      return sum;
    }
  };
};

}  // namespace bertc::simd
