// Threads that share the work of a job by claiming pieces of it.
//
// A job is a sequence of rounds; a round has a piece for each thread, and whoever finishes its last piece
// opens the next round. A thread claims its own piece, and when it is done with it those that nobody has
// claimed: nobody waits for a thread that is not running, since its core belongs to another program at the
// moment. Only a thread that is taken off its core after it has claimed a piece holds the others up, and
// run() says for how long.
//
// A thread's claims are in a cache line of its own, so that on an idle machine a round costs what a barrier
// does: one counter that all add to, one word that all read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace bertc {

class ThreadPool {
 public:
  class Job {
   public:
    virtual ~Job() = default;
    virtual std::size_t rounds() const = 0;
    // Runs a piece, of as many as there are threads. Must not throw; what it writes must not depend on the
    // thread, which is for scratch memory alone. The caller of run() is thread 0.
    virtual void run(std::size_t round, std::size_t piece, std::size_t thread) = 0;
  };

  // Starts threads - 1 threads. Each calls `before_claims`, if there is one, whenever it is about to look
  // for pieces: tests hold threads up there.
  explicit ThreadPool(std::size_t threads, void (*before_claims)(std::size_t thread) = nullptr);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return threads_; }

  // Returns when all pieces of all rounds are done: the nanoseconds for which this thread waited for pieces
  // that others held, a few microseconds each time aside. One caller at a time.
  uint64_t run(Job& job);

 private:
  // Twice the number of a round, counted over all jobs; one more if it is open. It may wrap around.
  using Word = uint32_t;
  static constexpr Word kOpen = 1, kRound = 2, kStart = kRound;

  // The last round whose piece of this thread was claimed, by whomever.
  struct alignas(64) Claim {
    std::atomic<Word> word{kStart + kOpen - kRound};
  };

  bool claim(std::size_t piece, Word word);
  void run_piece(Word word, std::size_t piece, std::size_t thread);
  bool run_left(Word word, std::size_t thread);
  void take_part(Word word, std::size_t thread, bool* patient);
  bool spin_while(Word word, int spins) const;
  void wait_while(Word word);
  void publish(Word word);
  void work(std::size_t thread);
  void join();

  const std::size_t threads_;
  void (*before_claims_)(std::size_t thread);
  std::unique_ptr<Claim[]> claims_;
  std::vector<std::thread> workers_;

  // Written before a round is opened, and read by those who hold a piece of it.
  Job* job_ = nullptr;
  Word first_ = 0, end_ = 0;

  alignas(64) std::atomic<Word> word_{kStart};
  alignas(64) std::atomic<std::size_t> done_{0};  // pieces of this round
  alignas(64) std::atomic<std::size_t> sleepers_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace bertc
