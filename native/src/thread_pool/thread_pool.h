// A fixed set of threads that run one function together, and the barrier they meet at.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace bertc {

// Spins, since steps between barriers take microseconds; yields after a while, in case the other
// thread is not running.
class SpinBarrier {
 public:
  explicit SpinBarrier(std::size_t threads) : threads_(threads) {}
  void wait();

 private:
  const std::size_t threads_;
  std::atomic<std::size_t> arrived_{0};
  std::atomic<std::size_t> phase_{0};
};

class ThreadPool {
 public:
  using Job = void (*)(void* context, std::size_t thread);

  // Starts threads - 1 threads: the caller of run() is thread 0.
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }

  // Calls job(context, thread) on every thread at once and returns when all are done. One caller at
  // a time; the job must not throw.
  void run(Job job, void* context);

  // For jobs: returns when all threads have called it.
  void meet() { barrier_.wait(); }

 private:
  void work(std::size_t thread);
  void join();

  SpinBarrier barrier_;
  std::vector<std::thread> workers_;
  std::atomic<uint32_t> generation_{0};
  std::atomic<std::size_t> running_{0};
  std::atomic<bool> stop_{false};
  Job job_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace bertc
