// Where the time of one run went, by thread and step. An ordinary run has none, and reads no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/clock.h"
#include "kernels/attention/kernel.h"

namespace bertc {

struct Profile {
  std::size_t threads = 0;      // that took part
  bool cooperative = false;     // as in Schedule
  uint64_t wall = 0;            // nanoseconds of the whole run, all times as well
  std::size_t columns = 0;      // steps of the program, and one for copying outputs
  std::vector<uint64_t> times;  // [threads, columns]: without waiting for each other

  bool inside_attention = false;  // Set it to have the next as well: reading the clock takes time there.
  std::vector<uint64_t> attention_ticks;  // [threads, kAttentionParts], in units of the processor's own

  void reset(std::size_t thread_count, std::size_t steps) {
    threads = thread_count;
    columns = steps + 1;
    times.assign(threads * columns, 0);
    attention_ticks.assign(inside_attention ? threads * kAttentionParts : 0, 0);
  }
};

// Of this thread; null if nobody asked.
inline uint64_t* attention_ticks(Profile* profile, std::size_t thread) {
  if (profile == nullptr || !profile->inside_attention) return nullptr;
  return profile->attention_ticks.data() + thread * kAttentionParts;
}

// One thread's stopwatch: without a profile it does nothing.
class Stopwatch {
 public:
  Stopwatch(Profile* profile, std::size_t thread)
      : times_(profile == nullptr ? nullptr : profile->times.data() + thread * profile->columns) {}

  // What came before is nobody's.
  void restart() {
    if (times_ != nullptr) last_ = nanoseconds();
  }
  // What came since the last restart or lap is this step's.
  void lap(std::size_t step) {
    if (times_ == nullptr) return;
    const uint64_t now = nanoseconds();
    times_[step] += now - last_;
    last_ = now;
  }

 private:
  uint64_t* times_;
  uint64_t last_ = 0;
};

}  // namespace bertc
