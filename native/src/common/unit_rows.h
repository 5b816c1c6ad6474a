// Vectors at the end of a call: scaled to length 1, and looked at. By NumPy, each takes five calls or two,
// which cost a server more than a short vector does.
#pragma once

#include <cstddef>

namespace bertc {

// The sums of the squares of rows, in double precision: the least, and that of all rows, which is infinite or
// NaN as soon as a number is.
struct Squares {
  double least, all;
};

Squares squares_of(const float* rows, std::size_t count, std::size_t columns);

// Rows divided by their length, or by 1e-12 where that is larger. What becomes of a row depends on it alone.
void unit_rows(const float* rows, std::size_t count, std::size_t columns, float* out);

}  // namespace bertc
