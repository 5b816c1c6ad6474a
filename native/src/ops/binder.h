// Gives an op its operands and attributes, and checks them: every message names step and operand.
#pragma once

#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/error.h"
#include "common/tensor.h"

namespace bertc {

using Attribute = std::variant<bool, int64_t, double, std::string>;

// A step as the artifact states it. Inputs are by operand: each is the name of a buffer, a tensor or an
// input of the program. An operand that is absent is not in it.
struct StepSpec {
  std::string op;
  std::string name;
  std::map<std::string, std::string> inputs;
  std::vector<std::string> outputs;
  std::map<std::string, Attribute> attributes;
};

class Binder {
 public:
  Binder(const StepSpec& step, const std::map<std::string, Buffer>& buffers,
         const std::map<std::string, Tensor>& tensors, const std::map<std::string, std::size_t>& ids)
      : step_(step), buffers_(buffers), tensors_(tensors), ids_(ids) {}

  // The operand must be there, of that dtype and kind; columns == kAny accepts any width.
  static constexpr std::size_t kAny = SIZE_MAX;
  const Buffer& input(const std::string& operand, DType dtype, std::size_t columns = kAny);
  const Buffer& input_any(const std::string& operand);
  const Tensor& tensor(const std::string& operand, DType dtype, const std::vector<std::size_t>& shape);
  const Tensor& tensor_any(const std::string& operand);
  bool has(const std::string& operand);
  // The operand must be ids that the program takes; returns which of its inputs.
  std::size_t ids(const std::string& operand);
  // The op reads cu_seqlens, or which tokens are selected, by an operand of that name.
  void cu_seqlens();
  void selected();
  // The place of an optional operand that is flags (op.h), or kNoFlags.
  std::size_t flags(const std::string& operand);

  const Buffer& output(std::size_t index, DType dtype, std::size_t columns, Rows rows);
  const Buffer& output_any(std::size_t index);

  int64_t integer(const std::string& name, int64_t low, int64_t high);
  float number(const std::string& name);
  // The index of the attribute's text in `choices`.
  std::size_t choice(const std::string& name, const std::vector<std::string>& choices);
  // An attribute that a step need not have.
  bool has_attribute(const std::string& name);

  [[noreturn]] void fail(const std::string& message) const;
  void require(bool condition, const std::string& message) const {
    if (!condition) fail(message);
  }
  // Whatever the step has must have been asked for by now: what an op does not know, it would ignore.
  void require_all_known() const;

 private:
  const std::string& value_of(const std::string& operand);
  const Attribute& attribute(const std::string& name);
  const Buffer& buffer(const std::string& name) const;

  const StepSpec& step_;
  const std::map<std::string, Buffer>& buffers_;
  const std::map<std::string, Tensor>& tensors_;
  const std::map<std::string, std::size_t>& ids_;
  std::set<std::string> known_operands_, known_attributes_;
  std::size_t known_outputs_ = 0;
};

}  // namespace bertc
