// What sigma train and sigma sft print: lines for people on standard error, or every event as JSON on standard output.
#pragma once

#include <cstdint>
#include <exception>

#include "base/json.h"

namespace sigma {

class TrainReport {
 public:
  enum class Form : uint8_t { text, json };
  explicit TrainReport(Form form);
  void every(int64_t steps) { every_ = steps; }  // of steps, which lines are shown
  void operator()(const Json& event);
  void failed(const std::exception_ptr& error);

 private:
  void show_step(const Json& event);
  void line(const std::string& text);
  Form form_;
  bool terminal_, passing_ = false;  // passing: the last line gives way to the next
  int64_t every_ = 10, steps_ = 0;
};

}  // namespace sigma
