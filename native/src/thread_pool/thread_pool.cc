#include "thread_pool/thread_pool.h"

#include "common/clock.h"

namespace bertc {
namespace {

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// About 20 microseconds, which waking up a thread may take.
constexpr int kSpins = 1000;
// A microsecond or two, by which threads come later to a round than others.
constexpr int kPatience = 60;

}  // namespace

ThreadPool::ThreadPool(std::size_t threads, void (*before_claims)(std::size_t thread))
    : threads_(threads), before_claims_(before_claims), claims_(std::make_unique<Claim[]>(threads)) {
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
  publish(word_.load() + kRound);
  word_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

// All pieces of the round before were claimed, or this one would not be open. It fails for who comes late
// with a round that is over; who holds a piece of a round knows that it, and so its job, goes on.
bool ThreadPool::claim(std::size_t piece, Word word) {
  Word before = word - kRound;
  std::atomic<Word>& last = claims_[piece].word;
  return last.load(std::memory_order_relaxed) == before &&
         last.compare_exchange_strong(before, word, std::memory_order_acq_rel, std::memory_order_relaxed);
}

void ThreadPool::run_piece(Word word, std::size_t piece, std::size_t thread) {
  job_->run((word - first_) / kRound, piece, thread);
  if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 < threads_) return;
  done_.store(0, std::memory_order_relaxed);
  const Word next = word + kRound;
  publish(next == end_ ? next - kOpen : next);
}

bool ThreadPool::run_left(Word word, std::size_t thread) {
  bool found = false;
  for (std::size_t i = 1; i < threads_; ++i) {
    const std::size_t piece = (thread + i) % threads_;
    if (!claim(piece, word)) continue;
    run_piece(word, piece, thread);
    found = true;
  }
  return found;
}

void ThreadPool::take_part(Word word, std::size_t thread, bool* patient) {
  if (claim(thread, word)) run_piece(word, thread, thread);
  if (*patient) spin_while(word, kPatience);
  // Whom a round left a piece, the next one will, too: then it is taken at once.
  *patient = word_.load(std::memory_order_acquire) != word || !run_left(word, thread);
}

bool ThreadPool::spin_while(Word word, int spins) const {
  for (int i = 0; i < spins; ++i) {
    if (word_.load(std::memory_order_acquire) != word) return false;
    relax();
  }
  return true;
}

void ThreadPool::wait_while(Word word) {
  if (!spin_while(word, kSpins)) return;
  // Sleepers count themselves before they look at the word a last time, and it is written before they are
  // counted by publish(): one of the two sees the other.
  sleepers_.fetch_add(1);
  word_.wait(word);
  sleepers_.fetch_sub(1);
}

void ThreadPool::publish(Word word) {
  word_.store(word);
  if (sleepers_.load() > 0) word_.notify_all();
}

uint64_t ThreadPool::run(Job& job) {
  Word word = word_.load(std::memory_order_relaxed) + kOpen;
  job_ = &job;
  first_ = word;
  end_ = word + static_cast<Word>(job.rounds()) * kRound;
  publish(word);
  uint64_t waited = 0;
  for (bool patient = true; (word & kOpen) != 0; word = word_.load(std::memory_order_acquire)) {
    take_part(word, 0, &patient);
    if (!spin_while(word, kPatience)) continue;
    const uint64_t start = nanoseconds();
    wait_while(word);
    waited += nanoseconds() - start;
  }
  return waited;
}

void ThreadPool::work(std::size_t thread) {
  bool patient = true;
  for (Word word = kStart; !stop_.load(); word = word_.load(std::memory_order_acquire)) {
    if (before_claims_ != nullptr) before_claims_(thread);
    if ((word & kOpen) != 0) take_part(word, thread, &patient);
    wait_while(word);
  }
}

}  // namespace bertc
