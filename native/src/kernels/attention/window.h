// Which keys a block of queries sees, and the scores of those that one of its rows does not.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/kernel.h"
#include "kernels/attention/softmax.h"
#include "simd/inline.h"

namespace bertc::attention {

// Consecutive keys, the first of which starts a block of columns.
struct Span {
  std::size_t begin;
  std::size_t length;

  BERTC_INLINE std::size_t columns() const { return attention_columns(length); }
  BERTC_INLINE std::size_t blocks() const { return (length + 15) / 16; }
};

// Goes through a sequence's queries in order, once.
template <class V>
class Window {
 public:
  explicit BERTC_INLINE Window(const Attention& in) : in_(in) {}

  // What the next `count` queries see together. Both ends only go forward: a sequence takes linear time.
  BERTC_INLINE Span next(std::size_t first, std::size_t count) {
    const auto reach = static_cast<int64_t>(in_.window);
    for (std::size_t r = 0; r < count; ++r) {
      const int64_t place = place_of(first + r);
      while (low_ < in_.keys && place_of(low_) < place - reach) ++low_;
      while (high_ < in_.keys && place_of(high_) <= place + reach) ++high_;
      from_[r] = low_ < in_.keys ? low_ : in_.keys - 1;
      to_[r] = high_ > from_[r] ? high_ : from_[r] + 1;
    }
    span_.begin = from_[0] / 16 * 16;
    span_.length = to_[count - 1] - span_.begin;
    return span_;
  }

  // Scores of keys that a row does not see become the lowest number, up to the next multiple of 16.
  BERTC_INLINE void hide(float* scores, std::size_t stride, std::size_t count) const {
    const std::size_t end = span_.blocks() * 16;
    for (std::size_t r = 0; r < count; ++r, scores += stride) {
      const std::size_t from = from_[r] - span_.begin, to = to_[r] - span_.begin;
      std::size_t i = 0;
      for (; i + 16 <= from; i += 16) V::store(scores + i, V::set(kLowest));
      limit(scores + i, kLimits + 16 - (from - i));
      i = to / 16 * 16;
      if (i < end) limit(scores + i, kLimits + 32 - (to - i));
      for (i += 16; i < end; i += 16) V::store(scores + i, V::set(kLowest));
    }
  }

 private:
  // Any 16 of them from 0 on are low ones and then high ones, from 16 on high ones and then low ones.
  static constexpr float kLow = kLowest, kHigh = -kLowest;
  static constexpr float kLimits[48] = {kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,
                                        kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kHigh, kHigh, kHigh, kHigh,
                                        kHigh, kHigh, kHigh, kHigh, kHigh, kHigh, kHigh, kHigh, kHigh, kHigh,
                                        kHigh, kHigh, kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,
                                        kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow,  kLow};

  static BERTC_INLINE void limit(float* scores, const float* limits) {
    V::store(scores, V::min(V::load(scores), V::load(limits)));
  }

  BERTC_INLINE int64_t place_of(std::size_t token) const {
    return in_.places == nullptr ? static_cast<int64_t>(token) : in_.places[token];
  }

  const Attention& in_;
  Span span_{0, 0};
  std::size_t low_ = 0, high_ = 0;
  std::size_t from_[kMostQueries] = {}, to_[kMostQueries] = {};  // of each row, not yet counted from begin
};

}  // namespace bertc::attention
