#include "ops/weight_bound.h"

#include <cstdint>
#include <cstring>

namespace bertc {
namespace {

// 16 bytes, which nearly every processor has registers for: this file is compiled for all of them.
using Bytes = int8_t __attribute__((vector_size(16)));
using Words = int16_t __attribute__((vector_size(16)));

constexpr std::size_t kGroupBytes = kBlockColumns * 4;

// The sums of the two bytes of each word, taken as unsigned.
Words pair_sums(Bytes bytes) {
  const auto words = reinterpret_cast<Words>(bytes);
  return (words & 0xFF) + ((words >> 8) & 0xFF);
}

Words larger(Words a, Words b) { return a > b ? a : b; }

// The largest sums, above zero or below, of the pairs in 16 bytes; and of the pairs at the same place in the
// next group, if there is one.
Words largest_sums(const int8_t* weights, bool with_next) {
  Words above{}, below{};
  for (std::size_t i = 0; i <= static_cast<std::size_t>(with_next); ++i) {
    Bytes bytes;
    std::memcpy(&bytes, weights + i * kGroupBytes, sizeof(bytes));
    const Bytes negative = bytes < 0;
    above += pair_sums(bytes & ~negative);
    below += pair_sums(-bytes & negative);
  }
  return larger(above, below);
}

}  // namespace

bool keeps_bound(const Tensor& weight, WeightBound bound) {
  if (bound == WeightBound::kNone) return true;
  const std::size_t blocks = weight.shape[0], groups = weight.shape[1];
  const std::size_t step = bound == WeightBound::kFours ? 2 : 1;
  const auto* numbers = weight.as<int8_t>();
  Words largest{};
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t group = 0; group < groups; group += step) {
      const int8_t* start = numbers + (block * groups + group) * kGroupBytes;
      for (std::size_t i = 0; i < kGroupBytes; i += sizeof(Bytes)) {
        largest = larger(largest, largest_sums(start + i, step == 2 && group + 1 < groups));
      }
    }
  }
  int most = 0;
  for (std::size_t i = 0; i < sizeof(Words) / sizeof(int16_t); ++i)
    most = largest[i] > most ? largest[i] : most;
  return most <= kBoundedSum;
}

}  // namespace bertc
