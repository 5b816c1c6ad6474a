// What a caller passes to a session, copied and checked: nothing may read beyond a table.
#pragma once

#include <utility>
#include <vector>

#include "session/session.h"

namespace bertc {

// A request whose ids and cu_seqlens are the session's own: the caller's arrays may change during the
// call, so each is read once. Rows of f32 stay the caller's: no number in them leads out of bounds.
// Keeps its memory for the next request.
class CheckedRequest {
 public:
  // Throws Error (kInput) that names the first bad element.
  void take(const RunRequest& request, const Program& program);

  const int32_t* ids(std::size_t input) const { return ids_[input]; }
  // The places in `selected()` of the tokens from `first` on and before `last`.
  std::pair<std::size_t, std::size_t> selected_within(std::size_t first, std::size_t last) const;
  const int32_t* selected() const { return selected_.data(); }

  const RunRequest& operator*() const { return request_; }
  const RunRequest* operator->() const { return &request_; }

 private:
  RunRequest request_{};
  std::array<const int32_t*, kMaxInputs> ids_{};  // null: left out, or no ids
  std::array<std::vector<int32_t>, kMaxInputs> copies_;
  std::vector<int32_t> cu_seqlens_, selected_;
};

}  // namespace bertc
