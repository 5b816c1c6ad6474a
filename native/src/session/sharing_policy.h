// Whether small calls are worth sharing between threads, learned from how they went.
//
// Where other programs have a core, a thread may be taken off it with a piece in hand, and the call waits for
// it to come back: a few milliseconds, as long as several calls take on one thread. Where such waits are a
// large share of the last calls' time, calls go alone for a while, for longer each time that it happens
// again, and less long after many that went well. One wait among many good calls is no reason: every machine
// has some.
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
    waited_ += static_cast<double>(waited) - waited_ / kRemembered;
    took_ += static_cast<double>(took) - took_ / kRemembered;
    if (waited_ > kToleratedShare * took_) {
      alone_ = penalty_;
      penalty_ = std::min(kMostAlone, penalty_ * 4);
      waited_ = took_ = 0.0;
      good_ = 0;
    } else if (++good_ == kGoodCalls) {
      penalty_ = kFewestAlone;
      good_ = 0;
    }
  }

 private:
  // Two threads save less than half of a call.
  static constexpr double kToleratedShare = 1.0 / 3;
  // The calls that count, about: what is older counts less and less.
  static constexpr double kRemembered = 16.0;
  static constexpr std::size_t kFewestAlone = 4, kMostAlone = 1024, kGoodCalls = 64;

  std::size_t alone_ = 0;  // calls to go
  std::size_t penalty_ = kFewestAlone;
  std::size_t good_ = 0;  // since calls went alone
  double waited_ = 0.0, took_ = 0.0;
};

}  // namespace bertc
