#include "session/checked_request.h"

#include <string>

namespace bertc {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInput, message); }

void check_cu_seqlens(const RunRequest& request) {
  const int32_t* cu_seqlens = request.cu_seqlens;
  if (cu_seqlens[0] != 0) fail("cu_seqlens must start at 0, found " + std::to_string(cu_seqlens[0]));
  for (std::size_t i = 0; i < request.sequences; ++i) {
    if (cu_seqlens[i + 1] <= cu_seqlens[i]) {
      fail("cu_seqlens must increase: sequence " + std::to_string(i) + " goes from " +
           std::to_string(cu_seqlens[i]) + " to " + std::to_string(cu_seqlens[i + 1]));
    }
  }
  if (static_cast<std::size_t>(cu_seqlens[request.sequences]) != request.tokens) {
    fail("cu_seqlens ends at " + std::to_string(cu_seqlens[request.sequences]) + ", but there are " +
         std::to_string(request.tokens) + " tokens");
  }
}

void check_ids(const char* name, const int32_t* ids, std::size_t count, std::size_t limit) {
  if (ids == nullptr) return;
  for (std::size_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= limit) {
      fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(ids[i]) +
           ", but the model's table has rows 0 to " + std::to_string(limit - 1));
    }
  }
}

void check_lengths(const RunRequest& request, std::size_t limit) {
  for (std::size_t i = 0; i < request.sequences; ++i) {
    const auto length = static_cast<std::size_t>(request.cu_seqlens[i + 1] - request.cu_seqlens[i]);
    if (length > limit) {
      fail("sequence " + std::to_string(i) + " has " + std::to_string(length) +
           " tokens, but the model has positions for " + std::to_string(limit) + ": truncate it");
    }
  }
}

const int32_t* copy(const int32_t* from, std::size_t count, std::vector<int32_t>& to) {
  if (from == nullptr) return nullptr;
  to.assign(from, from + count);
  return to.data();
}

}  // namespace

void CheckedRequest::take(const RunRequest& request, const IdLimits& limits) {
  if (request.sequences == 0) fail("cu_seqlens must hold at least one sequence: [0, length]");
  request_ = request;
  request_.input_ids = copy(request.input_ids, request.tokens, input_ids_);
  request_.token_type_ids = copy(request.token_type_ids, request.tokens, token_type_ids_);
  request_.position_ids = copy(request.position_ids, request.tokens, position_ids_);
  request_.cu_seqlens = copy(request.cu_seqlens, request.sequences + 1, cu_seqlens_);
  check_cu_seqlens(request_);
  check_ids("input_ids", request_.input_ids, request.tokens, limits.word);
  check_ids("token_type_ids", request_.token_type_ids, request.tokens, limits.token_type);
  check_ids("position_ids", request_.position_ids, request.tokens, limits.position);
  if (request_.position_ids == nullptr) check_lengths(request_, limits.position);
}

}  // namespace bertc
