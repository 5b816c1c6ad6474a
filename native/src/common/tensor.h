// What a program computes with: constant tensors in mapped memory, and buffers in the arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bertc {

enum class DType { kF32, kF16, kBf16, kI8, kU8, kI32 };

std::string_view dtype_name(DType dtype);
std::size_t dtype_size(DType dtype);
// Throws Error (kProgram) for a name that is none of them.
DType parse_dtype(std::string_view name);

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

inline constexpr std::size_t kAlignment = 64;  // bytes; a cache line, and a vector register
inline constexpr std::size_t kLanes = 16;      // columns are padded to whole vectors

// Constant data that somebody else owns and keeps alive.
struct Tensor {
  std::string name;
  DType dtype;
  std::vector<std::size_t> shape;
  const std::byte* data;

  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data);
  }
};

// What there is a row for: a token, a sequence, or a token that the request selects.
enum class Rows { kTokens, kSequences, kSelected };

std::string_view rows_name(Rows rows);
// Throws Error (kProgram) for a name that is none of them.
Rows parse_rows(std::string_view name);

// An activation. columns == 0: a vector with one element per row, without padding.
struct Buffer {
  std::string name;
  DType dtype;
  Rows rows;
  std::size_t columns;
  std::size_t slot;

  std::size_t padded_columns() const { return round_up(columns, kLanes); }
  std::size_t row_bytes() const { return (columns == 0 ? 1 : padded_columns()) * dtype_size(dtype); }
};

}  // namespace bertc
