#include "session/check_request.h"

#include <string>

namespace bertc {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInput, message); }

void check_cu_seqlens(const RunRequest& request) {
  const int32_t* cu_seqlens = request.cu_seqlens;
  if (request.sequences == 0) fail("cu_seqlens must hold at least one sequence: [0, length]");
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

}  // namespace

void check_request(const RunRequest& request, const IdLimits& limits) {
  check_cu_seqlens(request);
  check_ids("input_ids", request.input_ids, request.tokens, limits.word);
  check_ids("token_type_ids", request.token_type_ids, request.tokens, limits.token_type);
  check_ids("position_ids", request.position_ids, request.tokens, limits.position);
  if (request.position_ids == nullptr) check_lengths(request, limits.length);
}

}  // namespace bertc
