// The most products per second that an instruction set can do: the matrix kernels' own instruction
// on registers, without memory. What `bertc bench --peaks` divides by.
#pragma once

#include <cstddef>

namespace bertc {

// Runs the inner loop's instruction on as many independent sums as the matrix kernel holds, and
// returns how many operations (a product and a sum are two) that was.
using PeakKernel = std::size_t (*)(std::size_t iterations);

}  // namespace bertc
