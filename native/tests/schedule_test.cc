// How batches are cut, for every number of threads.
#include "session/schedule.h"

#include <algorithm>

#include "test.h"

namespace bertc {
namespace {

using test::check;
using test::count;

constexpr std::size_t kMostThreads = 256;

std::vector<int32_t> bounds(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> cu_seqlens = {0};
  for (const int32_t length : lengths) cu_seqlens.push_back(cu_seqlens.back() + length);
  return cu_seqlens;
}

Schedule planned(const std::vector<int32_t>& lengths, std::size_t threads) {
  const std::vector<int32_t> cu_seqlens = bounds(lengths);
  Schedule schedule;
  schedule.plan(cu_seqlens.data(), lengths.size(), threads);
  return schedule;
}

// Lengths from 1 to 128, the same in every run.
std::vector<int32_t> mixed_lengths(std::size_t sequences) {
  std::vector<int32_t> lengths;
  for (std::size_t i = 0; i < sequences; ++i) lengths.push_back(static_cast<int32_t>(1 + i * 37 % 128));
  return lengths;
}

BERTC_TEST(threads_take_chunks_of_their_own_where_there_is_enough_for_all) {
  for (std::size_t threads = 1; threads <= kMostThreads; ++threads) {
    const std::vector<int32_t> even(8 * threads, 128);
    check(!planned(even, threads).cooperative, count(threads, "threads share even chunks"));
    check(!planned(mixed_lengths(64 * threads), threads).cooperative,
          count(threads, "threads share mixed chunks"));
  }
}

BERTC_TEST(threads_share_a_sequence_that_is_alone) {
  for (std::size_t threads = 1; threads <= kMostThreads; ++threads) {
    check(planned({512}, threads).cooperative == (threads > 1), count(threads, "threads, one sequence"));
  }
}

BERTC_TEST(chunks_are_all_sequences_in_their_order) {
  for (std::size_t threads = 1; threads <= kMostThreads; ++threads) {
    const std::vector<int32_t> lengths = mixed_lengths(500);
    const Schedule schedule = planned(lengths, threads);
    const std::vector<int32_t> cu_seqlens = bounds(lengths);
    std::size_t next = 0, most_tokens = 0, most_sequences = 0;
    for (const Chunk& chunk : schedule.chunks) {
      check(chunk.first == next && chunk.last > chunk.first, count(threads, "threads: a gap, or none in it"));
      next = chunk.last;
      most_tokens =
          std::max(most_tokens, static_cast<std::size_t>(cu_seqlens[chunk.last] - cu_seqlens[chunk.first]));
      most_sequences = std::max(most_sequences, chunk.last - chunk.first);
    }
    check(next == lengths.size(), count(threads, "threads: sequences are left out"));
    check(schedule.max_tokens == most_tokens && schedule.max_sequences == most_sequences &&
              schedule.max_seqlen == 128,
          count(threads, "threads: other sizes than the chunks have"));
  }
}

BERTC_TEST(a_schedule_is_the_same_when_it_is_planned_again) {
  Schedule schedule;
  const std::vector<int32_t> large = bounds(mixed_lengths(900)), small = bounds({5, 7});
  schedule.plan(large.data(), 900, 100);
  schedule.plan(small.data(), 2, 3);
  const Schedule fresh = planned({5, 7}, 3);
  check(schedule.chunks.size() == fresh.chunks.size() && schedule.cooperative == fresh.cooperative &&
            schedule.max_tokens == fresh.max_tokens && schedule.max_seqlen == fresh.max_seqlen,
        "the plan before left something");
}

}  // namespace
}  // namespace bertc
