#include "common/unit_rows.h"

#include <algorithm>
#include <cmath>

namespace bertc {
namespace {

double square(const float* row, std::size_t columns) {
  constexpr std::size_t kLanes = 8;  // so many sums at a time, which need not wait for each other
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) sums[j] += static_cast<double>(row[i + j]) * row[i + j];
  }
  for (; i < columns; ++i) sums[0] += static_cast<double>(row[i]) * row[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

Squares squares_of(const float* rows, std::size_t count, std::size_t columns) {
  Squares found{HUGE_VAL, 0.0};
  for (std::size_t i = 0; i < count; ++i) {
    const double sum = square(rows + i * columns, columns);
    found.least = std::min(found.least, sum);
    found.all += sum;
  }
  return found;
}

void unit_rows(const float* rows, std::size_t count, std::size_t columns, float* out) {
  for (std::size_t i = 0; i < count; ++i, rows += columns, out += columns) {
    const double length = std::max(std::sqrt(square(rows, columns)), 1e-12);
    for (std::size_t j = 0; j < columns; ++j) out[j] = static_cast<float>(rows[j] / length);
  }
}

}  // namespace bertc
