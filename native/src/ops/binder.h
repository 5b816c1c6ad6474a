// Gives an op its operands and attributes, and checks them: every message names step and operand.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "common/error.h"
#include "common/tensor.h"

namespace bertc {

using Attribute = std::variant<bool, int64_t, double, std::string>;

// A step as the artifact states it. An operand is the name of a buffer, a tensor or a model input.
struct StepSpec {
  std::string op;
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::map<std::string, Attribute> attributes;
};

class Binder {
 public:
  Binder(const StepSpec& step, const std::map<std::string, Buffer>& buffers,
         const std::map<std::string, Tensor>& tensors)
      : step_(step), buffers_(buffers), tensors_(tensors) {}

  // The operand must be there, of that dtype and kind; columns == kAny accepts any width.
  static constexpr std::size_t kAny = SIZE_MAX;
  const Buffer& input(std::size_t index, DType dtype, std::size_t columns = kAny) const;
  const Buffer& output(std::size_t index, DType dtype, std::size_t columns, Rows rows) const;
  const Buffer& input_any(std::size_t index) const;
  const Buffer& output_any(std::size_t index) const;
  const Tensor& tensor(std::size_t index, DType dtype, const std::vector<std::size_t>& shape) const;
  const Tensor& tensor_any(std::size_t index) const;
  bool has_input(std::size_t index) const;
  void model_input(std::size_t index, const std::string& name) const;

  int64_t integer(const std::string& name, int64_t low, int64_t high) const;
  float number(const std::string& name) const;
  // The index of the attribute's text in `choices`.
  std::size_t choice(const std::string& name, const std::vector<std::string>& choices) const;

  [[noreturn]] void fail(const std::string& message) const;
  void require(bool condition, const std::string& message) const {
    if (!condition) fail(message);
  }

 private:
  const Attribute& attribute(const std::string& name) const;
  const std::string& operand(const std::vector<std::string>& operands, std::size_t index) const;
  const Buffer& buffer(const std::string& name) const;

  const StepSpec& step_;
  const std::map<std::string, Buffer>& buffers_;
  const std::map<std::string, Tensor>& tensors_;
};

}  // namespace bertc
