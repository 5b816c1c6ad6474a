// The vector vocabulary (scalar16.h) in AVX2 with FMA and F16C: 16 lanes are two registers.
// Only files whose name ends in _avx2.cc and simd/avxvnni.h include this.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "simd/avx2_floats.h"
#include "simd/inline.h"

namespace bertc::simd {

struct Avx2 : Avx2Floats {
  // There is no permutation of 32 floats: eight pieces would need a longer polynomial than one.
  static constexpr bool kLooksUp = false;

  static BERTC_INLINE I32 to_int(F32 a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
  static BERTC_INLINE F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
  static BERTC_INLINE I32 load_int(const int32_t* from) {
    const auto* halves = reinterpret_cast<const __m256i*>(from);
    return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
  }
  static BERTC_INLINE I32 set_int(int32_t value) {
    return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
  }
  static BERTC_INLINE I32 sub_int(I32 a, I32 b) {
    return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
  }
  static BERTC_INLINE I32 mul_int(I32 a, I32 b) {
    return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
  }

  static BERTC_INLINE void store_u8(uint8_t* to, I32 a) {
    const __m256i words = _mm256_packs_epi32(a.low, a.high);  // interleaved by 128-bit halves
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  }
  static BERTC_INLINE F32 load_i8(const int8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return to_float({_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))});
  }
  static BERTC_INLINE F32 load_f16(const uint16_t* from) {
    const auto* halves = reinterpret_cast<const __m128i*>(from);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  }
  static BERTC_INLINE __m256 widen_bf16(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static BERTC_INLINE F32 load_bf16(const uint16_t* from) {
    const auto* halves = reinterpret_cast<const __m128i*>(from);
    return {widen_bf16(_mm_loadu_si128(halves)), widen_bf16(_mm_loadu_si128(halves + 1))};
  }
  // The even, or the odd ones, of 32 numbers.
  static BERTC_INLINE __m256 even_bf16(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
  }
  static BERTC_INLINE __m256 odd_bf16(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(~0xFFFF)));
  }
  static BERTC_INLINE F32 load_even_bf16(const uint16_t* from) {
    const I32 pairs = load_int(reinterpret_cast<const int32_t*>(from));
    return {even_bf16(pairs.low), even_bf16(pairs.high)};
  }
  static BERTC_INLINE F32 load_odd_bf16(const uint16_t* from) {
    const I32 pairs = load_int(reinterpret_cast<const int32_t*>(from));
    return {odd_bf16(pairs.low), odd_bf16(pairs.high)};
  }
  // The rounded number in the lower half of each lane.
  static BERTC_INLINE __m256i round_bf16(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i lowest_kept = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(lowest_kept, _mm256_set1_epi32(0x7FFF)));
    return _mm256_srli_epi32(rounded, 16);
  }
  static BERTC_INLINE void store_bf16(uint16_t* to, F32 a) {
    const __m256i words = _mm256_packus_epi32(round_bf16(a.low), round_bf16(a.high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(words, 0xD8));
  }
  // A half comes from two rows, four apart: then two levels of unpacking transpose 4 x 4 words in each.
  static BERTC_INLINE __m256 load_halves(const std::byte* const* rows, std::size_t offset) {
    const auto half = [&](int j) {
      return _mm_loadu_ps(reinterpret_cast<const float*>(rows[4 * j] + offset));
    };
    return _mm256_insertf128_ps(_mm256_castps128_ps256(half(0)), half(1), 1);
  }
  static BERTC_INLINE __m256 low_pairs(__m256 a, __m256 b) { return _mm256_shuffle_ps(a, b, 0x44); }
  static BERTC_INLINE __m256 high_pairs(__m256 a, __m256 b) { return _mm256_shuffle_ps(a, b, 0xEE); }
  static BERTC_INLINE void transpose_words(const std::byte* const (&rows)[16], std::size_t offset, void* to) {
    for (int half = 0; half < 2; ++half) {
      const std::byte* const* from = rows + 8 * half;
      const __m256 a = load_halves(from, offset), b = load_halves(from + 1, offset);
      const __m256 c = load_halves(from + 2, offset), d = load_halves(from + 3, offset);
      const __m256 ab_low = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
      const __m256 cd_low = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);
      float* words = static_cast<float*>(to) + 8 * half;
      _mm256_storeu_ps(words, low_pairs(ab_low, cd_low));
      _mm256_storeu_ps(words + 16, high_pairs(ab_low, cd_low));
      _mm256_storeu_ps(words + 32, low_pairs(ab_high, cd_high));
      _mm256_storeu_ps(words + 48, high_pairs(ab_high, cd_high));
    }
  }

  // Asks for packed weights before they are needed. A panel of 16 columns is one short stream (6 KB of
  // MiniLM's int8), and hardware reads ahead only inside a page of 4 KB: without this, MiniLM 1 x 16 took
  // 8 % (int8 by pairs) to 18 % (fp32) longer. 2 KB are 32 steps of the loop, 200 to 400 cycles.
  static BERTC_INLINE void read_ahead(const void* weights) {
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<std::uintptr_t>(weights) + 2048),
                 _MM_HINT_T0);
  }

  // 6 rows x 16 columns: 12 accumulators, 2 registers of weights and 1 broadcast are 15 of 16.
  struct DotF32 {
    using Input = float;
    using Active = float;
    using Weight = float;
    using Sum = float;
    using Register = __m256;
    using Broadcast = __m256;
    using Loaded = __m256;
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 1, kParts = 2, kRows = 6, kBlocks = 1;

    static BERTC_INLINE Register zero() { return _mm256_setzero_ps(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) { return _mm256_broadcast_ss(a); }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      if (part == 0) read_ahead(b);
      return _mm256_loadu_ps(b + 8 * part);
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      return _mm256_fmadd_ps(a, b, sum);
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { _mm256_storeu_ps(to, sum); }
  };

  // bf16 is a storage format here. Rows are widened to float32 once per block of rows; a pair of
  // weights splits into its even and odd element by a shift and a mask. 5 rows x 16 columns: 10
  // accumulators, 2 x 2 halves of weights, 1 broadcast.
  struct DotBf16 {
    using Input = uint16_t;
    using Active = float;
    using Weight = uint16_t;
    using Sum = float;
    using Register = __m256;
    using Broadcast = const float*;
    struct Loaded {
      __m256 even, odd;
    };
    static constexpr bool kPrepares = true;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 2, kParts = 2, kRows = 5, kBlocks = 1;

    static BERTC_INLINE void prepare(const Input* from, Active* to) { store(to, load_bf16(from)); }
    static BERTC_INLINE Register zero() { return _mm256_setzero_ps(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) { return a; }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      if (part == 0) read_ahead(b);
      const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 16 * part));
      return {even_bf16(pairs), odd_bf16(pairs)};
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      sum = _mm256_fmadd_ps(_mm256_broadcast_ss(a), b.even, sum);
      return _mm256_fmadd_ps(_mm256_broadcast_ss(a + 1), b.odd, sum);
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) { _mm256_storeu_ps(to, sum); }
  };

  // Exact without VNNI: both operands widen to 16 bits, and vpmaddwd adds pairs of products in 32
  // bits. (vpmaddubsw would add them in 16 bits and saturate.) Rows are widened once per block of
  // rows, a panel of weights once for all tiles of the block. 6 rows x 16 columns: 12 accumulators, 2
  // registers of weights, a broadcast and a product are all 16.
  struct DotInt8 {
    using Input = uint8_t;
    using Active = int16_t;
    using Packed = int8_t;
    using Weight = int16_t;
    using Sum = int32_t;
    using Register = __m256i;
    using Broadcast = __m256i;
    using Loaded = __m256i;
    static constexpr bool kPrepares = true;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kPackedDepth = 4, kDepth = 2, kParts = 2, kRows = 6, kBlocks = 1;

    static BERTC_INLINE void prepare(const Input* from, Active* to) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvtepu8_epi16(bytes));
    }
    // [16][4] of 8 bits to [2][16][2] of 16 bits.
    static BERTC_INLINE void prepare_weights(const Packed* from, Weight* to) {
      auto* halves = reinterpret_cast<__m256i*>(to);
      for (std::size_t part = 0; part < 2; ++part) {
        const auto* quads = reinterpret_cast<const __m128i*>(from + 32 * part);
        const __m256 low = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128(quads)));
        const __m256 high = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128(quads + 1)));
        // Pairs of columns 0 1 4 5 2 3 6 7, then in their order.
        const __m256i first = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88));
        const __m256i second = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xDD));
        _mm256_storeu_si256(halves + part, _mm256_permute4x64_epi64(first, 0xD8));
        _mm256_storeu_si256(halves + 2 + part, _mm256_permute4x64_epi64(second, 0xD8));
      }
    }
    static BERTC_INLINE Register zero() { return _mm256_setzero_si256(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) {
      int pair;
      std::memcpy(&pair, a, 4);
      return _mm256_set1_epi32(pair);
    }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 16 * part));
    }
    // Inline assembly, since GCC 12 otherwise forms all products first and spills the sums.
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      __m256i products;
      asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(a), "x"(b));
      return sum;
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sum);
    }
  };

  // Exact without VNNI for weights bounded in pairs: vpmaddubsw adds pairs of products in 16 bits, and 255 x
  // 128 = 32640 fits; vpmaddwd by ones adds those pairs in 32 bits. 32 products take two multiplications,
  // not the four of DotInt8, and nothing is widened. 5 rows x 16 columns: 10 accumulators, 2 registers of
  // weights, ones, a broadcast and the products are 15 of 16.
  struct DotInt8Pairs {
    using Input = uint8_t;
    using Active = uint8_t;
    using Weight = int8_t;
    using Sum = int32_t;
    using Register = __m256i;
    using Broadcast = __m256i;
    using Loaded = __m256i;
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 4, kParts = 2, kRows = 5, kBlocks = 1;

    static BERTC_INLINE Register zero() { return _mm256_setzero_si256(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) {
      int quad;
      std::memcpy(&quad, a, 4);
      return _mm256_set1_epi32(quad);
    }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      if (part == 0) read_ahead(b);
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32 * part));
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      __m256i products;
      asm("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
          : "+x"(sum), "=&x"(products)
          : "x"(a), "x"(b), "x"(_mm256_set1_epi16(1)));
      return sum;
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sum);
    }
  };

  // The same for weights bounded in fours: the sums of two steps add in 16 bits as well, so that 64 products
  // take three multiplications. 4 rows x 16 columns: 8 accumulators, 2 registers of weights, ones, 2
  // broadcasts and 2 products are 15 of 16. The weights of the second step are read from memory in the loop:
  // with all in registers, or none, it is 5 to 20 % slower (Zen 4; 5 rows spill, 3 are 5 % slower).
  struct DotInt8Fours {
    using Input = uint8_t;
    using Active = uint8_t;
    using Weight = int8_t;
    using Sum = int32_t;
    using Register = __m256i;
    struct Broadcast {
      __m256i first, second;
    };
    struct Loaded {
      __m256i first;
      const __m256i* second;
    };
    static constexpr bool kPrepares = false;
    static constexpr bool kHoldsWeights = true;
    static constexpr std::size_t kDepth = 8, kParts = 2, kRows = 4, kBlocks = 1;

    static BERTC_INLINE Register zero() { return _mm256_setzero_si256(); }
    static BERTC_INLINE Broadcast broadcast(const Active* a) {
      int first, second;  // apart: of 8 bytes at once GCC 12 makes one load and takes it apart by shuffles
      std::memcpy(&first, a, 4);
      std::memcpy(&second, a + 4, 4);
      return {_mm256_set1_epi32(first), _mm256_set1_epi32(second)};
    }
    static BERTC_INLINE Loaded load_weights(const Weight* b, std::size_t part) {
      read_ahead(b + 64 * part);
      const auto* parts = reinterpret_cast<const __m256i*>(b + 32 * part);
      return {_mm256_loadu_si256(parts), parts + 2};
    }
    static BERTC_INLINE Register dot(Register sum, Broadcast a, Loaded b) {
      __m256i products, others;
      asm("vpmaddubsw %5, %3, %1\n\tvpmaddubsw %6, %4, %2\n\tvpaddw %2, %1, %1\n\t"
          "vpmaddwd %7, %1, %1\n\tvpaddd %1, %0, %0"
          : "+x"(sum), "=&x"(products), "=&x"(others)
          : "x"(a.first), "x"(a.second), "x"(b.first), "m"(*b.second), "x"(_mm256_set1_epi16(1)));
      return sum;
    }
    static BERTC_INLINE void store_sums(Sum* to, Register sum) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sum);
    }
  };
};

}  // namespace bertc::simd
