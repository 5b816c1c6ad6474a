// The matrix product, once for all types and instruction sets: V is a vector vocabulary, Dot one of
// its dot types (simd/scalar16.h). The contract is in kernel.h.
#pragma once

#include "kernels/gemm/kernel.h"
#include "kernels/quantize_rows/quantize_rows_template.h"
#include "simd/math.h"

namespace bertc::gemm {

using simd::unroll;

template <class Dot>
struct Operands {
  const typename Dot::Active* a;
  std::size_t a_stride;
  const typename Dot::Weight* b;
  std::size_t groups;

  static constexpr std::size_t kGroupWeights = kBlockColumns * Dot::kDepth;
  std::size_t block_stride() const { return groups * kGroupWeights; }
};

// The inner loop: kRows rows times kBlocks blocks, all sums in registers.
template <class Dot, std::size_t kRows, std::size_t kBlocks>
void multiply_tile(const Operands<Dot>& in, typename Dot::Sum* out, std::size_t out_stride) {
  constexpr std::size_t kParts = Dot::kParts;
  constexpr std::size_t kRegisters = kBlocks * kParts;
  typename Dot::Register sums[kRows][kRegisters];
  unroll<kRows>([&](auto r) { unroll<kRegisters>([&](auto c) { sums[r][c] = Dot::zero(); }); });

  const std::size_t a_stride = in.a_stride;
  const std::size_t block_stride = in.block_stride();
  const typename Dot::Active* a = in.a;
  const typename Dot::Weight* b = in.b;
  for (std::size_t group = 0; group < in.groups; ++group) {
    const auto weights = [&](auto c) {
      return Dot::load_weights(b + (c / kParts) * block_stride, c % kParts);
    };
    if constexpr (Dot::kHoldsWeights) {
      typename Dot::Loaded held[kRegisters];
      unroll<kRegisters>([&](auto c) { held[c] = weights(c); });
      unroll<kRows>([&](auto r) {
        const typename Dot::Broadcast row = Dot::broadcast(a + r * a_stride);
        unroll<kRegisters>([&](auto c) { sums[r][c] = Dot::dot(sums[r][c], row, held[c]); });
      });
    } else {
      unroll<kRegisters>([&](auto c) {
        const typename Dot::Loaded column = weights(c);
        unroll<kRows>(
            [&](auto r) { sums[r][c] = Dot::dot(sums[r][c], Dot::broadcast(a + r * a_stride), column); });
      });
    }
    a += Dot::kDepth;
    b += Operands<Dot>::kGroupWeights;
  }

  unroll<kRows>([&](auto r) {
    unroll<kRegisters>(
        [&](auto c) { Dot::store_sums(out + r * out_stride + c * (kBlockColumns / kParts), sums[r][c]); });
  });
}

template <class Dot>
using Tile = void (*)(const Operands<Dot>&, typename Dot::Sum*, std::size_t);

// A tile kernel for each row count, so that the last rows of a batch cost what they are.
template <class Dot, std::size_t kBlocks, std::size_t... kRow>
Tile<Dot> choose_tile(std::size_t rows, std::index_sequence<kRow...>) {
  static constexpr Tile<Dot> kTiles[] = {multiply_tile<Dot, kRow + 1, kBlocks>...};
  return kTiles[rows - 1];
}

// Full panels first, then pairs (attention's values are often two blocks wide), then single blocks.
template <class Dot>
constexpr std::size_t panel_blocks(std::size_t remaining) {
  if (remaining >= Dot::kBlocks) return Dot::kBlocks;
  return Dot::kBlocks > 2 && remaining >= 2 ? 2 : 1;
}

// Gate and value stay together: their sums meet in one tile.
template <class Dot>
inline constexpr std::size_t kMostBlocks = Dot::kBlocks > 1 ? Dot::kBlocks : 2;

// Sums of `rows` (at most Dot::kRows) rows and a panel of `blocks` blocks.
template <class Dot>
void multiply(const Operands<Dot>& in, std::size_t rows, std::size_t blocks, typename Dot::Sum* out,
              std::size_t out_stride) {
  constexpr auto kRowCounts = std::make_index_sequence<Dot::kRows>{};
  Tile<Dot> tile = choose_tile<Dot, 1>(rows, kRowCounts);
  if constexpr (Dot::kBlocks == 1) {
    if (blocks == 2) {
      Operands<Dot> second = in;
      second.b += in.block_stride();
      tile(second, out + kBlockColumns, out_stride);
    }
  }
  if (blocks == Dot::kBlocks) {
    tile = choose_tile<Dot, Dot::kBlocks>(rows, kRowCounts);
  } else if constexpr (Dot::kBlocks > 2) {
    if (blocks == 2) tile = choose_tile<Dot, 2>(rows, kRowCounts);
  }
  tile(in, out, out_stride);
}

struct TileArea {
  std::size_t row, rows, column, columns;
  const float* bias;    // of its rows
  const float* offset;  // the same; may be null
};

// What turns the sums of 16 columns into float32: for floats a bias, for integers also a scale and
// the share of the zero point. Loaded once for all rows of a tile.
template <class V, class Sum>
struct ColumnScale;

template <class V>
struct ColumnScale<V, float> {
  typename V::F32 bias;

  BERTC_INLINE ColumnScale(const Gemm&, const TileArea& area, std::size_t column)
      : bias(V::load(area.bias + column)) {}
  BERTC_INLINE typename V::F32 apply(const Gemm&, const float* sums, std::size_t) const {
    return V::add(V::load(sums), bias);
  }
};

template <class V>
struct ColumnScale<V, int32_t> {
  typename V::F32 bias, scale;
  typename V::I32 column_sum;

  BERTC_INLINE ColumnScale(const Gemm& gemm, const TileArea& area, std::size_t column)
      : bias(V::load(area.bias + column)),
        scale(V::load(gemm.column_scale + column)),
        column_sum(V::load_int(gemm.column_sum + column)) {}
  BERTC_INLINE typename V::F32 apply(const Gemm& gemm, const int32_t* sums, std::size_t row) const {
    if (gemm.row_scale == nullptr) {
      return V::fma(V::to_float(V::sub_int(V::load_int(sums), column_sum)), scale, bias);
    }
    const typename V::I32 shift = V::mul_int(V::set_int(gemm.row_zero_point[row]), column_sum);
    const typename V::F32 centered = V::to_float(V::sub_int(V::load_int(sums), shift));
    return V::fma(centered, V::mul(V::set(gemm.row_scale[row]), scale), bias);
  }
};

template <class V>
BERTC_INLINE void store_output(const Gemm& gemm, const TileArea& area, std::size_t row, std::size_t column,
                               typename V::F32 x) {
  const std::size_t at = row * gemm.out_stride + column;
  if (gemm.output == GemmOutput::kBf16) {
    V::store_bf16(static_cast<uint16_t*>(gemm.out) + at, x);
  } else if (gemm.output == GemmOutput::kU8) {
    if (area.offset != nullptr) x = V::add(x, V::load(area.offset + column));
    quantize_rows::store_static<V>(static_cast<uint8_t*>(gemm.out) + at, x, gemm.out_scale);
  } else {
    V::store(static_cast<float*>(gemm.out) + at, x);
  }
}

template <class V, class Sum, class Activate>
void finish_pairs_with(const Gemm& gemm, const Sum* sums, std::size_t stride, const TileArea& area,
                       Activate activate) {
  for (std::size_t c = 0; c < area.columns; c += 2 * kBlockColumns) {
    const std::size_t column = area.column + c, value = c + kBlockColumns;
    const ColumnScale<V, Sum> gates(gemm, area, column), values(gemm, area, area.column + value);
    for (std::size_t r = 0; r < area.rows; ++r) {
      const std::size_t row = area.row + r;
      const typename V::F32 gate = activate(gates.apply(gemm, sums + r * stride + c, row));
      const typename V::F32 x = V::mul(gate, values.apply(gemm, sums + r * stride + value, row));
      store_output<V>(gemm, area, row, column / 2, x);
    }
  }
}

template <class V, class Sum, class Activate>
void finish_tile_with(const Gemm& gemm, const Sum* sums, std::size_t stride, const TileArea& area,
                      Activate activate) {
  if (gemm.gated) return finish_pairs_with<V>(gemm, sums, stride, area, activate);
  for (std::size_t c = 0; c < area.columns; c += kBlockColumns) {
    const std::size_t column = area.column + c;
    const ColumnScale<V, Sum> scale(gemm, area, column);
    for (std::size_t r = 0; r < area.rows; ++r) {
      const std::size_t row = area.row + r;
      typename V::F32 x = activate(scale.apply(gemm, sums + r * stride + c, row));
      if (gemm.residual != nullptr) {
        x = V::add(x, V::load(gemm.residual + row * gemm.residual_stride + column));
      }
      store_output<V>(gemm, area, row, column, x);
    }
  }
}

template <class V>
void finish_sums(const Gemm& gemm, const int32_t* sums, std::size_t stride, const TileArea& area) {
  for (std::size_t r = 0; r < area.rows; ++r) {
    int32_t* out = static_cast<int32_t*>(gemm.out) + (area.row + r) * gemm.out_stride + area.column;
    const auto zero_point =
        gemm.row_scale == nullptr ? 1u : static_cast<uint32_t>(gemm.row_zero_point[area.row + r]);
    for (std::size_t c = 0; c < area.columns; ++c) {
      const uint32_t shift = zero_point * static_cast<uint32_t>(gemm.column_sum[area.column + c]);
      out[c] = static_cast<int32_t>(static_cast<uint32_t>(sums[r * stride + c]) - shift);
    }
  }
}

// The epilogue reads sums back from a tile on the stack (1.5 KB in L1, against thousands of products
// per tile), which keeps it out of the register-starved inner loop and its code small.
template <class V, class Sum>
void finish_tile(const Gemm& gemm, const Sum* sums, std::size_t stride, const TileArea& area) {
  using F32 = typename V::F32;
  if constexpr (std::is_same_v<Sum, int32_t>) {
    if (gemm.output == GemmOutput::kI32) return finish_sums<V>(gemm, sums, stride, area);
  }
  switch (gemm.activation) {
    case Activation::kNone:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return x; });
    case Activation::kGelu:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::gelu<V>(x); });
    case Activation::kGeluTanh:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::gelu_tanh<V>(x); });
    case Activation::kRelu:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::relu<V>(x); });
    case Activation::kTanh:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::tanh<V>(x); });
    case Activation::kSigmoid:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::sigmoid<V>(x); });
    case Activation::kSilu:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::swish<V>(x, 1.0f); });
    case Activation::kQuickGelu:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::swish<V>(x, 1.702f); });
    case Activation::kMish:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::mish<V>(x); });
    case Activation::kLog1pRelu:
      return finish_tile_with<V>(gemm, sums, stride, area, [](F32 x) { return simd::log1p_relu<V>(x); });
  }
}

// The same of a tile that may hold rows at places: in runs of rows that are alike.
template <class V, class Sum>
[[gnu::noinline]] void finish_rows(const Gemm& gemm, RowPlaces& places, const Sum* sums, std::size_t stride,
                                   const TileArea& area) {
  const bool last_differs = gemm.biases.last != nullptr || gemm.offsets.last != nullptr;
  for (std::size_t r = 0; r < area.rows;) {
    const std::size_t row = area.row + r;
    const Place place = places.of(row);
    std::size_t end = row + 1;
    if (place == Place::kOther) end = static_cast<std::size_t>(*places.ends) - (last_differs ? 1 : 0);
    if (end > area.row + area.rows) end = area.row + area.rows;
    finish_tile<V>(gemm, sums + r * stride, stride,
                   {row, end - row, area.column, area.columns, vector_of(place, gemm.biases, gemm.bias),
                    vector_of(place, gemm.offsets, gemm.offset)});
    r += end - row;
  }
}

// A dot type whose loop reads weights in another form than the packed one.
template <class Dot>
concept PreparesWeights = requires { typename Dot::Packed; };

// The steps of the inner loop.
template <class Dot>
std::size_t loop_groups(const Gemm& gemm) {
  if constexpr (PreparesWeights<Dot>) return gemm.depth_groups * (Dot::kPackedDepth / Dot::kDepth);
  return gemm.depth_groups;
}

template <class Dot>
std::size_t prepared_depth(const Operands<Dot>& in) {
  return (in.groups * Dot::kDepth + 15) / 16 * 16;
}

// The rows [first, first + count) as the inner loop reads them: converted into scratch, or in place.
template <class Dot>
void active_rows(const Gemm& gemm, std::size_t first, std::size_t count, Operands<Dot>& in) {
  const auto* rows = static_cast<const typename Dot::Input*>(gemm.a) + first * gemm.a_stride;
  if constexpr (Dot::kPrepares) {
    const std::size_t depth = prepared_depth(in);
    auto* prepared = reinterpret_cast<typename Dot::Active*>(gemm.scratch);
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t k = 0; k < depth; k += 16) {
        Dot::prepare(rows + r * gemm.a_stride + k, prepared + r * depth + k);
      }
    }
    in.a = prepared;
    in.a_stride = depth;
  } else {
    in.a = rows;
    in.a_stride = gemm.a_stride;
  }
}

// The same for a panel of columns; in scratch it comes after the rows.
template <class Dot>
const typename Dot::Weight* active_panel(const Gemm& gemm, std::size_t block, std::size_t blocks,
                                         const Operands<Dot>& in) {
  if constexpr (PreparesWeights<Dot>) {
    using Weight = typename Dot::Weight;
    constexpr std::size_t kRowBytes = kRowBlock * sizeof(typename Dot::Active);
    static_assert(kRowBytes + kMostBlocks<Dot> * kBlockColumns * sizeof(Weight) <= gemm_scratch_bytes(1));
    constexpr std::size_t kGroup = kBlockColumns * Dot::kPackedDepth;
    auto* panel = reinterpret_cast<Weight*>(gemm.scratch + kRowBytes * prepared_depth(in));
    const auto* packed =
        static_cast<const typename Dot::Packed*>(gemm.b) + block * gemm.depth_groups * kGroup;
    for (std::size_t group = 0; group < blocks * gemm.depth_groups; ++group) {
      Dot::prepare_weights(packed + group * kGroup, panel + group * kGroup);
    }
    return panel;
  } else {
    return static_cast<const typename Dot::Weight*>(gemm.b) + block * in.block_stride();
  }
}

// Asks for a share of the next panel's packed weights with each tile of a panel: the conversion would
// otherwise wait for them (MiniLM int8 with AVX2: 4 % longer at 8 x 128, 19 % at 1 x 16).
template <class Dot>
void read_ahead(const Gemm& gemm, std::size_t block, std::size_t tile, std::size_t tiles) {
  constexpr std::size_t kLine = kBlockColumns * Dot::kPackedDepth;
  const auto* panel = static_cast<const typename Dot::Packed*>(gemm.b) + block * gemm.depth_groups * kLine;
  const std::size_t last = gemm.depth_groups * (tile + 1) / tiles;
  for (std::size_t line = gemm.depth_groups * tile / tiles; line < last; ++line) {
    __builtin_prefetch(panel + line * kLine, 0, 2);  // into L2: L1 is full of this panel
  }
}

template <class V, class Dot>
void run(const Gemm& gemm, std::size_t first_block, std::size_t last_block) {
  using Sum = typename Dot::Sum;
  constexpr std::size_t kTileColumns = kMostBlocks<Dot> * kBlockColumns;
  const std::size_t fewest = gemm.gated ? 2 : 1;
  alignas(64) Sum sums[Dot::kRows * kTileColumns];
  RowPlaces block_places = gemm.places;

  for (std::size_t block_row = 0; block_row < gemm.rows; block_row += kRowBlock) {
    const std::size_t block_rows = gemm.rows - block_row < kRowBlock ? gemm.rows - block_row : kRowBlock;
    Operands<Dot> rows{nullptr, 0, nullptr, loop_groups<Dot>(gemm)};
    active_rows(gemm, block_row, block_rows, rows);
    if (block_places.ends != nullptr) block_places.of(block_row);
    for (std::size_t block = first_block; block < last_block;) {
      const std::size_t panel = panel_blocks<Dot>(last_block - block);
      const std::size_t blocks = panel < fewest ? fewest : panel;
      rows.b = active_panel(gemm, block, blocks, rows);
      RowPlaces places = block_places;
      for (std::size_t row = 0; row < block_rows; row += Dot::kRows) {
        const std::size_t count = block_rows - row < Dot::kRows ? block_rows - row : Dot::kRows;
        Operands<Dot> tile = rows;
        tile.a += row * rows.a_stride;
        if constexpr (PreparesWeights<Dot>) {
          const std::size_t tiles = (block_rows + Dot::kRows - 1) / Dot::kRows;
          for (std::size_t next = block + blocks; next < block + 2 * blocks && next < last_block; ++next) {
            read_ahead<Dot>(gemm, next, row / Dot::kRows, tiles);
          }
        }
        multiply(tile, count, blocks, sums, kTileColumns);
        const TileArea area{block_row + row,        count,     block * kBlockColumns,
                            blocks * kBlockColumns, gemm.bias, gemm.offset};
        if (places.ends == nullptr) {
          finish_tile<V>(gemm, sums, kTileColumns, area);
        } else {
          finish_rows<V>(gemm, places, sums, kTileColumns, area);
        }
      }
      block += blocks;
    }
  }
}

}  // namespace bertc::gemm
