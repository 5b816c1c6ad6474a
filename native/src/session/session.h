// A session: a program, threads, and memory to run it in. Safe to share between threads, and usable
// in a forked child: everything that a fork breaks is made anew there.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "program/program.h"
#include "session/profile.h"

namespace bertc {

struct RunRequest {
  // One per program input: int32 [tokens] or [selected], or float32 [tokens, columns]. Null: left out.
  std::array<const void*, kMaxInputs> inputs;
  const int32_t* cu_seqlens;  // [sequences + 1]
  std::size_t tokens;
  std::size_t sequences;
  std::size_t selected;
  // One per program output: null, or room for [tokens, sequences or selected, columns] elements.
  std::array<std::byte*, Program::kMaxOutputs> outputs;
};

class Session {
 public:
  // `peer`, if there is one, lends its threads and memory: programs that run in turns need them once.
  Session(std::shared_ptr<const Program> program, std::size_t threads,
          std::shared_ptr<const Session> peer = nullptr);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Throws Error (kInput) that names the first bad element. Tells where the time went if asked to.
  void run(const RunRequest& request, Profile* profile = nullptr) const;

  std::size_t threads() const { return threads_; }
  const Program& program() const { return *program_; }

 private:
  struct State;
  State& state() const;

  std::shared_ptr<const Program> program_;
  std::size_t threads_;
  std::shared_ptr<const Session> peer_;
  mutable std::atomic<State*> state_{nullptr};
};

}  // namespace bertc
