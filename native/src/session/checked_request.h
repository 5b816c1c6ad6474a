// What a caller passes to a session, copied and checked: nothing may read beyond a table.
#pragma once

#include <vector>

#include "session/session.h"

namespace bertc {

// A request whose ids and cu_seqlens are the session's own: the caller's arrays may change during the
// call, so each is read once. Keeps its memory for the next request.
class CheckedRequest {
 public:
  // Throws Error (kInput) that names the first bad element.
  void take(const RunRequest& request, const IdLimits& limits);

  const RunRequest& operator*() const { return request_; }
  const RunRequest* operator->() const { return &request_; }

 private:
  RunRequest request_{};
  std::vector<int32_t> input_ids_, token_type_ids_, position_ids_, cu_seqlens_;
};

}  // namespace bertc
