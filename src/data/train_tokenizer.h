// From documents to a tokenizer, on all threads; the same one whatever their number.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "data/documents.h"
#include "text/word_counts.h"

namespace sigma {

struct CountedWords {
  WordCounts words;
  uint64_t files = 0, bytes = 0;  // read; decompressed
};

// The words of all documents, in the normal form of the pre-tokenizer's family. Memory grows with the different words.
// on_progress(bytes read so far) is called now and then.  Error: as DocumentReader.
CountedWords count_words(const std::vector<std::string>& files, TextFormat format, PreTokenizer pre,
                         ThreadPool& threads, const std::function<void(uint64_t)>& on_progress);

}  // namespace sigma
