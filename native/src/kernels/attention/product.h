// Attention's two products: rows times columns that were packed just before.
//
// Tiles are smaller than the matrix product's, since here depth is small: 16 (head size 32 in bf16) to
// a few hundred groups. With AVX-512 a tile of 6 rows x 4 blocks ends in a burst of 24 stores, at one in
// two cycles, which the next tile's products do not hide: 50 of 434 cycles at depth 16. 8 x 2 tiles have
// 16 sums, still enough for a latency of 6 cycles, and reach 98 to 99 % of the peak from depth 16 on; 10
// loads in 16 products are within one a cycle.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/gemm/kernel.h"
#include "simd/inline.h"

namespace bertc::attention {

using simd::unroll;

template <class Dot>
inline constexpr std::size_t kTileBlocks = Dot::kBlocks > 2 ? 2 : Dot::kBlocks;
template <class Dot>
inline constexpr std::size_t kTileRows = Dot::kBlocks > 2 ? 8 : Dot::kRows;

// 8 bits: rows are packed as columns are, 16 of them side by side; a block of columns is preceded by 16
// sums to start from and 16 scales, by which the sums are multiplied at last.
template <class Dot>
inline constexpr bool kIsInt8 = std::is_same_v<typename Dot::Sum, int32_t>;
inline constexpr std::size_t kBlockHeader = 16 * (sizeof(int32_t) + sizeof(float));

template <class Dot>
constexpr std::size_t block_stride(std::size_t groups) {
  return groups * kBlockColumns * Dot::kDepth + (kIsInt8<Dot> ? kBlockHeader : 0);
}

// Blocks that are parts of longer ones lie `elements` apart, others as far as they are long.
struct Apart {
  std::size_t elements;
};

template <class Dot>
constexpr std::size_t block_stride(std::size_t, Apart apart) {
  return apart.elements;
}

template <class Dot>
struct Operands {
  const typename Dot::Active* a;
  std::size_t a_stride;
  const typename Dot::Weight* b;
  std::size_t groups;
};

// All sums in registers. The operands are six numbers so that they are passed in registers, too: what
// is read back from the stack as a whole structure waits for all stores before it, the last tile's.
template <class Dot, std::size_t kRows, std::size_t kBlocks, class... Stride>
void multiply_tile(const typename Dot::Active* a, std::size_t a_stride, const typename Dot::Weight* b,
                   std::size_t groups, float* out, std::size_t out_stride, Stride... apart) {
  constexpr std::size_t kParts = Dot::kParts;
  constexpr std::size_t kRegisters = kBlocks * kParts;
  constexpr std::size_t kGroup = kBlockColumns * Dot::kDepth;
  const std::size_t stride = block_stride<Dot>(groups, apart...);
  typename Dot::Register sums[kRows][kRegisters];
  const typename Dot::Weight* const header = b;
  if constexpr (kIsInt8<Dot>) {
    unroll<kRegisters>([&](auto c) {
      const typename Dot::Register start = Dot::load_sums(header + c * stride);
      unroll<kRows>([&](auto r) { sums[r][c] = start; });
    });
    b += kBlockHeader;
  } else {
    unroll<kRows>([&](auto r) { unroll<kRegisters>([&](auto c) { sums[r][c] = Dot::zero(); }); });
  }

  const typename Dot::Weight* const end = b + groups * kGroup;
  do {
    typename Dot::Loaded held[kRegisters];
    unroll<kRegisters>([&](auto c) { held[c] = Dot::load_weights(b + (c / kParts) * stride, c % kParts); });
    unroll<kRows>([&](auto r) {
      const typename Dot::Broadcast row = Dot::broadcast(a + r * a_stride);
      unroll<kRegisters>([&](auto c) { sums[r][c] = Dot::dot(sums[r][c], row, held[c]); });
    });
    a += kIsInt8<Dot> ? kGroup : Dot::kDepth;
    b += kGroup;
  } while (b != end);

  unroll<kRows>([&](auto r) {
    unroll<kRegisters>([&](auto c) {
      float* to = out + r * out_stride + c * (kBlockColumns / kParts);
      if constexpr (kIsInt8<Dot>) {
        Dot::store_scaled(to, sums[r][c], header + c * stride + kBlockHeader / 2);
      } else {
        Dot::store_sums(to, sums[r][c]);
      }
    });
  });
}

template <class Dot, std::size_t kBlocks, std::size_t... kRow, class... Stride>
BERTC_INLINE void multiply_panel(const Operands<Dot>& in, std::size_t rows, std::size_t tile_rows, float* out,
                                 std::size_t out_stride, std::index_sequence<kRow...>, Stride... apart) {
  using Tile = void (*)(const typename Dot::Active*, std::size_t, const typename Dot::Weight*, std::size_t,
                        float*, std::size_t, Stride...);
  static constexpr Tile kTiles[] = {multiply_tile<Dot, kRow + 1, kBlocks, Stride...>...};
  for (std::size_t row = 0; row < rows; row += tile_rows) {
    const std::size_t count = rows - row < tile_rows ? rows - row : tile_rows;
    kTiles[count - 1](in.a + row * in.a_stride, in.a_stride, in.b, in.groups, out + row * out_stride,
                      out_stride, apart...);
  }
}

// Any number of rows, in tiles of tile_rows, times any number of blocks.
template <class Dot, class... Stride>
BERTC_INLINE void multiply(Operands<Dot> in, std::size_t rows, std::size_t tile_rows, std::size_t blocks,
                           float* out, std::size_t out_stride, Stride... apart) {
  constexpr std::size_t kMost = kTileBlocks<Dot>;
  constexpr auto kRows = std::make_index_sequence<kTileRows<Dot>>{};
  for (; blocks >= kMost; blocks -= kMost) {
    multiply_panel<Dot, kMost>(in, rows, tile_rows, out, out_stride, kRows, apart...);
    in.b += kMost * block_stride<Dot>(in.groups, apart...);
    out += kMost * kBlockColumns;
  }
  if constexpr (kMost > 1) {
    if (blocks == 1) multiply_panel<Dot, 1>(in, rows, tile_rows, out, out_stride, kRows, apart...);
  }
}

}  // namespace bertc::attention
