#include "session/session.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "session/checked_request.h"
#include "session/schedule.h"
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
  ThreadPool* pool = nullptr;         // null: this thread alone
  std::size_t threads = 1;
  std::atomic<std::size_t> next_chunk{0};
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
void read_inputs(const Context& context, const Frame& frame, Part part) {
  const std::vector<Program::Input>& inputs = context.program->inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].buffer == nullptr) continue;
    const Buffer& buffer = *inputs[i].buffer;
    const float* from =
        static_cast<const float*>(context.request->inputs[i]) + frame.batch.first_token * buffer.columns;
    for (std::size_t row = part.begin(frame.batch.tokens); row < part.end(frame.batch.tokens); ++row) {
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

void run_own_chunks(Context& context, std::size_t thread) {
  Workspace& memory = context.workspaces[thread];
  const std::vector<Chunk>& chunks = context.schedule.chunks;
  const std::vector<Program::Step>& steps = context.program->steps();
  Stopwatch stopwatch(context.profile, thread);
  for (std::size_t i = context.next_chunk++; i < chunks.size(); i = context.next_chunk++) {
    const int32_t* cu_seqlens = memory.rebase(context.request->cu_seqlens, chunks[i].first, chunks[i].last);
    const Frame frame = make_frame(context.request, chunks[i], memory, memory, cu_seqlens,
                                   attention_ticks(context.profile, thread));
    stopwatch.restart();
    read_inputs(context, frame, {0, 1});
    for (std::size_t at = 0; at < steps.size(); ++at) {
      if ((steps[at].needed_by & context.wanted) == 0) continue;
      steps[at].op->run(frame, {0, 1});
      stopwatch.lap(at);
    }
    write_outputs(context, frame, chunks[i]);
    stopwatch.lap(steps.size());
  }
}

void run_shared_chunks(Context& context, std::size_t thread) {
  Workspace& own = context.workspaces[thread];
  Workspace& memory = context.workspaces[0];
  const std::vector<Program::Step>& steps = context.program->steps();
  Stopwatch stopwatch(context.profile, thread);
  for (const Chunk& chunk : context.schedule.chunks) {
    const int32_t* cu_seqlens = own.rebase(context.request->cu_seqlens, chunk.first, chunk.last);
    const Frame frame =
        make_frame(context.request, chunk, memory, own, cu_seqlens, attention_ticks(context.profile, thread));
    stopwatch.restart();
    if (context.program->takes_rows()) {
      read_inputs(context, frame, {thread, context.threads});
      context.pool->meet();
    }
    for (std::size_t at = 0; at < steps.size(); ++at) {
      if ((steps[at].needed_by & context.wanted) == 0) continue;
      steps[at].op->run(frame, {thread, context.threads});
      stopwatch.lap(at);
      context.pool->meet();
      stopwatch.restart();
    }
    if (thread == 0) write_outputs(context, frame, chunk);
    stopwatch.lap(steps.size());
    context.pool->meet();
  }
}

void run_thread(void* argument, std::size_t thread) {
  auto& context = *static_cast<Context*>(argument);
  if (context.schedule.cooperative) {
    run_shared_chunks(context, thread);
  } else {
    run_own_chunks(context, thread);
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
  std::vector<std::unique_ptr<Context>> idle;
};

Session::Session(std::shared_ptr<const Program> program, std::size_t threads)
    : program_(std::move(program)), threads_(threads) {
  if (!program_->finished()) throw Error(ErrorKind::kProgram, "the program is not finished");
}

Session::~Session() {
  State* state = state_.load();
  // The parent's threads are not ours to join.
  if (state != nullptr && state->forks == fork_count()) delete state;
}

// The parent's state is left alone in the child: its memory is shared until written, and small.
Session::State& Session::state() const {
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
    context->pool = pooled ? state.pool.get() : nullptr;
    context->next_chunk = 0;
    context->wanted = 0;
    for (std::size_t i = 0; i < request.outputs.size(); ++i) {
      if (request.outputs[i] != nullptr) context->wanted |= Program::OutputSet{1} << i;
    }
    context->schedule.plan(context->request->cu_seqlens, request.sequences, context->threads);
    reserve(*context);
    if (profile != nullptr) {
      profile->reset(context->threads, program_->steps().size());
      profile->cooperative = context->schedule.cooperative;
    }
    if (pooled) {
      context->pool->run(run_thread, context.get());
    } else {
      run_thread(context.get(), 0);
    }
  } catch (...) {
    release();
    throw;
  }
  release();
  if (profile != nullptr) profile->wall = nanoseconds() - start;
}

}  // namespace bertc
