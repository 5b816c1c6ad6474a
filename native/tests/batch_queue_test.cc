// The queue of the server: merged results are those of each alone, turns are fair, nothing is lost.
#include "queue/batch_queue.h"

#include <poll.h>

#include <iterator>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "test.h"

namespace bertc {
namespace {

using test::check;
using test::count;

constexpr std::size_t kRows = 64, kColumns = 16;

// A model that is a table: the vector of a token is its row, and of those that are selected once more.
class TableModel {
 public:
  TableModel() {
    for (std::size_t i = 0; i < std::size(table_); ++i) table_[i] = static_cast<float>(i);
    program_->add_slot(kColumns * sizeof(float));
    program_->add_slot(kColumns * sizeof(float));
    program_->add_tensor({"table", DType::kF32, {kRows, kColumns}, reinterpret_cast<std::byte*>(table_)},
                         sizeof table_);
    program_->add_buffer({"vectors", DType::kF32, Rows::kTokens, kColumns, 0});
    program_->add_buffer({"chosen", DType::kF32, Rows::kSelected, kColumns, 1});
    program_->add_input("input_ids", DType::kI32, Rows::kTokens, 0);
    program_->add_input("selected", DType::kI32, Rows::kSelected, 0);
    program_->add_step({"embed",
                        "embed",
                        {{"word", "table"}, {"input_ids", "input_ids"}, {"cu_seqlens", "cu_seqlens"}},
                        {"vectors"},
                        {{"word_rows", int64_t{kRows}}}});
    program_->add_step(
        {"select_rows", "select", {{"x", "vectors"}, {"selected", "selected"}}, {"chosen"}, {}});
    program_->add_output("vectors", "vectors");
    program_->add_output("chosen", "chosen");
    program_->finish();
    session_ = std::make_shared<Session>(program_, 2);
  }

  const std::shared_ptr<const Session>& session() const { return session_; }

 private:
  alignas(64) float table_[kRows * kColumns];
  std::shared_ptr<Program> program_ = std::make_shared<Program>(select_kernels(choose_isa("scalar")));
  std::shared_ptr<const Session> session_;
};

// A request of two sequences, its last token selected.
class Caller {
 public:
  explicit Caller(std::size_t seed) {
    const std::size_t first = 1 + seed % 5, second = 1 + seed % 7;
    bounds_ = {0, static_cast<int32_t>(first), static_cast<int32_t>(first + second)};
    for (std::size_t i = 0; i < first + second; ++i) {
      ids_.push_back(static_cast<int32_t>((seed * 31 + i * 7) % kRows));
    }
    selected_ = {bounds_[2] - 1};
    vectors_.assign(ids_.size() * kColumns, -1);
    chosen_.assign(kColumns, -1);
  }

  RunRequest request() {
    RunRequest request{};
    request.inputs[0] = ids_.data();
    request.inputs[1] = selected_.data();
    request.cu_seqlens = bounds_.data();
    request.tokens = ids_.size();
    request.sequences = 2;
    request.selected = 1;
    request.outputs[0] = reinterpret_cast<std::byte*>(vectors_.data());
    request.outputs[1] = reinterpret_cast<std::byte*>(chosen_.data());
    return request;
  }

  void name_a_row_that_is_not_there() { ids_[0] = kRows; }

  void check_results() const {
    for (std::size_t i = 0; i < ids_.size(); ++i) check_row(&vectors_[i * kColumns], ids_[i]);
    check_row(chosen_.data(), ids_.back());
  }
  bool untouched() const { return vectors_[0] == -1 && chosen_[0] == -1; }

 private:
  static void check_row(const float* row, int32_t id) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      check(row[j] == static_cast<float>(static_cast<std::size_t>(id) * kColumns + j),
            "the row of another token");
    }
  }

  std::vector<int32_t> ids_, bounds_, selected_;
  std::vector<float> vectors_, chosen_;
};

std::vector<BatchQueue::Finished> wait_for(BatchQueue& queue, std::size_t wanted) {
  std::vector<BatchQueue::Finished> all;
  while (all.size() < wanted) {
    pollfd descriptor{queue.descriptor(), POLLIN, 0};
    check(poll(&descriptor, 1, 60000) == 1, count(all.size(), "requests ended, and then no more"));
    for (auto& each : queue.take_finished()) all.push_back(std::move(each));
  }
  return all;
}

// Holds the queue's thread in a batch, so that what is submitted meanwhile waits. It must outlive the queue.
class Blocker {
 public:
  Blocker() : bounds_(kSequences + 1) {
    for (std::size_t i = 0; i <= kSequences; ++i) bounds_[i] = static_cast<int32_t>(i);
    ids_.assign(kSequences, 0);
    vectors_.resize(kSequences * kColumns);
  }

  void block(BatchQueue& queue, const TableModel& model) {
    RunRequest request{};
    request.inputs[0] = ids_.data();
    request.inputs[1] = ids_.data();  // of which none are selected
    request.cu_seqlens = bounds_.data();
    request.tokens = request.sequences = kSequences;
    request.outputs[0] = reinterpret_cast<std::byte*>(vectors_.data());
    queue.submit(model.session(), request, 0);
    while (queue.load().batches == 0 && queue.load().running_tokens == 0) std::this_thread::yield();
  }

 private:
  static constexpr std::size_t kSequences = 200'000;

  std::vector<int32_t> ids_, bounds_;
  std::vector<float> vectors_;
};

// Whether the blocker ended before all was submitted that was to wait for it: the machine was too slow.
bool is_over(const BatchQueue& queue) { return queue.load().batches > 0; }

BERTC_TEST(requests_of_many_threads_get_their_own_results) {
  const TableModel first, second;
  BatchQueue queue(100);
  constexpr std::size_t kThreads = 8, kEach = 200;
  std::vector<Caller> callers;
  for (std::size_t i = 0; i < kThreads * kEach; ++i) callers.emplace_back(i);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t * kEach; i < (t + 1) * kEach; ++i) {
        queue.submit((i % 3 == 0 ? second : first).session(), callers[i].request(), 0);
      }
    });
  }
  const auto finished = wait_for(queue, callers.size());
  for (std::thread& thread : threads) thread.join();
  for (const auto& each : finished) {
    check(each.outcome == BatchQueue::Outcome::kDone, each.error);
    check(each.batch_tokens <= 100, count(each.batch_tokens, "tokens are more than the budget"));
  }
  for (const Caller& caller : callers) caller.check_results();
  const BatchQueue::Load load = queue.load();
  check(load.requests == callers.size() && load.waiting_requests == 0 && load.waiting_tokens == 0,
        "the counts are wrong");
}

BERTC_TEST(a_bad_request_fails_alone) {
  const TableModel model;
  Blocker blocker;
  std::vector<Caller> callers;
  for (std::size_t i = 0; i < 20; ++i) callers.emplace_back(i);
  callers[7].name_a_row_that_is_not_there();
  std::vector<BatchQueue::Id> ids;
  BatchQueue queue(1 << 20);
  blocker.block(queue, model);
  for (Caller& caller : callers) ids.push_back(queue.submit(model.session(), caller.request(), 0));
  for (const auto& each : wait_for(queue, callers.size() + 1)) {
    const bool bad = each.id == ids[7];
    check((each.outcome == BatchQueue::Outcome::kFailed) == bad, "the wrong request failed: " + each.error);
    check(!bad || each.error.find("input_ids") != std::string::npos, each.error);
  }
  for (std::size_t i = 0; i < callers.size(); ++i) {
    if (i != 7) callers[i].check_results();
  }
}

BERTC_TEST(bounds_that_reach_other_requests_are_refused) {
  const TableModel model;
  BatchQueue queue(100);
  const auto refuses = [&](RunRequest request) {
    try {
      queue.submit(model.session(), request, 0);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  Caller caller(3);
  RunRequest request = caller.request();
  for (const std::vector<int32_t>& bounds :
       {std::vector<int32_t>{0, 2, 3}, {1, 2, 8}, {0, 0, 8}, {0, 9, 8}}) {
    request.cu_seqlens = bounds.data();
    check(refuses(request), "bounds that are not those of the tokens");
  }
  request = caller.request();
  for (const int32_t selected : {-1, 8, 1000}) {
    request.inputs[1] = &selected;
    check(refuses(request), "a token of nobody or of another request");
  }
  request = caller.request();
  request.sequences = 0;
  check(refuses(request), "no sequence");
}

BERTC_TEST(what_is_cancelled_or_late_does_not_run) {
  const TableModel model;
  Caller late(1), cancelled(2), good(3);
  Blocker blocker;
  BatchQueue queue(1 << 20);
  blocker.block(queue, model);
  const auto late_id = queue.submit(model.session(), late.request(), nanoseconds());
  const auto cancelled_id = queue.submit(model.session(), cancelled.request(), 0);
  queue.submit(model.session(), good.request(), nanoseconds() + 3600'000'000'000);
  const bool was_waiting = queue.cancel(cancelled_id);
  check(was_waiting || is_over(queue), "it was waiting");
  for (const auto& each : wait_for(queue, was_waiting ? 3 : 4)) {
    check((each.outcome == BatchQueue::Outcome::kExpired) == (each.id == late_id), "the wrong one was late");
    check(each.id != cancelled_id || !was_waiting, "it was forgotten");
  }
  check(late.untouched(), "it was late and ran");
  check(cancelled.untouched() == was_waiting, "it was cancelled and ran");
  good.check_results();
  check(!queue.cancel(late_id) && !queue.cancel(12345), "there is nothing to cancel");
}

BERTC_TEST(a_busy_model_lets_another_one_through) {
  const TableModel busy, other;
  std::vector<Caller> callers;
  for (std::size_t i = 0; i < 200; ++i) callers.emplace_back(i);
  Blocker blocker;
  BatchQueue queue(1);  // every request is a batch
  blocker.block(queue, busy);
  for (std::size_t i = 0; i + 1 < callers.size(); ++i) queue.submit(busy.session(), callers[i].request(), 0);
  const auto id = queue.submit(other.session(), callers.back().request(), 0);
  if (is_over(queue)) return;
  const auto finished = wait_for(queue, callers.size() + 1);
  std::size_t place = 0;
  while (finished[place].id != id) ++place;
  // The blocker's own time counts against the busy model.
  check(place <= 2, count(place, "requests of the busy model were before it"));
}

BERTC_TEST(a_queue_that_ends_drops_what_waits) {
  const TableModel model;
  std::vector<Caller> callers;
  for (std::size_t i = 0; i < 100; ++i) callers.emplace_back(i);
  BatchQueue queue(10);
  for (Caller& caller : callers) queue.submit(model.session(), caller.request(), 0);
}

}  // namespace
}  // namespace bertc
