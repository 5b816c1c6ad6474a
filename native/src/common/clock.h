// The time that waits and steps are measured by.
#pragma once

#include <chrono>
#include <cstdint>

namespace bertc {

inline uint64_t nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace bertc
