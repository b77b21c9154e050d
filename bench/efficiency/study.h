// The efficiency study from beginning to end: what it will measure is decided and written down first, then measured
// cell by cell into FOLDER/efficiency.jsonl. A study that was interrupted goes on where it stopped.
#pragma once

#include <string>

#include "bench/efficiency/results.h"

namespace sigma::bench {

struct StudyOptions {
  GridOptions grid;
  std::string folder;
  std::string machine;      // in words
  std::string model, text;  // of the quality side: a checkpoint and a file; no text: left out
  double seconds = 0;       // no cell begins later than this; 0: until all is done
};

// complete: set to whether everything asked for is there.
Results run_study(bool& complete, const Kernels& kernels, ThreadPool& threads, const StudyOptions& options);

}  // namespace sigma::bench
