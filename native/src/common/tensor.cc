#include "common/tensor.h"

#include <array>
#include <utility>

#include "common/error.h"

namespace bertc {
namespace {

struct DTypeRow {
  std::string_view name;
  std::size_t size;
};

// In the order of the enum.
constexpr std::array<DTypeRow, 6> kDTypes = {
    {{"f32", 4}, {"f16", 2}, {"bf16", 2}, {"i8", 1}, {"u8", 1}, {"i32", 4}}};

constexpr std::array<std::string_view, 3> kRows = {"tokens", "sequences", "selected"};

}  // namespace

std::string_view dtype_name(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].name; }

std::size_t dtype_size(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].size; }

DType parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes[i].name == name) return static_cast<DType>(i);
  }
  throw Error(ErrorKind::kProgram, "unknown dtype '" + std::string(name) + "'");
}

std::string_view rows_name(Rows rows) { return kRows[static_cast<std::size_t>(rows)]; }

Rows parse_rows(std::string_view name) {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i] == name) return static_cast<Rows>(i);
  }
  throw Error(ErrorKind::kProgram, "rows of an unknown kind '" + std::string(name) + "'");
}

}  // namespace bertc
