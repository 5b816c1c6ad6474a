// Peak products, once for all types and instruction sets. The contract is in kernel.h.
#pragma once

#include "kernels/gemm/kernel.h"
#include "kernels/peak/kernel.h"
#include "simd/inline.h"

namespace bertc::peak {

template <class Dot>
std::size_t run(std::size_t iterations) {
  using simd::unroll;
  constexpr std::size_t kSums = Dot::kRows * Dot::kBlocks * Dot::kParts;
  alignas(64) typename Dot::Active a[16] = {};
  alignas(64) typename Dot::Weight b[kBlockColumns * Dot::kDepth] = {};
  asm volatile("" : : "r"(a), "r"(b) : "memory");  // the compiler must not know that they are zero
  typename Dot::Register sums[kSums];
  unroll<kSums>([&](auto i) {
    typename Dot::Register zero = Dot::zero();
    asm volatile("" : "+m"(zero));  // nor that the sums are all the same
    sums[i] = zero;
  });
  const typename Dot::Broadcast row = Dot::broadcast(a);
  const typename Dot::Loaded column = Dot::load_weights(b, 0);
  for (std::size_t n = 0; n < iterations; ++n) {
    unroll<kSums>([&](auto i) { sums[i] = Dot::dot(sums[i], row, column); });
    asm volatile("");
  }
  alignas(64) typename Dot::Sum out[kBlockColumns];
  unroll<kSums>([&](auto i) {
    Dot::store_sums(out, sums[i]);
    asm volatile("" : : "r"(out) : "memory");
  });
  return iterations * kSums * 2 * kBlockColumns * Dot::kDepth / Dot::kParts;
}

}  // namespace bertc::peak
