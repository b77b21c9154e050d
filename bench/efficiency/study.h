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
  double seconds = 0;       // nothing begins that would end later than this; 0: until all is done
  std::string only;         // steps, memory, whole, model or quality: the rest waits for another time; empty: all
};

// complete: set to whether everything asked for is there.
Results run_study(bool& complete, const Kernels& kernels, ThreadPool& threads, const StudyOptions& options);

}  // namespace sigma::bench
