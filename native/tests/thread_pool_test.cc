// Threads that run together, and what a fork leaves of them.
#include "thread_pool/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "thread_pool/forks.h"

namespace bertc {
namespace {

using test::check;
using test::count;

constexpr std::size_t kMostThreads = 16;
constexpr std::size_t kRuns = 20, kRounds = 10;

struct Tally {
  ThreadPool* pool;
  // Each written by one thread, and read by the others after a meeting.
  std::vector<std::size_t> rounds;
  std::vector<std::size_t> seen;
};

void add_up(void* argument, std::size_t thread) {
  auto& tally = *static_cast<Tally*>(argument);
  for (std::size_t round = 0; round < kRounds; ++round) {
    ++tally.rounds[thread];
    tally.pool->meet();
    for (const std::size_t of_another : tally.rounds) tally.seen[thread] += of_another;
    tally.pool->meet();
  }
}

BERTC_TEST(every_thread_runs_every_job_and_meets_the_others) {
  for (std::size_t threads = 1; threads <= kMostThreads; ++threads) {
    ThreadPool pool(threads);
    check(pool.threads() == threads, count(threads, "threads were asked for"));
    for (std::size_t run = 0; run < kRuns; ++run) {
      Tally tally{&pool, std::vector<std::size_t>(threads), std::vector<std::size_t>(threads)};
      pool.run(add_up, &tally);
      for (std::size_t thread = 0; thread < threads; ++thread) {
        check(tally.rounds[thread] == kRounds, count(threads, "threads: a job ran not once"));
        check(tally.seen[thread] == threads * kRounds * (kRounds + 1) / 2,
              count(threads, "threads: one went on before the others came"));
      }
    }
  }
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
