// The Python face of the native core: converts arrays, releases the GIL, maps errors. Nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "common/clock.h"
#include "common/unit_rows.h"
#include "program/program.h"
#include "queue/batch_queue.h"
#include "session/session.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using InputRows = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutputRows = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::c_contig, nb::device::cpu>;

// A program, and the arrays that its tensors live in.
struct PyProgram {
  std::shared_ptr<bertc::Program> program;
  std::vector<Bytes> memory;
};

void add_tensor(PyProgram& self, const std::string& name, const std::string& dtype,
                const std::vector<std::size_t>& shape, Bytes bytes) {
  const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
  self.program->add_tensor({name, bertc::parse_dtype(dtype), shape, data}, bytes.nbytes());
  self.memory.push_back(std::move(bytes));
}

void add_buffer(PyProgram& self, const std::string& name, const std::string& dtype, const std::string& rows,
                std::size_t columns, std::size_t slot) {
  self.program->add_buffer({name, bertc::parse_dtype(dtype), bertc::parse_rows(rows), columns, slot});
}

void add_input(PyProgram& self, const std::string& name, const std::string& dtype, const std::string& rows,
               std::size_t columns) {
  self.program->add_input(name, bertc::parse_dtype(dtype), bertc::parse_rows(rows), columns);
}

void add_step(PyProgram& self, const std::string& op, const std::string& name,
              std::map<std::string, std::string> inputs, std::vector<std::string> outputs,
              std::map<std::string, bertc::Attribute> attributes) {
  self.program->add_step({op, name, std::move(inputs), std::move(outputs), std::move(attributes)});
}

struct PySession {
  std::shared_ptr<bertc::Session> session;
  std::vector<Bytes> memory;
};

using Port = std::tuple<std::string, std::string, std::string, std::size_t>;

std::vector<Port> inputs(const PySession& self) {
  std::vector<Port> ports;
  for (const auto& input : self.session->program().inputs()) {
    ports.emplace_back(input.name, std::string(dtype_name(input.dtype)), std::string(rows_name(input.rows)),
                       input.columns());
  }
  return ports;
}

std::vector<Port> outputs(const PySession& self) {
  std::vector<Port> rows;
  for (const auto& output : self.session->program().outputs()) {
    rows.emplace_back(output.name, std::string(dtype_name(output.buffer->dtype)),
                      std::string(rows_name(output.buffer->rows)), output.buffer->columns);
  }
  return rows;
}

[[noreturn]] void fail(const std::string& message) { throw bertc::Error(bertc::ErrorKind::kInput, message); }

// The address of an input's array, after a look at its dtype and shape.
const void* input_data(const bertc::Program::Input& input, const nb::handle& value,
                       bertc::RunRequest& request) {
  const std::size_t tokens = request.tokens;
  if (value.is_none()) return nullptr;
  if (input.buffer == nullptr) {
    Ids ids;
    if (!nb::try_cast(value, ids, false)) fail("'" + input.name + "' is not a row of int32");
    if (input.rows == bertc::Rows::kSelected) {
      request.selected = ids.size();
    } else if (ids.size() != tokens) {
      fail("'" + input.name + "' has " + std::to_string(ids.size()) + " elements, but there are " +
           std::to_string(tokens) + " tokens: all id arrays must have one element per token");
    }
    return ids.data();
  }
  InputRows rows;
  const std::size_t count = input.rows == bertc::Rows::kTokens ? tokens : request.sequences;
  if (!nb::try_cast(value, rows, false) || rows.shape(0) != count || rows.shape(1) != input.buffer->columns) {
    fail("'" + input.name + "' is not an array of float32 [" + std::to_string(count) + ", " +
         std::to_string(input.buffer->columns) + "]");
  }
  return rows.data();
}

// `inputs` has an entry for each program input: None, or its array, with a row for each of `tokens`.
// `outputs` has an entry for each program output: None, or an array of the right size.
// They are no std::vector, which would be made anew on the heap in each call.
bertc::RunRequest make_request(const PySession& self, std::size_t tokens, const Ids& cu_seqlens,
                               const nb::list& inputs, const nb::list& outputs) {
  bertc::RunRequest request{};
  request.tokens = tokens;
  request.cu_seqlens = cu_seqlens.data();
  request.sequences = cu_seqlens.size() == 0 ? 0 : cu_seqlens.size() - 1;
  const auto& taken = self.session->program().inputs();
  if (inputs.size() != taken.size()) fail("one input array, or None, for each input");
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    request.inputs[i] = input_data(taken[i], inputs[i], request);
  }

  const auto& known = self.session->program().outputs();
  if (outputs.size() != known.size()) fail("one output array, or None, for each output");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].is_none()) continue;
    Output array;
    if (!nb::try_cast(outputs[i], array, false)) {
      fail("the array for output '" + known[i].name + "' is not writable and contiguous");
    }
    const bertc::Buffer& buffer = *known[i].buffer;
    const std::size_t rows = buffer.rows == bertc::Rows::kTokens      ? request.tokens
                             : buffer.rows == bertc::Rows::kSequences ? request.sequences
                                                                      : request.selected;
    if (array.nbytes() != rows * buffer.columns * dtype_size(buffer.dtype)) {
      fail("the array for output '" + known[i].name + "' has the wrong size");
    }
    request.outputs[i] = reinterpret_cast<std::byte*>(array.data());
  }
  return request;
}

void run_with(const PySession& self, std::size_t tokens, const Ids& cu_seqlens, const nb::list& inputs,
              const nb::list& outputs, bertc::Profile* profile) {
  const bertc::RunRequest request = make_request(self, tokens, cu_seqlens, inputs, outputs);
  const nb::gil_scoped_release release;
  self.session->run(request, profile);
}

void run(const PySession& self, std::size_t tokens, const Ids& cu_seqlens, const nb::list& inputs,
         const nb::list& outputs) {
  run_with(self, tokens, cu_seqlens, inputs, outputs, nullptr);
}

// Threads, whether they shared each op, nanoseconds of the run, [threads, steps + 1] of them, and ticks
// [threads, parts] inside of attention if they are asked for.
std::tuple<std::size_t, bool, uint64_t, std::vector<uint64_t>, std::vector<uint64_t>> profile(
    const PySession& self, bool inside_attention, std::size_t tokens, const Ids& cu_seqlens,
    const nb::list& inputs, const nb::list& outputs) {
  bertc::Profile found;
  found.inside_attention = inside_attention;
  run_with(self, tokens, cu_seqlens, inputs, outputs, &found);
  return {found.threads, found.cooperative, found.wall, std::move(found.times),
          std::move(found.attention_ticks)};
}

// A queue, and what its requests point to: arrays and sessions live until their request is given back.
struct PyQueue {
  std::optional<bertc::BatchQueue> queue;
  std::unordered_map<bertc::BatchQueue::Id, nb::object> alive;

  explicit PyQueue(std::size_t max_batch_tokens) { queue.emplace(max_batch_tokens); }
  ~PyQueue() {
    const nb::gil_scoped_release release;
    queue.reset();
  }
};

bertc::BatchQueue::Id submit(PyQueue& self, const nb::object& session, std::size_t tokens,
                             const nb::object& cu_seqlens, const nb::list& inputs, const nb::list& outputs,
                             double timeout) {
  const auto& py_session = nb::cast<const PySession&>(session);
  const auto bounds = nb::cast<Ids>(cu_seqlens);
  const bertc::RunRequest request = make_request(py_session, tokens, bounds, inputs, outputs);
  const uint64_t deadline = timeout <= 0 ? 0 : bertc::nanoseconds() + static_cast<uint64_t>(timeout * 1e9);
  nb::object alive = nb::make_tuple(session, cu_seqlens, inputs, outputs);
  const auto id = self.queue->submit(py_session.session, request, deadline);
  self.alive.emplace(id, std::move(alive));
  return id;
}

bool cancel(PyQueue& self, bertc::BatchQueue::Id id) {
  const bool was_waiting = self.queue->cancel(id);
  if (was_waiting) self.alive.erase(id);
  return was_waiting;
}

// Of each request that has ended: its id, how it ended ("done", "failed" or "expired"), an error message, the
// nanoseconds that it waited and ran, and the tokens of its batch.
nb::list take_finished(PyQueue& self) {
  constexpr const char* kOutcomes[] = {"done", "failed", "expired"};
  nb::list all;
  for (const auto& each : self.queue->take_finished()) {
    self.alive.erase(each.id);
    all.append(nb::make_tuple(each.id, kOutcomes[static_cast<int>(each.outcome)], each.error, each.queued_ns,
                              each.run_ns, each.batch_tokens));
  }
  return all;
}

nb::dict load(const PyQueue& self) {
  const bertc::BatchQueue::Load load = self.queue->load();
  nb::dict found;
  found["waiting_requests"] = load.waiting_requests;
  found["waiting_tokens"] = load.waiting_tokens;
  found["running_tokens"] = load.running_tokens;
  found["running_ns"] = load.running_ns;
  found["batches"] = load.batches;
  found["requests"] = load.requests;
  found["tokens"] = load.tokens;
  found["busy_ns"] = load.busy_ns;
  return found;
}

std::size_t run_peak(const std::string& isa, const std::string& dtype, std::size_t iterations) {
  const bertc::Kernels kernels = bertc::select_kernels(bertc::choose_isa(isa));
  const std::map<std::string, bertc::PeakKernel> peaks = {{"f32", kernels.peak_f32},
                                                          {"bf16", kernels.peak_bf16},
                                                          {"i8", kernels.peak_int8},
                                                          {"i8_fours", kernels.peak_int8_fours}};
  const auto peak = peaks.find(dtype);
  if (peak == peaks.end()) {
    throw bertc::Error(bertc::ErrorKind::kInput, "there is a peak of f32, bf16, i8 and i8_fours only");
  }
  const nb::gil_scoped_release release;
  return peak->second(iterations);
}

// What compiled this file, and so the kernels: counts of instructions hold for one compiler.
std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#else
  return "GCC " __VERSION__;
#endif
}

// Reads the array once; the sum keeps the compiler from leaving that out.
uint64_t read_memory(const Bytes& bytes) {
  const nb::gil_scoped_release release;
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  uint64_t sums[8] = {};
  for (std::size_t i = 0; i + 8 <= bytes.size() / 8; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

// Up to so many numbers, to let go of the GIL and to get it back costs more than the work.
constexpr std::size_t kFewNumbers = 1 << 16;

// The least sum of the squares of a row, and that of all rows.
std::pair<double, double> squares_of(const InputRows& rows) {
  std::optional<nb::gil_scoped_release> release;
  if (rows.size() > kFewNumbers) release.emplace();
  const bertc::Squares found = bertc::squares_of(rows.data(), rows.shape(0), rows.shape(1));
  return {found.least, found.all};
}

void unit_rows(const InputRows& rows, const OutputRows& out) {
  if (rows.shape(0) != out.shape(0) || rows.shape(1) != out.shape(1)) fail("two arrays of one shape");
  std::optional<nb::gil_scoped_release> release;
  if (rows.size() > kFewNumbers) release.emplace();
  bertc::unit_rows(rows.data(), rows.shape(0), rows.shape(1), out.data());
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const bertc::Error& error) {
    const char* name = error.kind() == bertc::ErrorKind::kInput ? "InputError" : "ArtifactError";
    const nb::object type = nb::module_::import_("bertc.errors").attr(name);
    PyErr_SetString(type.ptr(), error.what());
  }
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "bertc's native core: programs, sessions, instruction sets.";
  // Sessions may outlive the module at interpreter exit; that is not worth a message.
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate);

  m.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const bertc::Isa& isa : bertc::supported_isas()) names.emplace_back(isa.name);
    return names;
  });
  m.def("op_names", [] {
    std::vector<std::string> names;
    for (const bertc::OpRow& row : bertc::op_table()) names.emplace_back(row.name);
    return names;
  });

  m.def("compiler", compiler);
  m.def("run_peak", run_peak, "isa"_a, "dtype"_a, "iterations"_a);
  m.def("squares_of", squares_of, "rows"_a);
  m.def("unit_rows", unit_rows, "rows"_a, "out"_a);
  m.def("read_memory", read_memory, "bytes"_a);

  nb::class_<PyProgram>(m, "Program")
      .def(
          "__init__",
          [](PyProgram* self, const std::string& isa) {
            const bertc::Kernels kernels = bertc::select_kernels(bertc::choose_isa(isa));
            new (self) PyProgram{std::make_shared<bertc::Program>(kernels), {}};
          },
          "isa"_a = "")
      .def("add_slot",
           [](PyProgram& self, std::size_t bytes_per_row) { self.program->add_slot(bytes_per_row); })
      .def("add_tensor", add_tensor, "name"_a, "dtype"_a, "shape"_a, "bytes"_a)
      .def("add_buffer", add_buffer, "name"_a, "dtype"_a, "rows"_a, "columns"_a, "slot"_a)
      .def("add_input", add_input, "name"_a, "dtype"_a, "rows"_a, "columns"_a)
      .def("add_step", add_step, "op"_a, "name"_a, "inputs"_a, "outputs"_a, "attributes"_a)
      .def("add_output", [](PyProgram& self, const std::string& name,
                            const std::string& buffer) { self.program->add_output(name, buffer); })
      .def("finish", [](PyProgram& self) { self.program->finish(); });

  nb::class_<PySession>(m, "Session")
      .def(
          "__init__",
          [](PySession* self, const PyProgram& program, std::size_t num_threads, const PySession* peer) {
            if (num_threads < 1 || num_threads > 1024) {
              throw bertc::Error(bertc::ErrorKind::kInput, "num_threads must be from 1 to 1024");
            }
            std::shared_ptr<const bertc::Session> lender = peer == nullptr ? nullptr : peer->session;
            new (self)
                PySession{std::make_shared<bertc::Session>(program.program, num_threads, std::move(lender)),
                          program.memory};
          },
          "program"_a, "num_threads"_a, nb::arg("peer").none() = nb::none())
      .def_prop_ro("isa",
                   [](const PySession& self) { return std::string(self.session->program().isa().name); })
      .def_prop_ro("num_threads", [](const PySession& self) { return self.session->threads(); })
      .def_prop_ro("inputs", inputs)
      .def_prop_ro("outputs", outputs)
      .def("run", run, "tokens"_a, "cu_seqlens"_a, "inputs"_a, "outputs"_a)
      .def("profile", profile, "inside_attention"_a, "tokens"_a, "cu_seqlens"_a, "inputs"_a, "outputs"_a);

  nb::class_<PyQueue>(m, "Queue")
      .def(
          "__init__",
          [](PyQueue* self, std::size_t max_batch_tokens) { new (self) PyQueue(max_batch_tokens); },
          "max_batch_tokens"_a)
      .def("submit", submit, "session"_a, "tokens"_a, "cu_seqlens"_a, "inputs"_a, "outputs"_a, "timeout"_a)
      .def("cancel", cancel, "id"_a)
      .def("take_finished", take_finished)
      .def("fileno", [](const PyQueue& self) { return self.queue->descriptor(); })
      .def("load", load);
}
