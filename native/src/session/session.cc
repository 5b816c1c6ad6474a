#include "session/session.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "session/checked_request.h"
#include "session/schedule.h"
#include "session/sharing_policy.h"
#include "session/workspace.h"
#include "thread_pool/forks.h"
#include "thread_pool/thread_pool.h"

namespace bertc {
namespace {

// Everything that one call needs, kept between calls.
struct Context {
  const Program* program = nullptr;
  CheckedRequest request;
  Profile* profile = nullptr;
  Program::OutputSet wanted = 0;
  Schedule schedule;
  std::vector<Workspace> workspaces;  // one per thread
  std::size_t threads = 1;

  // Of threads that share chunks.
  struct alignas(64) Own {
    std::size_t chunk;  // that the frame is of
    Frame frame;
  };
  std::vector<Own> own;             // by thread
  std::vector<std::size_t> rounds;  // of a chunk, by what runs in them
};

void reserve(Context& context) {
  const Schedule& schedule = context.schedule;
  const std::size_t scratch = context.program->scratch_bytes(schedule.max_seqlen);
  if (context.workspaces.size() < context.threads) context.workspaces.resize(context.threads);
  for (std::size_t i = 0; i < context.threads; ++i) {
    const bool own_arena = i == 0 || !schedule.cooperative;
    context.workspaces[i].reserve(*context.program, own_arena ? schedule.max_tokens : 0,
                                  schedule.max_sequences, scratch);
  }
}

// The chunk's inputs; `memory` holds its activations, `own` this thread's scratch.
Frame make_frame(const CheckedRequest& request, const Chunk& chunk, Workspace& memory, const Workspace& own,
                 const int32_t* cu_seqlens, uint64_t* attention_ticks) {
  const auto first = static_cast<std::size_t>(request->cu_seqlens[chunk.first]);
  Frame frame{};
  for (std::size_t i = 0; i < kMaxInputs; ++i) {
    const int32_t* ids = request.ids(i);
    frame.batch.ids[i] = ids == nullptr ? nullptr : ids + first;
  }
  frame.batch.cu_seqlens = cu_seqlens;
  frame.batch.tokens = static_cast<std::size_t>(request->cu_seqlens[chunk.last]) - first;
  frame.batch.sequences = chunk.last - chunk.first;
  frame.batch.first_token = first;
  const auto [begin, end] = request.selected_within(first, first + frame.batch.tokens);
  frame.batch.selected = request.selected() + begin;
  frame.batch.selected_count = end - begin;
  frame.arena = memory.arena();
  frame.slot_offsets = memory.slot_offsets();
  frame.scratch = own.scratch();
  frame.attention_ticks = attention_ticks;
  return frame;
}

// Copies a part of the chunk's rows of f32 into their buffers, whose padding columns are zero.
void read_inputs(const Context& context, const Frame& frame, const Chunk& chunk, Part part) {
  const std::vector<Program::Input>& inputs = context.program->inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].buffer == nullptr) continue;
    const Buffer& buffer = *inputs[i].buffer;
    const std::size_t first = buffer.rows == Rows::kTokens ? frame.batch.first_token : chunk.first;
    const float* from = static_cast<const float*>(context.request->inputs[i]) + first * buffer.columns;
    const std::size_t rows = frame.rows(buffer);
    for (std::size_t row = part.begin(rows); row < part.end(rows); ++row) {
      float* to = frame.data<float>(buffer) + row * buffer.padded_columns();
      std::copy_n(from + row * buffer.columns, buffer.columns, to);
      std::fill(to + buffer.columns, to + buffer.padded_columns(), 0.0f);
    }
  }
}

// Copies finished rows from the arena to the caller's arrays, without the padding columns.
void write_outputs(const Context& context, const Frame& frame, const Chunk& chunk) {
  const std::vector<Program::Output>& outputs = context.program->outputs();
  const auto first_selected = static_cast<std::size_t>(frame.batch.selected - context.request.selected());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::byte* to = context.request->outputs[i];
    if (to == nullptr) continue;
    const Buffer& buffer = *outputs[i].buffer;
    const std::size_t row_bytes = buffer.columns * dtype_size(buffer.dtype);
    const std::size_t first = buffer.rows == Rows::kTokens      ? frame.batch.first_token
                              : buffer.rows == Rows::kSequences ? chunk.first
                                                                : first_selected;
    to += first * row_bytes;
    const auto* from = frame.data<std::byte>(buffer);
    for (std::size_t row = 0; row < frame.rows(buffer); ++row) {
      std::memcpy(to + row * row_bytes, from + row * buffer.row_bytes(), row_bytes);
    }
  }
}

// Each piece takes the next chunk through all steps, in the memory of its thread, until there is none.
class OwnChunks final : public ThreadPool::Job {
 public:
  explicit OwnChunks(Context& context) : context_(context) {}

  std::size_t rounds() const override { return 1; }
  void run(std::size_t, std::size_t, std::size_t thread) override {
    const std::size_t chunks = context_.schedule.chunks.size();
    for (std::size_t i = next_++; i < chunks; i = next_++) run_chunk(i, thread);
  }

 private:
  void run_chunk(std::size_t index, std::size_t thread) {
    const Chunk& chunk = context_.schedule.chunks[index];
    Workspace& memory = context_.workspaces[thread];
    const std::vector<Program::Step>& steps = context_.program->steps();
    Stopwatch stopwatch(context_.profile, thread);
    const int32_t* cu_seqlens = memory.rebase(context_.request->cu_seqlens, chunk.first, chunk.last);
    const Frame frame = make_frame(context_.request, chunk, memory, memory, cu_seqlens,
                                   attention_ticks(context_.profile, thread));
    stopwatch.restart();
    read_inputs(context_, frame, chunk, {0, 1});
    for (std::size_t at = 0; at < steps.size(); ++at) {
      if ((steps[at].needed_by & context_.wanted) == 0) continue;
      steps[at].op->run(frame, {0, 1});
      stopwatch.lap(at);
    }
    write_outputs(context_, frame, chunk);
    stopwatch.lap(steps.size());
  }

  Context& context_;
  std::atomic<std::size_t> next_{0};
};

// Each round is a step of a chunk: its inputs if there are rows to read, its ops, its outputs.
class SharedChunks final : public ThreadPool::Job {
 public:
  explicit SharedChunks(Context& context) : context_(context) {
    context.rounds.clear();
    if (context.program->takes_rows()) context.rounds.push_back(kInputs);
    const std::vector<Program::Step>& steps = context.program->steps();
    for (std::size_t at = 0; at < steps.size(); ++at) {
      if ((steps[at].needed_by & context.wanted) != 0) context.rounds.push_back(at);
    }
    context.rounds.push_back(steps.size());
    context.own.assign(context.threads, {kNone, {}});
  }

  std::size_t rounds() const override { return context_.schedule.chunks.size() * context_.rounds.size(); }

  void run(std::size_t round, std::size_t piece, std::size_t thread) override {
    const std::size_t chunk = round / context_.rounds.size(),
                      at = context_.rounds[round % context_.rounds.size()];
    Stopwatch stopwatch(context_.profile, thread);
    stopwatch.restart();
    const Frame& frame = frame_of(chunk, thread);
    const std::vector<Program::Step>& steps = context_.program->steps();
    if (at == kInputs) {
      read_inputs(context_, frame, context_.schedule.chunks[chunk], {piece, context_.threads});
    } else if (at < steps.size()) {
      steps[at].op->run(frame, {piece, context_.threads});
      stopwatch.lap(at);
    } else if (piece == 0) {
      write_outputs(context_, frame, context_.schedule.chunks[chunk]);
      stopwatch.lap(at);
    }
  }

 private:
  static constexpr std::size_t kInputs = SIZE_MAX, kNone = SIZE_MAX;

  // A thread comes to a chunk in the round in which it claims its first piece.
  const Frame& frame_of(std::size_t index, std::size_t thread) {
    Context::Own& own = context_.own[thread];
    if (own.chunk != index) {
      const Chunk& chunk = context_.schedule.chunks[index];
      Workspace& memory = context_.workspaces[thread];
      const int32_t* cu_seqlens = memory.rebase(context_.request->cu_seqlens, chunk.first, chunk.last);
      own = {index, make_frame(context_.request, chunk, context_.workspaces[0], memory, cu_seqlens,
                               attention_ticks(context_.profile, thread))};
    }
    return own.frame;
  }

  Context& context_;
};

void run_chunks(Context& context, ThreadPool* pool, SharingPolicy* policy) {
  OwnChunks own(context);
  if (context.threads == 1) {
    own.run(0, 0, 0);
  } else if (context.schedule.cooperative) {
    SharedChunks shared(context);
    const uint64_t start = nanoseconds();
    const uint64_t waited = pool->run(shared);
    policy->report(waited, nanoseconds() - start);
  } else {
    pool->run(own);
  }
}

}  // namespace

// What a forked child must not use: threads that do not exist there, locks that may be held.
struct Session::State {
  explicit State(uint64_t count) : forks(count) {}

  const uint64_t forks;  // fork_count() where it was made
  std::mutex mutex;      // of what follows
  std::unique_ptr<ThreadPool> pool;
  bool pool_taken = false;
  SharingPolicy policy;  // of whoever has the pool
  std::vector<std::unique_ptr<Context>> idle;
};

Session::Session(std::shared_ptr<const Program> program, std::size_t threads,
                 std::shared_ptr<const Session> peer)
    : program_(std::move(program)), threads_(threads), peer_(std::move(peer)) {
  if (peer_ != nullptr) threads_ = peer_->threads_;
  if (!program_->finished()) throw Error(ErrorKind::kProgram, "the program is not finished");
}

Session::~Session() {
  State* state = state_.load();
  // The parent's threads are not ours to join.
  if (state != nullptr && state->forks == fork_count()) delete state;
}

// The parent's state is left alone in the child: its memory is shared until written, and small.
Session::State& Session::state() const {
  if (peer_ != nullptr) return peer_->state();
  const uint64_t forks = fork_count();
  State* current = state_.load();
  while (current == nullptr || current->forks != forks) {
    auto fresh = std::make_unique<State>(forks);
    if (state_.compare_exchange_strong(current, fresh.get())) return *fresh.release();
  }
  return *current;
}

void Session::run(const RunRequest& request, Profile* profile) const {
  const uint64_t start = profile == nullptr ? 0 : nanoseconds();
  State& state = this->state();

  // One call at a time has the threads; calls that come meanwhile run on their own thread alone.
  std::unique_ptr<Context> context;
  bool pooled = false;
  {
    const std::lock_guard lock(state.mutex);
    if (!state.idle.empty()) {
      context = std::move(state.idle.back());
      state.idle.pop_back();
    }
    pooled = threads_ > 1 && !state.pool_taken;
    if (pooled) {
      if (state.pool == nullptr) state.pool = std::make_unique<ThreadPool>(threads_);
      state.pool_taken = true;
    }
  }
  const auto release = [&] {
    const std::lock_guard lock(state.mutex);
    if (pooled) state.pool_taken = false;
    if (context != nullptr) state.idle.push_back(std::move(context));
  };

  try {
    if (context == nullptr) context = std::make_unique<Context>();
    context->program = program_.get();
    context->request.take(request, *program_);
    context->profile = profile;
    context->threads = pooled ? threads_ : 1;
    context->wanted = 0;
    for (std::size_t i = 0; i < request.outputs.size(); ++i) {
      if (request.outputs[i] != nullptr) context->wanted |= Program::OutputSet{1} << i;
    }
    context->schedule.plan(context->request->cu_seqlens, request.sequences, context->threads);
    if (context->schedule.cooperative && !state.policy.shares()) {
      context->threads = 1;
      context->schedule.plan(context->request->cu_seqlens, request.sequences, 1);
    }
    reserve(*context);
    if (profile != nullptr) {
      profile->reset(context->threads, program_->steps().size());
      profile->cooperative = context->schedule.cooperative;
    }
    run_chunks(*context, state.pool.get(), &state.policy);
  } catch (...) {
    release();
    throw;
  }
  release();
  if (profile != nullptr) profile->wall = nanoseconds() - start;
}

}  // namespace bertc
