#include "bench/efficiency/results.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace sigma::bench {

namespace {

// Six digits: more than any clock has, and lines that can be read.
double rounded(double x) { return std::strtod(fmt::format("{:.6g}", x).c_str(), nullptr); }

Json rounds_json(const Rounds& rounds) {
  Json json = Json::array();
  for (const double x : rounds) json.push_back(rounded(x));
  return json;
}

Json rounds_json(const std::map<std::string, Rounds>& rounds) {
  Json json = Json::object();
  for (const auto& [name, values] : rounds) json[name] = rounds_json(values);
  return json;
}

Rounds rounds_of(const Json& json) { return json.get<Rounds>(); }

std::map<std::string, Rounds> rounds_by_name(const Json& json) {
  std::map<std::string, Rounds> rounds;
  for (const auto& [name, values] : json.items()) rounds[name] = rounds_of(values);
  return rounds;
}

StepCell step_of(const Json& json) {
  StepCell cell{.prefix = json.at("prefix"),
                .batch = json.at("batch"),
                .read = rounds_of(json.at("read")),
                .read_alone = rounds_of(json.at("read_alone")),
                .operations = json.at("operations").get<std::array<double, 3>>()};
  if (cell.read_alone.size() != cell.read.size())
    throw Error("read_alone", fmt::format("{} values, as read has", cell.read.size()),
                fmt::format("{}", cell.read_alone.size()));
  for (const Variant& v : variants()) {
    const Json& s = json.at("steps").at(v.name);
    cell.steps[v.name] = {rounds_of(s.at("store")), rounds_of(s.at("attention")), rounds_of(s.at("split")),
                          rounds_of(s.at("combine"))};
  }
  for (const auto& [name, w] : json.at("weights").items())
    cell.weights[name] = {rounds_of(w.at("common")), rounds_of(w.at("augmented_q")), rounds_by_name(w.at("keys"))};
  return cell;
}

void append(Rounds& rounds, const Rounds& more) { rounds.insert(rounds.end(), more.begin(), more.end()); }

// Another pass over the same context.
void append(StepCell& cell, const StepCell& more) {
  append(cell.read, more.read);
  append(cell.read_alone, more.read_alone);
  for (size_t i = 0; i < cell.operations.size(); ++i)
    cell.operations[i] = std::max(cell.operations[i], more.operations[i]);
  for (auto& [name, step] : cell.steps) {
    const StepRounds& other = more.steps.at(name);
    append(step.store, other.store);
    append(step.attention, other.attention);
    append(step.split, other.split);
    append(step.combine, other.combine);
  }
  for (auto& [name, weights] : cell.weights) {
    const WeightRounds& other = more.weights.at(name);
    append(weights.common, other.common);
    append(weights.augmented_q, other.augmented_q);
    for (auto& [shape, rounds] : weights.keys) append(rounds, other.keys.at(shape));
  }
}

WholePart whole_of(const Json& json) {
  WholePart part{.part = json.at("part"), .read = rounds_of(json.at("read"))};
  for (const char* name : {"std", "sigma"}) {
    part.seconds[name] = json.at("seconds").at(name);
    part.typical[name] = json.at("typical").at(name);
    part.integrated[name] = json.at("integrated").at(name);
  }
  return part;
}

Grid grid_of(const Json& json) {
  Grid grid{.quick = json.at("quick"),
            .kernel_prefixes = json.at("kernel_prefixes").get<std::vector<int64_t>>(),
            .prefixes = json.at("prefixes").get<std::vector<int64_t>>(),
            .outputs = json.at("outputs").get<std::vector<int64_t>>(),
            .samples = json.at("samples").get<std::vector<int64_t>>(),
            .batch = json.at("batch"),
            .batch_samples = json.at("batch_samples").get<std::vector<int64_t>>(),
            .batch_left_out = json.at("batch_left_out").get<std::vector<int64_t>>(),
            .passes = json.at("passes"),
            .batch_passes = json.at("batch_passes"),
            .rounds = json.at("rounds"),
            .whole_seconds = json.at("whole_seconds"),
            .ring_bytes = json.at("ring_bytes")};
  for (const Json& name : json.at("weights")) {
    const auto format = format_from_name(name.get<std::string>());
    if (!format) throw Error("grid", "formats of weights", printable(name.get<std::string>()));
    grid.weights.push_back(*format);
  }
  return grid;
}

void take(Results& results, const Json& json) {
  const std::string kind = json.at("kind");
  if (kind == "study") {
    results.header = json;
    results.grid = grid_of(json.at("grid"));
    results.whole_output = json.at("whole_output");
  } else if (kind == "step") {
    StepCell cell = step_of(json);
    const auto same = std::find_if(results.steps.begin(), results.steps.end(),
                                   [&](const StepCell& c) { return c.prefix == cell.prefix && c.batch == cell.batch; });
    if (same == results.steps.end())
      results.steps.push_back(std::move(cell));
    else
      append(*same, cell);
  } else if (kind == "work") {
    for (const Variant& v : variants()) {
      const Json& work = json.at("variants").at(v.name);
      VariantWork& all = results.work[v.name];
      for (size_t at = 0; at < 2; ++at) {
        all.prefix[at] = work.at("prefix").at(at);
        append(all.seconds[at], rounds_of(work.at("seconds").at(at)));
      }
    }
  } else if (kind == "whole") {
    results.whole.push_back(whole_of(json));
    if (results.whole.back().part != std::ssize(results.whole) - 1 || results.whole.size() > kWholeParts)
      throw Error("part", fmt::format("part {} of the whole generation", results.whole.size() - 1),
                  fmt::format("{}", results.whole.back().part));
  } else if (kind == "forward") {
    results.forward.push_back({json.at("prefix"), rounds_of(json.at("read")), rounds_by_name(json.at("seconds"))});
  } else if (kind == "memory") {
    results.memory.push_back({json.at("variant"), json.at("tokens"), json.at("resident")});
  } else if (kind == "quality") {
    results.quality.push_back({json.at("name"), json.at("v_top"), json.at("renormalised"), json.at("k_cache"),
                               json.at("v_cache"), json.at("tokens"), json.at("perplexity"), json.at("change"),
                               json.at("error")});
  } else {
    throw Error("kind", "a kind of line that this program writes", printable(kind));
  }
}

Results parse(const std::string& text, const std::string& path) {
  Results results;
  int number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string where = fmt::format("{}:{}", path, ++number);
    const Json json = parse_json(std::string_view(text).substr(begin, end - begin), where);
    try {
      take(results, json);
    } catch (const Json::exception& e) {
      throw Error(where, "a line of an efficiency study", e.what());
    } catch (const std::out_of_range&) {
      throw Error(where, "the same variants and formats in every pass", "a pass without one of them");
    } catch (const Error& e) {
      throw Error(where, e.expected(), e.found());
    }
    if (number == 1 && results.header.is_null())
      throw Error(where, "the header of an efficiency study", "another line");
    begin = end + 1;
  }
  return results;
}

}  // namespace

const StepCell* Results::find(int64_t prefix, int64_t batch) const {
  const auto found = std::find_if(steps.begin(), steps.end(),
                                  [&](const StepCell& c) { return c.prefix == prefix && c.batch == batch; });
  return found == steps.end() ? nullptr : &*found;
}

Json to_json(const StepCell& cell) {
  Json steps = Json::object(), weights = Json::object();
  for (const auto& [name, step] : cell.steps)
    steps[name] = {{"store", rounds_json(step.store)},
                   {"attention", rounds_json(step.attention)},
                   {"split", rounds_json(step.split)},
                   {"combine", rounds_json(step.combine)}};
  for (const auto& [name, w] : cell.weights)
    weights[name] = {
        {"common", rounds_json(w.common)}, {"augmented_q", rounds_json(w.augmented_q)}, {"keys", rounds_json(w.keys)}};
  return {{"kind", "step"},
          {"prefix", cell.prefix},
          {"batch", cell.batch},
          {"read", rounds_json(cell.read)},
          {"read_alone", rounds_json(cell.read_alone)},
          {"operations", cell.operations},
          {"steps", steps},
          {"weights", weights}};
}

Json to_json(const WorkCell& cell) {
  Json all = Json::object();
  for (const auto& [name, work] : cell)
    all[name] = {{"prefix", work.prefix}, {"seconds", {rounds_json(work.seconds[0]), rounds_json(work.seconds[1])}}};
  return {{"kind", "work"}, {"variants", all}};
}

Json to_json(const WholePart& cell) {
  return {{"kind", "whole"},         {"part", cell.part},       {"read", rounds_json(cell.read)},
          {"seconds", cell.seconds}, {"typical", cell.typical}, {"integrated", cell.integrated}};
}

Json to_json(const ForwardCell& cell) {
  return {{"kind", "forward"},
          {"prefix", cell.prefix},
          {"read", rounds_json(cell.read)},
          {"seconds", rounds_json(cell.seconds)}};
}

Json to_json(const MemoryCell& cell) {
  return {{"kind", "memory"}, {"variant", cell.variant}, {"tokens", cell.tokens}, {"resident", cell.resident}};
}

Json to_json(const QualityCell& cell) {
  return {{"kind", "quality"},       {"name", cell.name},
          {"v_top", cell.v_top},     {"renormalised", cell.renormalised},
          {"k_cache", cell.k_cache}, {"v_cache", cell.v_cache},
          {"tokens", cell.tokens},   {"perplexity", cell.perplexity},
          {"change", cell.change},   {"error", cell.error}};
}

Json header_json(const Json& request, const Grid& grid, int64_t whole_output) {
  Json weights = Json::array();
  for (const Format format : grid.weights) weights.push_back(format_info(format).name);
  const Json json = {{"quick", grid.quick},
                     {"kernel_prefixes", grid.kernel_prefixes},
                     {"prefixes", grid.prefixes},
                     {"outputs", grid.outputs},
                     {"samples", grid.samples},
                     {"batch", grid.batch},
                     {"batch_samples", grid.batch_samples},
                     {"batch_left_out", grid.batch_left_out},
                     {"weights", weights},
                     {"passes", grid.passes},
                     {"batch_passes", grid.batch_passes},
                     {"rounds", grid.rounds},
                     {"whole_seconds", grid.whole_seconds},
                     {"ring_bytes", grid.ring_bytes}};
  return {{"kind", "study"}, {"request", request}, {"grid", json}, {"whole_output", whole_output}};
}

ResultsFile::ResultsFile(std::string path, const Json& request, const std::function<Json()>& make_header)
    : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) throw Error(path_, "a file that can be written", std::generic_category().message(errno));
  try {
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) throw Error(path_, "a study that nobody is at work on", "one at work");
    const std::string text = read_file(path_);
    results_ = parse(text, path_);
    const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    if (whole < text.size() && ::ftruncate(fd_, static_cast<off_t>(whole)) != 0)
      throw Error(path_, "a file that can be cut", std::generic_category().message(errno));
    if (results_.header.is_null()) {
      add(make_header());
      return;
    }
    const Json& before = results_.header.at("request");
    if (before != request)
      throw Error(path_,
                  fmt::format("a study of the same request to go on with ({}), or another --out", request.dump()),
                  before.dump());
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

ResultsFile::~ResultsFile() { ::close(fd_); }

void ResultsFile::add(const Json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (::write(fd_, text.data(), text.size()) != std::ssize(text))
    throw Error(path_, "room to add a line", "a failed write");
  take(results_, line);
}

}  // namespace sigma::bench
