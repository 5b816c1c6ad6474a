// Threads that run together, and what a fork leaves of them.
#include "thread_pool/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "test.h"
#include "thread_pool/forks.h"

namespace bertc {
namespace {

using test::check;
using test::count;

constexpr std::size_t kMostThreads = 16;
constexpr std::size_t kRuns = 20, kRounds = 10;

// Pieces write into their place; a round reads what all pieces of the round before have written.
class Sums final : public ThreadPool::Job {
 public:
  explicit Sums(std::size_t pieces) : pieces_(pieces), numbers_(pieces, 1), next_(pieces, 0) {}

  std::size_t rounds() const override { return kRounds; }
  void run(std::size_t round, std::size_t piece, std::size_t) override {
    std::vector<std::size_t>& from = round % 2 == 0 ? numbers_ : next_;
    std::vector<std::size_t>& to = round % 2 == 0 ? next_ : numbers_;
    std::size_t sum = 0;
    for (const std::size_t number : from) sum += number % kModulus;
    to[piece] = sum % kModulus;
    runs_.fetch_add(1);
  }

  void check_results() const {
    check(runs_.load() == kRounds * pieces_, count(pieces_, "pieces: one ran not once"));
    std::size_t expected = 1;
    for (std::size_t round = 0; round < kRounds; ++round) expected = expected * pieces_ % kModulus;
    for (const std::size_t number : numbers_) {
      check(number == expected, count(pieces_, "pieces: a round began before the last one ended"));
    }
  }

 private:
  static constexpr std::size_t kModulus = 1000003;

  const std::size_t pieces_;
  std::vector<std::size_t> numbers_, next_;
  std::atomic<std::size_t> runs_{0};
};

BERTC_TEST(every_piece_runs_once_and_rounds_follow_each_other) {
  for (std::size_t threads = 1; threads <= kMostThreads; ++threads) {
    ThreadPool pool(threads);
    check(pool.threads() == threads, count(threads, "threads were asked for"));
    for (std::size_t run = 0; run < kRuns; ++run) {
      Sums sums(threads);
      pool.run(sums);
      sums.check_results();
    }
  }
}

std::atomic<bool> parked{false}, released{false};

void park(std::size_t) {
  parked.store(true);
  while (!released.load()) std::this_thread::yield();
}

BERTC_TEST(a_thread_that_never_claims_holds_nobody_up) {
  released.store(false);
  {
    ThreadPool pool(2, park);
    while (!parked.load()) std::this_thread::yield();
    for (std::size_t run = 0; run < kRuns; ++run) {
      Sums sums(2);
      check(pool.run(sums) == 0, "nobody has a piece to wait for");
      sums.check_results();
    }
    released.store(true);
  }
}

// One thread holds its piece until it is told to go on.
class Held final : public ThreadPool::Job {
 public:
  std::size_t rounds() const override { return 2; }
  void run(std::size_t round, std::size_t, std::size_t thread) override {
    if (round == 1) return;
    if (thread == 0) {
      while (!taken_.load()) std::this_thread::yield();
    } else {
      taken_.store(true);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

 private:
  std::atomic<bool> taken_{false};
};

BERTC_TEST(waiting_for_a_held_piece_is_told) {
  ThreadPool pool(2);
  bool told = false;
  for (int i = 0; i < 200 && !told; ++i) {  // on a busy machine, the caller may come when the piece is done
    Held held;
    told = pool.run(held) > 10'000'000;
  }
  check(told, "a piece was held for 20 ms");
}

BERTC_TEST(a_pool_that_never_ran_ends) {
  for (std::size_t threads = 1; threads <= kMostThreads; ++threads) ThreadPool pool(threads);
}

bool in_child(bool (*succeeds)()) {
  const pid_t child = fork();
  if (child == 0) _exit(succeeds() ? 0 : 1);
  int status = 1;
  return waitpid(child, &status, 0) == child && status == 0;
}

BERTC_TEST(each_fork_is_counted) {
  static uint64_t before;
  before = fork_count();
  check(in_child([] { return fork_count() == before + 1; }), "a child");
  check(in_child([] { return in_child([] { return fork_count() == before + 2; }); }), "a child's child");
  check(fork_count() == before, "the parent was not forked off");
}

}  // namespace
}  // namespace bertc
