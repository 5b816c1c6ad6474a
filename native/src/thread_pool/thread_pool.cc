#include "thread_pool/thread_pool.h"

namespace bertc {
namespace {

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// About 20 microseconds of spinning before the processor is given away.
constexpr int kSpins = 1000;

template <class Condition>
void spin_until(Condition condition) {
  for (int spins = 0; !condition(); ++spins) {
    if (spins < kSpins) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace

void SpinBarrier::wait() {
  const std::size_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
  } else {
    spin_until([&] { return phase_.load(std::memory_order_acquire) != phase; });
  }
}

ThreadPool::ThreadPool(std::size_t threads) : barrier_(threads) {
  workers_.reserve(threads - 1);
  try {
    for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (...) {
    join();
    throw;
  }
}

ThreadPool::~ThreadPool() { join(); }

void ThreadPool::join() {
  stop_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(Job job, void* context) {
  job_ = job;
  context_ = context;
  running_.store(workers_.size(), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  job(context, 0);
  spin_until([&] { return running_.load(std::memory_order_acquire) == 0; });
}

void ThreadPool::work(std::size_t thread) {
  uint32_t seen = 0;
  for (;;) {
    // Calls often follow each other at once: spin a little before sleeping.
    for (int spins = 0; spins < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spins)
      relax();
    generation_.wait(seen, std::memory_order_acquire);
    ++seen;
    if (stop_.load()) return;
    job_(context_, thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace bertc
