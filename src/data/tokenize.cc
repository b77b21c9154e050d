#include "data/tokenize.h"

#include <algorithm>

#include "data/pipeline.h"

namespace sigma {
namespace {

// A batch and what became of it.
struct Job {
  TextBatch batch;
  std::vector<TokenId> tokens;
  struct Part {
    size_t tokens = 0;
    bool ends_document = true;
  };
  std::vector<Part> parts;

  void add(const Tokenizer& tokenizer, std::string_view text, bool ends_document) {
    const std::vector<TokenId> ids = tokenizer.encode(text, Specials::as_text);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    parts.push_back({ids.size(), ends_document});
  }
  void tokenize(const Tokenizer& tokenizer) {
    tokens.clear();
    parts.clear();
    if (batch.jsonl) {
      for_each_text(batch, [&](std::string_view text) { add(tokenizer, text, true); });
      return;
    }
    const std::string_view bytes = batch.bytes;
    for (const TextBatch::Piece& piece : batch.pieces)
      add(tokenizer, bytes.substr(piece.begin, piece.size), piece.ends_document);
  }
};

DocumentReader::LongTexts cuts(const Tokenizer& tokenizer) {
  const auto& specials = tokenizer.spec().specials;
  const bool all_short = std::none_of(specials.begin(), specials.end(), [](const SpecialToken& s) {
    return !s.control && (s.lstrip || s.rstrip || s.text.find(' ') != std::string::npos);
  });
  return all_short ? DocumentReader::LongTexts::cut : DocumentReader::LongTexts::whole;
}

}  // namespace

TokenizeCounts tokenize_documents(ShardWriter& shard, const Tokenizer& tokenizer, ThreadPool& threads,
                                  const TokenizeOptions& options,
                                  const std::function<void(const TokenizeCounts&)>& on_progress) {
  DocumentReader reader(options.files, options.format, cuts(tokenizer));
  TokenizeCounts counts;
  size_t document_tokens = 0;
  const auto end_document = [&] {
    if (document_tokens == 0) {
      ++counts.empty;
      return;
    }
    if (options.end) shard.append({&*options.end, 1});
    shard.end_document();
    document_tokens = 0;
  };
  const auto write = [&](const Job& job) {
    const TokenId* next = job.tokens.data();
    for (const Job::Part& part : job.parts) {
      shard.append({next, part.tokens});
      next += part.tokens;
      document_tokens += part.tokens;
      if (part.ends_document) end_document();
    }
    counts.documents = shard.documents();
    counts.tokens = shard.tokens();
    on_progress(counts);
  };
  run_pipeline<Job>(
      threads,
      [&](Job& job) {
        const bool more = reader.next(job.batch);
        counts.files = reader.files_read();
        counts.bytes = reader.bytes_read();
        return more;
      },
      [&](Job& job, int) { job.tokenize(tokenizer); }, write);
  return counts;
}

}  // namespace sigma
