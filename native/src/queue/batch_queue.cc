#include "queue/batch_queue.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "common/clock.h"

namespace bertc {

BatchQueue::BatchQueue(std::size_t max_batch_tokens)
    : max_batch_tokens_(max_batch_tokens), thread_([this] { work(); }) {}

BatchQueue::~BatchQueue() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  thread_.join();
}

BatchQueue::Id BatchQueue::submit(std::shared_ptr<const Session> session, const RunRequest& request,
                                  uint64_t deadline) {
  check_bounds(request, session->program());
  const uint64_t now = nanoseconds();
  Id id = 0;
  {
    const std::lock_guard lock(mutex_);
    // An address may come again after its session is gone.
    std::erase_if(lanes_, [](const auto& entry) { return entry.second.session.expired(); });
    Lane& lane = lanes_[session.get()];
    lane.session = session;
    // A lane that had nothing to do saves up no claims.
    if (lane.waiting.empty()) lane.used_ns = std::max(lane.used_ns, turn_ns_);
    id = ++last_id_;
    lane.waiting.push_back(id);
    waiting_tokens_ += request.tokens;
    jobs_.emplace(id, Job{id, std::move(session), request, now, deadline});
  }
  arrived_.notify_one();
  return id;
}

bool BatchQueue::cancel(Id id) {
  const std::lock_guard lock(mutex_);
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return false;
  drop(job);
  return true;
}

void BatchQueue::drop(std::unordered_map<Id, Job>::iterator job) {
  waiting_tokens_ -= job->second.request.tokens;
  jobs_.erase(job);
}

std::vector<BatchQueue::Finished> BatchQueue::take_finished() {
  const std::lock_guard lock(mutex_);
  notifier_.clear();
  return std::exchange(finished_, {});
}

BatchQueue::Load BatchQueue::load() const {
  const std::lock_guard lock(mutex_);
  return {.waiting_requests = jobs_.size(),
          .waiting_tokens = waiting_tokens_,
          .running_tokens = running_tokens_,
          .running_ns = running_since_ == 0 ? 0 : nanoseconds() - running_since_,
          .batches = batches_,
          .requests = requests_,
          .tokens = tokens_,
          .busy_ns = busy_ns_};
}

void BatchQueue::work() {
  while (true) {
    std::vector<Job> batch = form_batch();
    if (batch.empty()) return;
    run(batch);
  }
}

// Waits until there is a batch; empty: there is none any more.
std::vector<BatchQueue::Job> BatchQueue::form_batch() {
  std::unique_lock lock(mutex_);
  std::vector<Job> batch;
  while (true) {
    arrived_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return batch;
    Lane* lane = next_lane();
    if (lane == nullptr) continue;
    turn_ns_ = lane->used_ns;
    take_from(*lane, batch);
    if (!batch.empty()) break;  // else all of it had expired
  }
  for (const Job& job : batch) running_tokens_ += job.request.tokens;
  running_since_ = nanoseconds();
  return batch;
}

BatchQueue::Lane* BatchQueue::next_lane() {
  Lane* next = nullptr;
  for (auto& [session, lane] : lanes_) {
    while (!lane.waiting.empty() && !jobs_.contains(lane.waiting.front())) lane.waiting.pop_front();
    if (!lane.waiting.empty() && (next == nullptr || lane.used_ns < next->used_ns)) next = &lane;
  }
  return next;
}

void BatchQueue::take_from(Lane& lane, std::vector<Job>& batch) {
  const uint64_t now = nanoseconds();
  std::size_t tokens = 0;
  while (!lane.waiting.empty()) {
    const auto found = jobs_.find(lane.waiting.front());
    if (found != jobs_.end()) {
      Job& job = found->second;
      if (job.deadline != 0 && job.deadline <= now) {
        if (finished_.empty()) notifier_.notify();
        finish(job, Outcome::kExpired, {}, now);
      } else {
        if (!batch.empty() &&
            (tokens + job.request.tokens > max_batch_tokens_ || !can_merge(batch[0].request, job.request))) {
          return;
        }
        tokens += job.request.tokens;
        batch.push_back(std::move(job));
      }
      drop(found);
    }
    lane.waiting.pop_front();
  }
}

// With the mutex held. Who finds finished_ empty has to tell, for all that come until it is taken.
void BatchQueue::finish(const Job& job, Outcome outcome, std::string error, uint64_t now) {
  const uint64_t began = outcome == Outcome::kExpired ? now : running_since_;
  finished_.push_back(
      {job.id, outcome, std::move(error), began - job.submitted, now - began, running_tokens_});
}

void BatchQueue::run(std::vector<Job>& batch) {
  std::vector<const RunRequest*> requests;
  for (const Job& job : batch) requests.push_back(&job.request);
  std::vector<std::string> errors(batch.size());
  std::vector<Outcome> outcomes(batch.size(), Outcome::kDone);
  const auto attempt = [&](const std::vector<const RunRequest*>& some, std::size_t first) {
    try {
      merged_.run(*batch[0].session, some);
      return true;
    } catch (const std::exception& error) {
      if (some.size() == 1) {
        outcomes[first] = Outcome::kFailed;
        errors[first] = error.what();
      }
      return false;
    }
  };
  if (!attempt(requests, 0) && requests.size() > 1) {
    // Whose fault it was shows when each runs alone.
    for (std::size_t i = 0; i < requests.size(); ++i) attempt({requests[i]}, i);
  }

  std::unique_lock lock(mutex_);
  const bool tells = finished_.empty();
  const uint64_t now = nanoseconds(), took = now - running_since_;
  for (std::size_t i = 0; i < batch.size(); ++i) finish(batch[i], outcomes[i], std::move(errors[i]), now);
  lanes_[batch[0].session.get()].used_ns += took;
  ++batches_;
  requests_ += batch.size();
  tokens_ += running_tokens_;
  busy_ns_ += took;
  running_tokens_ = 0;
  running_since_ = 0;
  lock.unlock();  // whom it wakes would wait for the mutex at once
  if (tells) notifier_.notify();
}

}  // namespace bertc
