// Several requests as one: their rows back to back, and the results back to each.
#pragma once

#include <vector>

#include "session/session.h"

namespace bertc {

// Whether requests that a session takes alone may be merged: they leave out the same inputs and outputs.
bool can_merge(const RunRequest& a, const RunRequest& b);

// Throws Error (kInput) where cu_seqlens and `selected` do not fit a request's own rows: in a batch they
// would reach those of others. Ids are left to the session, which checks them in any batch.
void check_bounds(const RunRequest& request, const Program& program);

// Keeps its memory for the next batch.
class MergedBatch {
 public:
  // Runs requests that can be merged; a single one as it is. Throws what the session throws.
  void run(const Session& session, const std::vector<const RunRequest*>& requests);

 private:
  RunRequest merge(const Program& program, const std::vector<const RunRequest*>& requests);
  void scatter(const Program& program, const std::vector<const RunRequest*>& requests) const;

  std::vector<int32_t> cu_seqlens_;
  std::vector<std::byte> inputs_[kMaxInputs];
  std::vector<std::byte> outputs_[Program::kMaxOutputs];
};

}  // namespace bertc
