// Sum of a row of each table for each token: words, and whatever else is embedded.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bertc {

enum class TableType : int32_t { kF32, kF16, kI8 };

struct Table {
  const void* rows;  // padded_columns elements each
  TableType type;
  const float* scale;  // one per row for kI8, else null
  const int32_t* ids;  // the row of each token; null: first_id, first_id + step, ...
  int32_t first_id;
  int32_t step;
};

inline constexpr std::size_t kMostTables = 4;

struct Embed {
  Table tables[kMostTables];  // rows are added in this order
  std::size_t count;          // of tables, at least 1
  std::size_t tokens;
  std::size_t padded_columns;
  float* out;
};

using EmbedKernel = void (*)(const Embed& embed);

}  // namespace bertc
