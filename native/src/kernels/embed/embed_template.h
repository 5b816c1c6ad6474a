// Embedding, once for all instruction sets. The contract is in kernel.h.
#pragma once

#include "kernels/embed/kernel.h"
#include "simd/inline.h"

namespace bertc::embed {

template <class V>
BERTC_INLINE typename V::F32 load_row(const Table& table, std::size_t row, std::size_t columns,
                                      std::size_t at) {
  const std::size_t index = row * columns + at;
  switch (table.type) {
    case TableType::kF32:
      return V::load(static_cast<const float*>(table.rows) + index);
    case TableType::kF16:
      return V::load_f16(static_cast<const uint16_t*>(table.rows) + index);
    case TableType::kI8:
      break;
  }
  return V::mul(V::load_i8(static_cast<const int8_t*>(table.rows) + index), V::set(table.scale[row]));
}

template <class V, std::size_t kTables>
void add_rows(const Embed& in) {
  const std::size_t columns = in.padded_columns;
  for (std::size_t token = 0; token < in.tokens; ++token) {
    std::size_t rows[kTables];
    for (std::size_t t = 0; t < kTables; ++t) {
      const Table& table = in.tables[t];
      const int32_t counted = table.first_id + table.step * static_cast<int32_t>(token);
      rows[t] = static_cast<std::size_t>(table.ids == nullptr ? counted : table.ids[token]);
    }
    for (std::size_t i = 0; i < columns; i += 16) {
      typename V::F32 sum = load_row<V>(in.tables[0], rows[0], columns, i);
      for (std::size_t t = 1; t < kTables; ++t) {
        sum = V::add(sum, load_row<V>(in.tables[t], rows[t], columns, i));
      }
      V::store(in.out + token * columns + i, sum);
    }
  }
}

template <class V>
void run(const Embed& in) {
  switch (in.count) {
    case 1:
      return add_rows<V, 1>(in);
    case 2:
      return add_rows<V, 2>(in);
    case 3:
      return add_rows<V, 3>(in);
    default:
      return add_rows<V, 4>(in);
  }
}

}  // namespace bertc::embed
