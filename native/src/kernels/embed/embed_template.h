// Embedding lookup, once for all instruction sets. The contract is in kernel.h.
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

template <class V>
void run(const Embed& in) {
  const std::size_t columns = in.padded_columns;
  for (std::size_t token = 0; token < in.tokens; ++token) {
    const auto word = static_cast<std::size_t>(in.word_ids[token]);
    const auto type = static_cast<std::size_t>(in.token_type_ids == nullptr ? 0 : in.token_type_ids[token]);
    const auto position = in.position_ids == nullptr ? static_cast<std::size_t>(in.first_position) + token
                                                     : static_cast<std::size_t>(in.position_ids[token]);
    for (std::size_t i = 0; i < columns; i += 16) {
      const typename V::F32 sum =
          V::add(load_row<V>(in.word, word, columns, i), load_row<V>(in.token_type, type, columns, i));
      V::store(in.out + token * columns + i, V::add(sum, load_row<V>(in.position, position, columns, i)));
    }
  }
}

}  // namespace bertc::embed
