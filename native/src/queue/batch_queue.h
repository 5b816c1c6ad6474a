// Requests of many callers, run in batches: the server's queue.
//
// A caller submits a request and goes on; one thread forms batches of what is waiting and runs them, without
// a pause to wait for more: while one batch runs, the next one gathers. A batch is of one session, and has at
// most so many tokens, unless its first request alone has more. Several sessions take turns by the time that
// their batches took: the next is that of the session which has had the least, so that nobody's long texts
// hold up another model's short ones for longer than a batch.
//
// Merging changes no bit of a result: no reduction of the kernels depends on the batch.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "queue/merged_batch.h"
#include "queue/notifier.h"

namespace bertc {

class BatchQueue {
 public:
  using Id = uint64_t;

  enum class Outcome {
    kDone,
    kFailed,   // `error` says why; the others of its batch are not concerned
    kExpired,  // its deadline came before its turn
  };

  struct Finished {
    Id id;
    Outcome outcome;
    std::string error;
    uint64_t queued_ns, run_ns;
    std::size_t batch_tokens;
  };

  struct Load {
    std::size_t waiting_requests, waiting_tokens;
    std::size_t running_tokens;
    uint64_t running_ns;                          // since the present batch began; 0: there is none
    uint64_t batches, requests, tokens, busy_ns;  // of all batches that have ended
  };

  explicit BatchQueue(std::size_t max_batch_tokens);
  // Waits for the batch that runs, and drops what waits.
  ~BatchQueue();
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  // The memory of the request is the caller's, who keeps it until take_finished() or cancel() gives it back.
  // `deadline` is a time of nanoseconds(), 0 for none. Throws Error (kInput) for bounds that make no sense.
  Id submit(std::shared_ptr<const Session> session, const RunRequest& request, uint64_t deadline);
  // Whether the request was still waiting: it is forgotten then. Otherwise it ends as all do.
  bool cancel(Id id);
  std::vector<Finished> take_finished();
  // Readable when there is something to take.
  int descriptor() const { return notifier_.descriptor(); }
  Load load() const;

 private:
  struct Job {
    Id id;
    std::shared_ptr<const Session> session;
    RunRequest request;
    uint64_t submitted, deadline;
  };
  // What waits for one session, in the order in which it came; ids that are not in jobs_ were cancelled.
  struct Lane {
    std::weak_ptr<const Session> session;
    std::deque<Id> waiting;
    uint64_t used_ns = 0;  // the time that its batches took, from where it last joined the others
  };

  void work();
  std::vector<Job> form_batch();
  Lane* next_lane();
  void take_from(Lane& lane, std::vector<Job>& batch);
  void run(std::vector<Job>& batch);
  void finish(const Job& job, Outcome outcome, std::string error, uint64_t now);
  void drop(std::unordered_map<Id, Job>::iterator job);

  const std::size_t max_batch_tokens_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  bool stopping_ = false;
  Id last_id_ = 0;
  std::unordered_map<Id, Job> jobs_;  // that wait
  std::map<const Session*, Lane> lanes_;
  uint64_t turn_ns_ = 0;  // used_ns of the lane whose turn was last
  std::vector<Finished> finished_;
  std::size_t waiting_tokens_ = 0;
  std::size_t running_tokens_ = 0;
  uint64_t running_since_ = 0;
  uint64_t batches_ = 0, requests_ = 0, tokens_ = 0, busy_ns_ = 0;

  MergedBatch merged_;  // of the thread alone
  Notifier notifier_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace bertc
