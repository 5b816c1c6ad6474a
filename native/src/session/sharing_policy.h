// Whether small calls are worth sharing between threads, learned from how they went.
//
// Where other programs have a core, a thread may be taken off it with a piece in hand, and the call waits for
// it to come back: a few milliseconds, as long as several calls take on one thread. Then calls go alone
// for a while, for longer each time that it happens again, and less long after many that went well.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bertc {

class SharingPolicy {
 public:
  // For the next call.
  bool shares() {
    if (alone_ == 0) return true;
    --alone_;
    return false;
  }

  // Of a call that was shared: how long it waited for pieces that others held, and how long it took.
  void report(uint64_t waited, uint64_t took) {
    if (waited > kToleratedShare * static_cast<double>(took)) {
      alone_ = penalty_;
      penalty_ = std::min(kMostAlone, penalty_ * 4);
      good_ = 0;
    } else if (++good_ == kGoodCalls) {
      penalty_ = kFewestAlone;
      good_ = 0;
    }
  }

 private:
  // Two threads save less than half of a call.
  static constexpr double kToleratedShare = 1.0 / 3;
  static constexpr std::size_t kFewestAlone = 4, kMostAlone = 1024, kGoodCalls = 64;

  std::size_t alone_ = 0;  // calls to go
  std::size_t penalty_ = kFewestAlone;
  std::size_t good_ = 0;  // in a row
};

}  // namespace bertc
