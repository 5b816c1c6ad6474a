#include "ops/binder.h"

#include <cmath>

namespace bertc {

void Binder::fail(const std::string& message) const {
  throw Error(ErrorKind::kProgram, "step '" + step_.name + "' (" + step_.op + "): " + message);
}

const std::string& Binder::operand(const std::vector<std::string>& operands, std::size_t index) const {
  if (index >= operands.size() || operands[index].empty())
    fail("operand " + std::to_string(index) + " is missing");
  return operands[index];
}

bool Binder::has_input(std::size_t index) const {
  return index < step_.inputs.size() && !step_.inputs[index].empty();
}

const Buffer& Binder::buffer(const std::string& name) const {
  const auto found = buffers_.find(name);
  if (found == buffers_.end()) fail("there is no buffer '" + name + "'");
  return found->second;
}

const Buffer& Binder::input_any(std::size_t index) const { return buffer(operand(step_.inputs, index)); }

const Buffer& Binder::output_any(std::size_t index) const { return buffer(operand(step_.outputs, index)); }

const Buffer& Binder::input(std::size_t index, DType dtype, std::size_t columns) const {
  const Buffer& found = input_any(index);
  require(found.dtype == dtype, "'" + found.name + "' must be " + std::string(dtype_name(dtype)));
  require(columns == kAny ? found.columns > 0 : found.columns == columns,
          "'" + found.name + "' has " + std::to_string(found.columns) + " columns");
  return found;
}

const Buffer& Binder::output(std::size_t index, DType dtype, std::size_t columns, Rows rows) const {
  const Buffer& found = output_any(index);
  require(found.dtype == dtype && found.columns == columns && found.rows == rows,
          "output '" + found.name + "' has the wrong dtype, columns or rows");
  return found;
}

const Tensor& Binder::tensor_any(std::size_t index) const {
  const std::string& name = operand(step_.inputs, index);
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail("there is no tensor '" + name + "'");
  return found->second;
}

const Tensor& Binder::tensor(std::size_t index, DType dtype, const std::vector<std::size_t>& shape) const {
  const Tensor& found = tensor_any(index);
  require(found.dtype == dtype, "tensor '" + found.name + "' must be " + std::string(dtype_name(dtype)));
  require(found.shape == shape, "tensor '" + found.name + "' has the wrong shape");
  return found;
}

void Binder::model_input(std::size_t index, const std::string& name) const {
  require(operand(step_.inputs, index) == name, "operand " + std::to_string(index) + " must be " + name);
}

const Attribute& Binder::attribute(const std::string& name) const {
  const auto found = step_.attributes.find(name);
  if (found == step_.attributes.end()) fail("attribute '" + name + "' is missing");
  return found->second;
}

int64_t Binder::integer(const std::string& name, int64_t low, int64_t high) const {
  const auto* value = std::get_if<int64_t>(&attribute(name));
  require(value != nullptr && *value >= low && *value <= high,
          "attribute '" + name + "' must be an integer from " + std::to_string(low) + " to " +
              std::to_string(high));
  return *value;
}

float Binder::number(const std::string& name) const {
  const Attribute& value = attribute(name);
  const auto* real = std::get_if<double>(&value);
  const auto* whole = std::get_if<int64_t>(&value);
  require(real != nullptr || whole != nullptr, "attribute '" + name + "' must be a number");
  const auto number = static_cast<float>(real != nullptr ? *real : static_cast<double>(*whole));
  require(std::isfinite(number), "attribute '" + name + "' must be finite");
  return number;
}

std::size_t Binder::choice(const std::string& name, const std::vector<std::string>& choices) const {
  const auto* text = std::get_if<std::string>(&attribute(name));
  std::string known;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (text != nullptr && *text == choices[i]) return i;
    known += (i == 0 ? "" : ", ") + choices[i];
  }
  fail("attribute '" + name + "' must be one of " + known);
}

}  // namespace bertc
