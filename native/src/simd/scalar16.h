// The vector vocabulary in plain C++: 16 lanes, any processor. It defines what each word means;
// avx2.h and avx512.h say the same words in instructions.
//
// Words on floats: load store set add sub mul div fma min max min_abs round scale_exp2 exponent sum largest
// smallest sum_of_four largest_of_four spread store_four keep_lanes take_lanes load_rising look_up. On
// integers: to_int to_float load_int set_int sub_int mul_int. On the way to and from memory: store_u8 load_i8
// load_f16 load_bf16 load_even_bf16 load_odd_bf16 store_bf16 transpose_words.
//
// Dot types are the inner loop of a matrix product (see kernels/gemm/gemm_template.h): they
// multiply a group of kDepth consecutive elements of one row of activations with a packed block of
// 16 output columns. A block's sums take kParts registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "simd/inline.h"

namespace bertc::simd {

BERTC_INLINE float bf16_to_float(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// Round to nearest, ties to even.
BERTC_INLINE uint16_t float_to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// Exact. Half precision numbers below 2^-14 are subnormal: their value is mantissa * 2^-24.
BERTC_INLINE float f16_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31;
  const uint32_t mantissa = half & 0x3FF;
  uint32_t bits = sign;
  if (exponent == 31) {
    bits |= 0x7F800000 | (mantissa << 13);
  } else if (exponent != 0) {
    bits |= ((exponent + 112) << 23) | (mantissa << 13);
  } else {
    const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
    return sign != 0 ? -magnitude : magnitude;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Vector types of the compiler (GCC's and Clang's extension): plain arithmetic on 16 lanes, which it
// turns into whatever registers the target has.
struct Scalar16 {
  typedef float F32 __attribute__((vector_size(64)));
  typedef int32_t I32 __attribute__((vector_size(64)));
  typedef uint32_t U32 __attribute__((vector_size(64)));

  template <class Body>
  static BERTC_INLINE F32 map(Body body) {
    F32 out;
    for (int i = 0; i < 16; ++i) out[i] = body(i);
    return out;
  }

  static BERTC_INLINE F32 load(const float* from) {
    F32 a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  static BERTC_INLINE void store(float* to, F32 a) { std::memcpy(to, &a, sizeof a); }
  static BERTC_INLINE F32 set(float value) { return F32{} + value; }
  static BERTC_INLINE F32 add(F32 a, F32 b) { return a + b; }
  static BERTC_INLINE F32 sub(F32 a, F32 b) { return a - b; }
  static BERTC_INLINE F32 mul(F32 a, F32 b) { return a * b; }
  static BERTC_INLINE F32 div(F32 a, F32 b) { return a / b; }
  // a * b + c, rounded once or twice: results on different instruction sets differ by a rounding.
  static BERTC_INLINE F32 fma(F32 a, F32 b, F32 c) { return a * b + c; }
  // As the instructions do: where a comparison fails (a NaN), the second operand.
  static BERTC_INLINE F32 min(F32 a, F32 b) { return a < b ? a : b; }
  static BERTC_INLINE F32 max(F32 a, F32 b) { return a > b ? a : b; }
  // The smaller of the magnitudes.
  static BERTC_INLINE F32 min_abs(F32 a, F32 b) {
    return map([&](int i) { return __builtin_fminf(__builtin_fabsf(a[i]), __builtin_fabsf(b[i])); });
  }
  // To the nearest integer, ties to even, for |a| < 2^22: adding 1.5 * 2^23 leaves no fraction bits.
  static BERTC_INLINE F32 round(F32 a) { return (a + 12582912.0f) - 12582912.0f; }
  // a * 2^n for an integral n in -126..127.
  static BERTC_INLINE F32 scale_exp2(F32 a, F32 n) { return a * (F32)((to_int(n) + 127) << 23); }
  // The largest integer n with 2^n <= a, for a normal number a > 0.
  static BERTC_INLINE F32 exponent(F32 a) {
    return map([&](int i) { return static_cast<float>(static_cast<int>(((U32)a)[i] >> 23) - 127); });
  }
  // Horizontal words add in the order of the instructions: halves, quarters, pairs.
  template <class Body>
  static BERTC_INLINE float reduce(F32 a, Body body) {
    float lane[16];
    store(lane, a);
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lane[i] = body(lane[i], lane[i + half]);
    }
    return lane[0];
  }
  static BERTC_INLINE float sum(F32 a) {
    return reduce(a, [](float x, float y) { return x + y; });
  }
  static BERTC_INLINE float largest(F32 a) {
    return reduce(a, [](float x, float y) { return x > y ? x : y; });
  }
  static BERTC_INLINE float smallest(F32 a) {
    return reduce(a, [](float x, float y) { return x < y ? x : y; });
  }
  // Four vectors to one: lane i of each four lanes has the sum (the largest element) of the i-th.
  template <class Body>
  static BERTC_INLINE F32 of_four(F32 a, F32 b, F32 c, F32 d, Body body) {
    const float values[4] = {body(a), body(b), body(c), body(d)};
    return map([&](int i) { return values[i % 4]; });
  }
  static BERTC_INLINE F32 sum_of_four(F32 a, F32 b, F32 c, F32 d) { return of_four(a, b, c, d, sum); }
  static BERTC_INLINE F32 largest_of_four(F32 a, F32 b, F32 c, F32 d) { return of_four(a, b, c, d, largest); }
  // Lane kLane of each four in all four of them.
  template <int kLane>
  static BERTC_INLINE F32 spread(F32 a) {
    return map([&](int i) { return a[i / 4 * 4 + kLane]; });
  }
  static BERTC_INLINE void store_four(float* to, F32 a) { std::memcpy(to, &a, 16); }
  // The first count lanes of a, and fill in the others.
  static BERTC_INLINE F32 keep_lanes(F32 a, int count, float fill) {
    return map([&](int i) { return i < count ? a[i] : fill; });
  }

  // Those lanes of b whose number has the bit kBit, and the others of a.
  template <int kBit>
  static BERTC_INLINE F32 take_lanes(F32 a, F32 b) {
    return map([&](int i) { return (i & kBit) != 0 ? b[i] : a[i]; });
  }
  // from[at[i] - first], where at[i + 1] is at[i] or one more; sixteen from at[0] on can be read.
  static BERTC_INLINE F32 load_rising(const float* from, const int32_t* at, int32_t first) {
    return map([&](int i) { return from[at[i] - first]; });
  }

  // Whether look_up is cheap: table[the lowest five bits of index's representation], per lane.
  static constexpr bool kLooksUp = true;
  static BERTC_INLINE F32 look_up(const float (&table)[32], F32 index) {
    return map([&](int i) { return table[((I32)index)[i] & 31]; });
  }

  static BERTC_INLINE I32 to_int(F32 a) { return __builtin_convertvector(round(a), I32); }
  static BERTC_INLINE F32 to_float(I32 a) { return __builtin_convertvector(a, F32); }
  static BERTC_INLINE I32 load_int(const int32_t* from) {
    I32 a;
    std::memcpy(&a, from, sizeof a);
    return a;
  }
  static BERTC_INLINE I32 set_int(int32_t value) { return I32{} + value; }
  // Integer words wrap around, as the instructions do.
  static BERTC_INLINE I32 sub_int(I32 a, I32 b) { return (I32)((U32)a - (U32)b); }
  static BERTC_INLINE I32 mul_int(I32 a, I32 b) { return (I32)((U32)a * (U32)b); }

  // Lanes outside 0..255 saturate.
  static BERTC_INLINE void store_u8(uint8_t* to, I32 a) {
    for (int i = 0; i < 16; ++i) {
      const int32_t value = a[i];
      to[i] = static_cast<uint8_t>(value < 0 ? 0 : (value > 255 ? 255 : value));
    }
  }
  static BERTC_INLINE F32 load_i8(const int8_t* from) {
    return map([&](int i) { return static_cast<float>(from[i]); });
  }
  static BERTC_INLINE F32 load_f16(const uint16_t* from) {
    return map([&](int i) { return f16_to_float(from[i]); });
  }
  static BERTC_INLINE F32 load_bf16(const uint16_t* from) {
    return map([&](int i) { return bf16_to_float(from[i]); });
  }
  // The even, or the odd ones, of 32 numbers.
  static BERTC_INLINE F32 load_even_bf16(const uint16_t* from) {
    return map([&](int i) { return bf16_to_float(from[2 * i]); });
  }
  static BERTC_INLINE F32 load_odd_bf16(const uint16_t* from) {
    return map([&](int i) { return bf16_to_float(from[2 * i + 1]); });
  }
  static BERTC_INLINE void store_bf16(uint16_t* to, F32 a) {
    for (int i = 0; i < 16; ++i) to[i] = float_to_bf16(a[i]);
  }
  // The four words of 4 bytes at `offset` of 16 rows: to[16 i + r] = rows[r][i].
  static BERTC_INLINE void transpose_words(const std::byte* const (&rows)[16], std::size_t offset, void* to) {
    auto* words = static_cast<std::byte*>(to);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t r = 0; r < 16; ++r) {
        std::memcpy(words + 4 * (16 * i + r), rows[r] + offset + 4 * i, 4);
      }
    }
  }

  // The dot types work on vectors of 16 bytes, which nearly every processor has registers for: a block
  // is 4 of them. 3 rows are 12 sums; rows x 4 + 4 weights + 1 broadcast fit 32 registers (NEON), and
  // nearly fit 16 (SSE2).
  typedef float Quad __attribute__((vector_size(16)));
  typedef uint32_t QuadBits __attribute__((vector_size(16)));

  struct DotF32 {
    using Input = float;   // activations as stored
    using Active = float;  // activations as the loop reads them
    using Weight = float;
    using Sum = float;
    using Register = Quad;
    using Broadcast = Quad;
    using Loaded = Quad;
    static constexpr bool kPrepares = false;     // Active differs from Input: convert rows first
    static constexpr bool kHoldsWeights = true;  // all weights of a step stay in registers, else one
    static constexpr std::size_t kDepth = 1, kParts = 4, kRows = 3, kBlocks = 1;

    static BERTC_INLINE Register zero() { return Quad{}; }
    static BERTC_INLINE Broadcast broadcast(const Active* a) { return Quad{*a, *a, *a, *a}; }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      Quad weights;
      std::memcpy(&weights, b + 4 * part, sizeof weights);
      return weights;
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) { return a * b + sum; }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { std::memcpy(to, &sum, sizeof sum); }
  };

  struct DotBf16 {
    using Input = uint16_t;
    using Active = uint16_t;
    using Weight = uint16_t;
    using Sum = float;
    using Register = Quad;
    struct Broadcast {
      Quad even, odd;
    };
    struct Loaded {
      Quad even, odd;
    };
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = false;
    static constexpr std::size_t kDepth = 2, kParts = 4, kRows = 3, kBlocks = 1;

    static BERTC_INLINE Register zero() { return Quad{}; }
    static BERTC_INLINE Broadcast broadcast(const Active* a) {
      const float even = bf16_to_float(a[0]), odd = bf16_to_float(a[1]);
      return {Quad{even, even, even, even}, Quad{odd, odd, odd, odd}};
    }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      QuadBits pairs;
      std::memcpy(&pairs, b + 8 * part, sizeof pairs);
      return {(Quad)(pairs << 16), (Quad)(pairs & 0xFFFF0000u)};
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      return a.odd * b.odd + (a.even * b.even + sum);
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { std::memcpy(to, &sum, sizeof sum); }
  };

  struct DotInt8 {
    using Input = uint8_t;
    using Active = uint8_t;
    using Weight = int8_t;
    using Sum = int32_t;
    struct Register {
      int32_t lane[16];
    };
    using Broadcast = const uint8_t*;
    using Loaded = const int8_t*;
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 4, kParts = 1, kRows = 3, kBlocks = 1;

    static BERTC_INLINE Register zero() { return {}; }
    static BERTC_INLINE Broadcast broadcast(const Active* a) { return a; }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t) { return b; }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      for (int i = 0; i < 16; ++i) {
        int32_t products = 0;
        for (int k = 0; k < 4; ++k) products += static_cast<int32_t>(a[k]) * b[4 * i + k];
        sum.lane[i] += products;
      }
      return sum;
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { std::memcpy(to, sum.lane, sizeof sum.lane); }
  };
};

}  // namespace bertc::simd
