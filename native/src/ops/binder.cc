#include "ops/binder.h"

#include <algorithm>
#include <cmath>

#include "ops/op.h"

namespace bertc {

void Binder::fail(const std::string& message) const {
  throw Error(ErrorKind::kProgram, "step '" + step_.name + "' (" + step_.op + "): " + message);
}

void Binder::require_all_known() const {
  const auto check = [&](const auto& found, const std::set<std::string>& known, const std::string& what) {
    for (const auto& [name, value] : found) {
      require(known.count(name) != 0,
              "this op knows no " + what + " '" + name + "': the file may need a newer bertc");
    }
  };
  check(step_.inputs, known_operands_, "input");
  check(step_.attributes, known_attributes_, "attribute");
  require(step_.outputs.size() == known_outputs_,
          "this op has " + std::to_string(known_outputs_) + " outputs, the step " +
              std::to_string(step_.outputs.size()) + ": the file may need a newer bertc");
}

bool Binder::has(const std::string& operand) {
  known_operands_.insert(operand);
  return step_.inputs.count(operand) != 0;
}

const std::string& Binder::value_of(const std::string& operand) {
  if (!has(operand)) fail("input '" + operand + "' is missing");
  return step_.inputs.at(operand);
}

const Buffer& Binder::buffer(const std::string& name) const {
  const auto found = buffers_.find(name);
  if (found == buffers_.end()) fail("there is no buffer '" + name + "'");
  return found->second;
}

const Buffer& Binder::input_any(const std::string& operand) { return buffer(value_of(operand)); }

const Buffer& Binder::input(const std::string& operand, DType dtype, std::size_t columns) {
  const Buffer& found = input_any(operand);
  require(found.dtype == dtype, "'" + found.name + "' must be " + std::string(dtype_name(dtype)));
  require(columns == kAny ? found.columns > 0 : found.columns == columns,
          "'" + found.name + "' has " + std::to_string(found.columns) + " columns");
  return found;
}

const Buffer& Binder::output_any(std::size_t index) {
  known_outputs_ = std::max(known_outputs_, index + 1);
  if (index >= step_.outputs.size()) fail("output " + std::to_string(index) + " is missing");
  return buffer(step_.outputs[index]);
}

const Buffer& Binder::output(std::size_t index, DType dtype, std::size_t columns, Rows rows) {
  const Buffer& found = output_any(index);
  require(found.dtype == dtype && found.columns == columns && found.rows == rows,
          "output '" + found.name + "' has the wrong dtype, columns or rows");
  return found;
}

const Tensor& Binder::tensor_any(const std::string& operand) {
  const std::string& name = value_of(operand);
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail("there is no tensor '" + name + "'");
  return found->second;
}

const Tensor& Binder::tensor(const std::string& operand, DType dtype, const std::vector<std::size_t>& shape) {
  const Tensor& found = tensor_any(operand);
  require(found.dtype == dtype, "tensor '" + found.name + "' must be " + std::string(dtype_name(dtype)));
  require(found.shape == shape, "tensor '" + found.name + "' has the wrong shape");
  return found;
}

std::size_t Binder::ids(const std::string& operand) {
  const std::string& name = value_of(operand);
  const auto found = ids_.find(name);
  if (found == ids_.end()) fail("the program takes no ids '" + name + "'");
  return found->second;
}

std::size_t Binder::flags(const std::string& operand) { return has(operand) ? ids(operand) : kNoFlags; }

void Binder::cu_seqlens() {
  require(value_of("cu_seqlens") == "cu_seqlens", "input 'cu_seqlens' must be cu_seqlens");
}

void Binder::selected() { require(value_of("selected") == "selected", "input 'selected' must be selected"); }

bool Binder::has_attribute(const std::string& name) {
  known_attributes_.insert(name);
  return step_.attributes.count(name) != 0;
}

const Attribute& Binder::attribute(const std::string& name) {
  if (!has_attribute(name)) fail("attribute '" + name + "' is missing");
  return step_.attributes.at(name);
}

int64_t Binder::integer(const std::string& name, int64_t low, int64_t high) {
  const auto* value = std::get_if<int64_t>(&attribute(name));
  require(value != nullptr && *value >= low && *value <= high,
          "attribute '" + name + "' must be an integer from " + std::to_string(low) + " to " +
              std::to_string(high));
  return *value;
}

float Binder::number(const std::string& name) {
  const Attribute& value = attribute(name);
  const auto* real = std::get_if<double>(&value);
  const auto* whole = std::get_if<int64_t>(&value);
  require(real != nullptr || whole != nullptr, "attribute '" + name + "' must be a number");
  const auto number = static_cast<float>(real != nullptr ? *real : static_cast<double>(*whole));
  require(std::isfinite(number), "attribute '" + name + "' must be finite");
  return number;
}

std::size_t Binder::choice(const std::string& name, const std::vector<std::string>& choices) {
  const auto* text = std::get_if<std::string>(&attribute(name));
  std::string known;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (text != nullptr && *text == choices[i]) return i;
    known += (i == 0 ? "" : ", ") + choices[i];
  }
  fail("attribute '" + name + "' must be one of " + known);
}

}  // namespace bertc
