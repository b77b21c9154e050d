// What the study has measured so far: JSON lines, one a cell, on disk as soon as it is there. A study that was
// interrupted goes on from them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "bench/efficiency/cells.h"

namespace sigma::bench {

// Decode with the real model: forward() on all layers' own caches, random weights in q8_0.
struct ForwardCell {
  int64_t prefix = 0;
  Rounds read;                            // bytes per second of this machine beside it
  std::map<std::string, Rounds> seconds;  // by variant, of a whole step
};

struct MemoryCell {
  std::string variant;
  int64_t tokens = 0;
  double resident = 0;  // bytes that the process grew by when its caches were filled
};

struct QualityCell {
  std::string name;
  int64_t v_top = 0;  // 0: all rows
  bool renormalised = false;
  std::string k_cache, v_cache;
  int64_t tokens = 0;  // scored
  double perplexity = 0;
  double change = 0, error = 0;  // of perplexity against the first cell's, in %, and its standard error
};

struct Results {
  Json header;  // the first line: "request" (what was asked, of which machine), and what was decided before measuring
  Grid grid;
  int64_t whole_output = 0;
  std::vector<StepCell> steps;
  WorkCell work;
  std::vector<ForwardCell> forward;
  std::vector<MemoryCell> memory;
  std::vector<QualityCell> quality;
  std::vector<WholePart> whole;  // in order, kWholeParts of them in the end

  const StepCell* find(int64_t prefix, int64_t batch) const;  // all its passes together
  bool whole_done() const { return whole.size() == kWholeParts; }
};

Json to_json(const StepCell& cell);
Json to_json(const WorkCell& cell);
Json to_json(const WholePart& cell);
Json to_json(const ForwardCell& cell);
Json to_json(const MemoryCell& cell);
Json to_json(const QualityCell& cell);
Json header_json(const Json& request, const Grid& grid, int64_t whole_output);

// The file of lines, which one study at a time is at work on. A last line without an end (the program was stopped while
// it wrote) is dropped; anything else that is no line of a study is an Error that says where.
class ResultsFile {
 public:
  // A file that is not there begins with make_header(); one that is goes on. Error when it answers another request.
  ResultsFile(std::string path, const Json& request, const std::function<Json()>& make_header);
  ~ResultsFile();
  ResultsFile(const ResultsFile&) = delete;
  ResultsFile& operator=(const ResultsFile&) = delete;
  const Results& results() const { return results_; }
  void add(const Json& line);

 private:
  std::string path_;
  int fd_ = -1;
  Results results_;
};

}  // namespace sigma::bench
