#include "apps/train_report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "apps/session.h"
#include "base/error.h"

namespace sigma {

namespace {

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

// "; a process sent 1.2 MB, has 130 MB": the most of any, in this step and so far.
std::string of_processes(const Json& e) {
  if (!e.contains("bytes_sent")) return "";
  const auto most = [&](const char* key) {
    const auto all = e[key].get<std::vector<double>>();
    return *std::max_element(all.begin(), all.end()) / 1e6;
  };
  return fmt::format("; a process sent {:.1f} MB, has {:.0f} MB", most("bytes_sent"), most("peak_bytes"));
}

}  // namespace

TrainReport::TrainReport(Form form) : form_(form), terminal_(::isatty(STDERR_FILENO) == 1) {}

void TrainReport::line(const std::string& text) {
  std::fprintf(stderr, "%s%s\n", passing_ ? "\r\x1b[K" : "", text.c_str());
  passing_ = false;
}

// On a terminal the line is renewed every step; every `every_` steps it stays.
void TrainReport::show_step(const Json& e) {
  const auto step = e["step"].get<int64_t>();
  const std::string text =
      fmt::format("step {}/{}  loss {:.4f}  rate {:.2e}  norm {:.2f}  {:.0f} tokens/s  MFU {:.1f}%  {} left{}", step,
                  steps_, e["loss"].get<double>(), e["learning_rate"].get<double>(), e["gradient_norm"].get<double>(),
                  e["tokens_per_second"].get<double>(), 100 * e["mfu"].get<double>(),
                  duration(e["seconds_left"].get<double>()), of_processes(e));
  if (step % every_ == 0 || step == steps_) return line(text);
  if (!terminal_) return;
  std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
  std::fflush(stderr);
  passing_ = true;
}

void TrainReport::operator()(const Json& e) {
  if (form_ == Form::json) {
    print_json(e);
    std::fflush(stdout);
    return;
  }
  const auto event = e["event"].get<std::string>();
  if (event == "start" || event == "resume") {
    steps_ = e["steps"].get<int64_t>();
    line(fmt::format("{} {}: {:.1f} M parameters, {}, {} steps{}; {} multiplies at {:.0f} GFLOP/s",
                     event == "start" ? "training from" : "going on from", e["from"].get<std::string>(),
                     e["parameters"].get<double>() / 1e6, e["precision"].get<std::string>(),
                     steps_ - e["step"].get<int64_t>(),
                     e["processes"] == 1 ? "" : fmt::format(" on {} processes", e["processes"].get<int>()),
                     e["products"].get<std::string>(), e["products_per_second"].get<double>() / 1e9));
  } else if (event == "data") {
    line(fmt::format("{}: {} conversations in {} rows, {} held back; {} cut to a row, {} without an answer left out",
                     e["phase"].get<std::string>(), e["conversations"].get<int64_t>(), e["rows"].get<int64_t>(),
                     e["validation_rows"].get<int64_t>(), e["cut"].get<int64_t>(), e["left_out"].get<int64_t>()));
  } else if (event == "step") {
    show_step(e);
  } else if (event == "skipped") {
    line(fmt::format("step {}: left out, {}", e["step"].get<int64_t>(), e["why"].get<std::string>()));
  } else if (event == "validation") {
    line(fmt::format("step {}: validation loss {:.4f}", e["step"].get<int64_t>(), e["validation_loss"].get<double>()));
  } else if (event == "sample") {
    line(fmt::format("step {}: {}[{}]", e["step"].get<int64_t>(), e["prompt"].get<std::string>(),
                     printable(e["text"].get<std::string>(), 400)));
  } else if (event == "damaged") {
    line("a damaged checkpoint is passed over: " + e["what"].get<std::string>());
  } else if (event == "checkpoint") {
    line(fmt::format("step {}: saved {}", e["step"].get<int64_t>(), e["path"].get<std::string>()));
  } else if (event == "done") {
    line(fmt::format("done: {}", e["checkpoint"].get<std::string>()));
  }
}

void TrainReport::failed(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    line(std::string("error: ") + e.what());
  }
}

}  // namespace sigma
