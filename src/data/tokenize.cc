#include "data/tokenize.h"

#include <algorithm>
#include <exception>

#include "base/error.h"

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
  std::exception_ptr failure;

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

// Reads and writes between which the jobs are done: one thread at a time calls it.
class Pipeline {
 public:
  Pipeline(ShardWriter& shard, const Tokenizer& tokenizer, const TokenizeOptions& options)
      : shard_(shard),
        tokenizer_(tokenizer),
        options_(options),
        reader_(options.files, options.format, cuts(tokenizer)) {}

  // Up to `count` batches into jobs; how many there were.
  size_t read(std::vector<Job>& jobs, size_t count) {
    jobs.resize(count);
    size_t got = 0;
    while (got < count && reader_.next(jobs[got].batch)) ++got;
    counts_.files = reader_.files_read();
    counts_.bytes = reader_.bytes_read();
    return got;
  }

  void write(std::vector<Job>& jobs, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      Job& job = jobs[i];
      if (job.failure) std::rethrow_exception(job.failure);
      const TokenId* next = job.tokens.data();
      for (const Job::Part& part : job.parts) {
        shard_.append({next, part.tokens});
        next += part.tokens;
        document_tokens_ += part.tokens;
        if (part.ends_document) end_document();
      }
    }
  }

  TokenizeCounts counts() const { return counts_; }

 private:
  static DocumentReader::LongTexts cuts(const Tokenizer& tokenizer) {
    const auto& specials = tokenizer.spec().specials;
    const bool all_short = std::none_of(specials.begin(), specials.end(), [](const SpecialToken& s) {
      return !s.control && (s.lstrip || s.rstrip || s.text.find(' ') != std::string::npos);
    });
    return all_short ? DocumentReader::LongTexts::cut : DocumentReader::LongTexts::whole;
  }

  void end_document() {
    if (document_tokens_ == 0) {
      ++counts_.empty;
      return;
    }
    if (options_.end) shard_.append({&*options_.end, 1});
    shard_.end_document();
    document_tokens_ = 0;
    counts_.documents = shard_.documents();
    counts_.tokens = shard_.tokens();
  }

  ShardWriter& shard_;
  const Tokenizer& tokenizer_;
  const TokenizeOptions& options_;
  DocumentReader reader_;
  uint64_t document_tokens_ = 0;
  TokenizeCounts counts_;
};

}  // namespace

TokenizeCounts tokenize_documents(ShardWriter& shard, const Tokenizer& tokenizer, ThreadPool& threads,
                                  const TokenizeOptions& options,
                                  const std::function<void(const TokenizeCounts&)>& on_progress) {
  Pipeline pipeline(shard, tokenizer, options);
  const auto room = static_cast<size_t>(threads.size()) * 4;
  // Two sets take turns: while one is tokenised, the first task writes the other and reads what comes next into it.
  std::vector<Job> jobs(room), others(room);
  size_t count = pipeline.read(jobs, room), done = 0;
  while (count > 0 || done > 0) {
    size_t read = 0;
    std::exception_ptr failure;
    const auto guarded = [](std::exception_ptr& caught, const auto& f) {
      try {
        caught = nullptr;
        f();
      } catch (...) {
        caught = std::current_exception();
      }
    };
    threads.run(static_cast<int64_t>(count) + 1, [&](int64_t task) {
      if (task == 0) {
        guarded(failure, [&] {
          pipeline.write(others, done);
          read = count > 0 ? pipeline.read(others, room) : 0;
        });
      } else {
        Job& job = jobs[static_cast<size_t>(task) - 1];
        guarded(job.failure, [&] { job.tokenize(tokenizer); });
      }
    });
    if (failure) std::rethrow_exception(failure);
    on_progress(pipeline.counts());
    done = count;
    count = read;
    std::swap(jobs, others);
  }
  return pipeline.counts();
}

}  // namespace sigma
