#include "data/train_tokenizer.h"

#include "data/pipeline.h"
#include "text/bpe_trainer.h"
#include "text/unicode.h"

namespace sigma {

CountedWords count_words(const std::vector<std::string>& files, TextFormat format, PreTokenizer pre,
                         ThreadPool& threads, const std::function<void(uint64_t)>& on_progress) {
  DocumentReader reader(files, format, DocumentReader::LongTexts::cut);
  const WordEnd word_end = word_end_function(pre);
  std::vector<WordCounts> counts(static_cast<size_t>(threads.size()));
  run_pipeline<TextBatch>(
      threads, [&](TextBatch& batch) { return reader.next(batch); },
      [&](TextBatch& batch, int thread) {
        std::string scratch;
        const auto add = [&](std::string_view text) {
          counts[static_cast<size_t>(thread)].add(uses_nfc(pre) ? unicode::normalize_nfc(text, scratch) : text,
                                                  word_end);
        };
        if (batch.jsonl) return for_each_text(batch, add);
        const std::string_view bytes = batch.bytes;
        for (const TextBatch::Piece& piece : batch.pieces) add(bytes.substr(piece.begin, piece.size));
      },
      [&](const TextBatch&) { on_progress(reader.bytes_read()); });
  CountedWords all{.words = std::move(counts.front()), .files = reader.files_read(), .bytes = reader.bytes_read()};
  for (size_t t = 1; t < counts.size(); ++t) all.words.add(counts[t]);
  return all;
}

}  // namespace sigma
