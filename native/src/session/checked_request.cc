#include "session/checked_request.h"

#include <algorithm>
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

void check_ids(const std::string& name, const int32_t* ids, std::size_t count, std::size_t limit) {
  for (std::size_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= limit) {
      fail(name + "[" + std::to_string(i) + "] is " + std::to_string(ids[i]) +
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

void check_selected(const std::vector<int32_t>& selected, std::size_t tokens) {
  for (std::size_t i = 0; i < selected.size(); ++i) {
    if (selected[i] < 0 || static_cast<std::size_t>(selected[i]) >= tokens ||
        (i > 0 && selected[i] <= selected[i - 1])) {
      fail("selected[" + std::to_string(i) + "] is " + std::to_string(selected[i]) +
           ": it must increase, and name tokens from 0 to " + std::to_string(tokens - 1));
    }
  }
}

const int32_t* copy(const int32_t* from, std::size_t count, std::vector<int32_t>& to) {
  to.assign(from, from + count);
  return to.data();
}

}  // namespace

void CheckedRequest::take(const RunRequest& request, const Program& program) {
  if (request.sequences == 0) fail("cu_seqlens must hold at least one sequence: [0, length]");
  request_ = request;
  selected_.clear();
  request_.cu_seqlens = copy(request.cu_seqlens, request.sequences + 1, cu_seqlens_);
  check_cu_seqlens(request_);
  const std::vector<Program::Input>& inputs = program.inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const IdLimits& limits = program.limits()[i];
    ids_[i] = nullptr;
    if (request.inputs[i] == nullptr) {
      if (limits.required) fail("input '" + inputs[i].name + "' is missing");
      check_lengths(request_, limits.length);
    } else if (inputs[i].rows == Rows::kSelected) {
      copy(static_cast<const int32_t*>(request.inputs[i]), request.selected, selected_);
      check_selected(selected_, request.tokens);
    } else if (inputs[i].buffer == nullptr) {
      ids_[i] = copy(static_cast<const int32_t*>(request.inputs[i]), request.tokens, copies_[i]);
      check_ids(inputs[i].name, ids_[i], request.tokens, limits.rows);
    }
  }
}

std::pair<std::size_t, std::size_t> CheckedRequest::selected_within(std::size_t first,
                                                                    std::size_t last) const {
  const auto place = [&](std::size_t token) {
    const auto found = std::lower_bound(selected_.begin(), selected_.end(), static_cast<int32_t>(token));
    return static_cast<std::size_t>(found - selected_.begin());
  };
  return {place(first), place(last)};
}

}  // namespace bertc
