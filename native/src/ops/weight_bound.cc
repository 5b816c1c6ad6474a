#include "ops/weight_bound.h"

#include <cstdint>
#include <cstring>

namespace bertc {
namespace {

// 16 bytes, which nearly every processor has registers for: this file is compiled for all of them.
using Words = int16_t __attribute__((vector_size(16)));
using UnsignedWords = uint16_t __attribute__((vector_size(16)));

constexpr std::size_t kGroupBytes = kBlockColumns * 4;

// The first and the second number of 8 pairs.
struct Pairs {
  Words even, odd;
};

Pairs load_pairs(const int8_t* from) {
  Words words;
  std::memcpy(&words, from, sizeof(words));
  const auto shifted = reinterpret_cast<Words>(reinterpret_cast<UnsignedWords>(words) << 8);
  return {shifted >> 8, words >> 8};
}

Words larger(Words a, Words b) { return a > b ? a : b; }
Words smaller(Words a, Words b) { return a < b ? a : b; }

// The sums farthest from zero that were seen.
struct Extremes {
  Words above{}, below{};

  void see(Words positive, Words negative) {
    above = larger(above, positive);
    below = smaller(below, negative);
  }
  bool within_bound() const {
    bool within = true;
    for (std::size_t i = 0; i < sizeof(Words) / sizeof(int16_t); ++i) {
      within = within && above[i] <= kBoundedSum && below[i] >= -kBoundedSum;
    }
    return within;
  }
};

// Two numbers of opposite sign never add up to more than the larger one: the sum of a pair tells.
void see_pairs(const int8_t* weights, Extremes& extremes) {
  const Pairs pairs = load_pairs(weights);
  const Words sum = pairs.even + pairs.odd;
  extremes.see(sum, sum);
}

void see_fours(const int8_t* weights, Extremes& extremes) {
  const Words zero{};
  const Pairs first = load_pairs(weights), second = load_pairs(weights + kGroupBytes);
  extremes.see(larger(first.even, zero) + larger(first.odd, zero) + larger(second.even, zero) +
                   larger(second.odd, zero),
               smaller(first.even, zero) + smaller(first.odd, zero) + smaller(second.even, zero) +
                   smaller(second.odd, zero));
}

}  // namespace

bool keeps_bound(const Tensor& weight, WeightBound bound) {
  if (bound == WeightBound::kNone) return true;
  const std::size_t blocks = weight.shape[0], groups = weight.shape[1];
  // Where groups are odd, the last of a block is a step alone, of pairs.
  const std::size_t in_fours = bound == WeightBound::kFours ? groups / 2 * 2 : 0;
  const auto* numbers = weight.as<int8_t>();
  Extremes extremes;
  for (std::size_t block = 0; block < blocks; ++block, numbers += groups * kGroupBytes) {
    for (std::size_t group = 0; group < in_fours; group += 2) {
      for (std::size_t i = 0; i < kGroupBytes; i += sizeof(Words)) {
        see_fours(numbers + group * kGroupBytes + i, extremes);
      }
    }
    for (std::size_t i = in_fours * kGroupBytes; i < groups * kGroupBytes; i += sizeof(Words)) {
      see_pairs(numbers + i, extremes);
    }
  }
  return extremes.within_bound();
}

}  // namespace bertc
