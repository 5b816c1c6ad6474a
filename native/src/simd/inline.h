// Two tools that every vector file needs: forced inlining, and unrolling with compile-time indices.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#define BERTC_INLINE inline __attribute__((always_inline))

namespace bertc::simd {

template <class Body, std::size_t... kIndex>
BERTC_INLINE void unroll_indices(Body&& body, std::index_sequence<kIndex...>) {
  (body(std::integral_constant<std::size_t, kIndex>{}), ...);
}

// Calls body(0), body(1), ... body(kCount - 1) with indices that are constants, so that arrays of
// accumulators indexed by them live in registers (a loop that the compiler merely may unroll can
// leave them on the stack, at half the speed).
template <std::size_t kCount, class Body>
BERTC_INLINE void unroll(Body&& body) {
  unroll_indices(body, std::make_index_sequence<kCount>{});
}

}  // namespace bertc::simd
