// Sum of a word, a token type and a position row for each token.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bertc {

enum class TableType : int32_t { kF32, kF16, kI8 };

struct Table {
  const void* rows;  // padded_columns elements each
  TableType type;
  const float* scale;  // one per row for kI8, else null
};

struct Embed {
  const int32_t* word_ids;
  const int32_t* token_type_ids;  // null: all 0
  const int32_t* position_ids;    // null: first_position, first_position + 1, ...
  int32_t first_position;
  std::size_t tokens;
  std::size_t padded_columns;
  Table word, token_type, position;
  float* out;
};

using EmbedKernel = void (*)(const Embed& embed);

}  // namespace bertc
