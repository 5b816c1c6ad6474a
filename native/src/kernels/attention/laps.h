// A stopwatch inside of attention, for profiled runs: some 20 cycles a lap. In others it does nothing.
#pragma once

#include <cstdint>

#include "kernels/attention/kernel.h"
#include "simd/inline.h"

namespace bertc::attention {

// V keeps the copies of the instruction sets apart.
template <class V>
class Laps {
 public:
  explicit BERTC_INLINE Laps(uint64_t* ticks) : ticks_(ticks), last_(ticks == nullptr ? 0 : now()) {}

  // What came since the last lap is this part's.
  BERTC_INLINE void lap(AttentionPart part) {
    if (ticks_ == nullptr) return;
    const uint64_t time = now();
    ticks_[part] += time - last_;
    last_ = time;
  }

 private:
  static BERTC_INLINE uint64_t now() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t time;
    asm volatile("mrs %0, cntvct_el0" : "=r"(time));
    return time;
#else
    return 0;
#endif
  }

  uint64_t* ticks_;
  uint64_t last_;
};

}  // namespace bertc::attention
