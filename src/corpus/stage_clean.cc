// Stages 2 and 3: documents that rules and classifiers keep, or a reason why not; paragraphs that stand in many
// documents.
#include <algorithm>

#include "base/file.h"
#include "corpus/clean.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/text_util.h"
#include "corpus/words.h"

namespace sigma::corpus {

namespace {

constexpr std::string_view kForm = "clean 7";
constexpr size_t kLeastParagraph = 100;  // bytes; shorter ones come again in any text

// The next paragraph of `rest` (lines up to a blank one) with the blank lines behind it.
std::string_view take_paragraph(std::string_view& rest) {
  const size_t gap = rest.find("\n\n");
  size_t end = gap == std::string_view::npos ? rest.size() : gap + 2;
  while (end < rest.size() && rest[end] == '\n') ++end;
  const std::string_view paragraph = rest.substr(0, end);
  rest.remove_prefix(end);
  return paragraph;
}

uint64_t paragraph_hash(std::vector<uint64_t>& scratch, std::string_view paragraph) {
  scratch.clear();
  append_word_hashes(scratch, paragraph);
  return words_hash(scratch, 1);
}

Tally clean_part(const Build& build, const Part& part, const Classifiers& classifiers, const std::string& out) {
  const CorpusConfig& config = build.options().config;
  Tally tally;
  DocumentWriter writer(out + ".jsonl.zst");
  FileWriter paragraphs(out + ".paragraphs");
  std::vector<uint64_t> hashes;
  read_measured(build, part, kDocuments, [&](Document& d, const Measures& m) {
    tally.in(d);
    tally.share("letters", m.letters);
    tally.share("common English words", m.english);
    tally.share("repeated lines", m.duplicate_lines);
    tally.share("repeated phrases", m.duplicate_ngrams);
    if (const std::string_view reason = refusal(m, config.filters); !reason.empty()) {
      tally.drop(
          std::string(reason), d,
          fmt::format(
              "{} words, letters {:.2f}, English {:.2f}, repeated lines {:.2f}, paragraphs {:.2f}, phrases {:.2f}",
              m.words, m.letters, m.english, m.duplicate_lines, m.duplicate_paragraphs, m.duplicate_ngrams));
      return;
    }
    std::string note;
    const size_t labels = d.metadata.size();
    const std::string reason = classifiers.apply(d, note);
    for (size_t i = labels; i < d.metadata.size(); i += 2)
      ++tally.notes[d.metadata[i].first + ": " + d.metadata[i].second];
    if (!reason.empty()) {
      tally.drop(reason, d, note);
      return;
    }
    if (config.mask_personal) {
      const Masked masked = mask_personal(d.text);
      tally.notes["e-mail addresses masked"] += masked.emails;
      tally.notes["public IP addresses masked"] += masked.addresses;
      tally.notes["keys and tokens masked"] += masked.secrets;
    }
    hashes.clear();
    paragraph_hashes(hashes, d.text);
    const uint64_t count = hashes.size();  // per document: count, hashes
    paragraphs.write(std::as_bytes(std::span(&count, 1)));
    paragraphs.write(std::as_bytes(std::span(hashes)));
    tally.out(d);
    writer.write(d);
  });
  paragraphs.commit();
  writer.commit();
  return tally;
}

}  // namespace

void paragraph_hashes(std::vector<uint64_t>& out, std::string_view text) {
  std::vector<uint64_t> words;
  const size_t first = out.size();
  while (!text.empty()) {
    const std::string_view paragraph = take_paragraph(text);
    if (trim(paragraph).size() >= kLeastParagraph) out.push_back(paragraph_hash(words, paragraph));
  }
  std::sort(out.begin() + static_cast<ptrdiff_t>(first), out.end());
  out.erase(std::unique(out.begin() + static_cast<ptrdiff_t>(first), out.end()), out.end());
}

ParagraphFile::ParagraphFile(const BuildOptions& options, const Part& part)
    : records_(options.work + "/2-clean/" + part.name + ".paragraphs"),
      path_(options.work + "/2-clean/" + part.name + ".paragraphs") {}

std::span<const uint64_t> ParagraphFile::next() {
  const std::span<const uint64_t> rest = records_.all().subspan(at_);
  if (rest.empty() || rest[0] >= rest.size()) throw Error(path_, "paragraphs of every document", "a file that is cut");
  at_ += 1 + rest[0];
  return rest.subspan(1, rest[0]);
}

uint64_t drop_paragraphs(std::string& text, std::span<const uint64_t> hashes, uint64_t document,
                         const std::vector<RepeatedParagraph>& repeated) {
  const auto stays_elsewhere = [&](uint64_t hash) {
    const auto found = std::lower_bound(repeated.begin(), repeated.end(), RepeatedParagraph{hash, 0});
    return found != repeated.end() && found->hash == hash && found->first != document;
  };
  if (std::none_of(hashes.begin(), hashes.end(), stays_elsewhere)) return 0;
  uint64_t dropped = 0;
  std::string out;
  std::vector<uint64_t> words;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view paragraph = take_paragraph(rest);
    if (trim(paragraph).size() >= kLeastParagraph) {
      if (stays_elsewhere(paragraph_hash(words, paragraph))) {
        ++dropped;
        continue;
      }
    }
    out += paragraph;
  }
  if (dropped > 0) text = std::move(out);
  return dropped;
}

void clean_stage(Build& build, std::vector<Part>& parts, const Classifiers& classifiers) {
  const std::string folder = build.folder("2-clean");
  const CorpusConfig& config = build.options().config;
  const std::string rules =
      config_json(config).at("filters").dump() + (config.mask_personal ? " masked" : "") + classifiers.key();
  std::vector<Task> tasks;
  for (Part& part : parts) {
    part.key = Build::key_of({std::string(kForm), part.key, part.name, rules});
    const std::string path = folder + "/" + part.name;
    tasks.push_back({path + ".json", part.key, {path + ".jsonl.zst", path + ".paragraphs"}});
  }
  std::vector<Tally>& stage = build.tally("clean");
  uint64_t first = 0;
  build.perform(
      "clean", tasks,
      [&](size_t i, int) -> Json {
        return {{"tally", clean_part(build, parts[i], classifiers, folder + "/" + parts[i].name).json()}};
      },
      [&](size_t i, const Json& record) {
        const Tally tally = Tally::from_json(record.at("tally"));
        stage[parts[i].source].merge(tally);
        parts[i].documents = tally.documents_out;
        parts[i].first = first;
        first += parts[i].documents;
      });
}

namespace {

// Those of one range of hashes, in order: (hash, first document).
void find_repeated(RecordWriter<RepeatedParagraph>& out, Build& build, const std::vector<Part>& parts, size_t range) {
  ExternalSorter<RepeatedParagraph> sorter(build.folder("3-paragraphs") + fmt::format("/run{}", range),
                                           build.memory_per_thread());
  for (const Part& part : parts) {
    ParagraphFile paragraphs(build.options(), part);
    for (uint64_t d = 0; d < part.documents; ++d)
      for (const uint64_t hash : paragraphs.next())
        if (range_of(hash, build.workers()) == range) sorter.add({hash, part.first + d});
  }
  RepeatedParagraph group{};
  int64_t count = 0;
  const auto end_group = [&] {
    if (count > build.options().config.paragraph_repeats) out.add(group);
  };
  sorter.finish([&](const RepeatedParagraph& p) {
    if (count > 0 && p.hash == group.hash) {
      ++count;
      return;
    }
    end_group();
    group = p;
    count = 1;
  });
  end_group();
}

}  // namespace

std::vector<RepeatedParagraph> paragraph_stage(Build& build, const std::vector<Part>& parts) {
  std::vector<RepeatedParagraph> repeated;
  if (build.options().config.paragraph_repeats == 0) return repeated;
  const auto path = [&](size_t range) { return build.folder("3-paragraphs") + fmt::format("/range{:05}", range); };
  build.divide("paragraphs", std::vector<uint64_t>(build.workers()), [&](size_t range, int) {
    RecordWriter<RepeatedParagraph> out(path(range));
    find_repeated(out, build, parts, range);
    out.finish();
  });
  for (size_t range = 0; range < build.workers(); ++range) {  // of rising hashes
    const Records<RepeatedParagraph> found(path(range));
    repeated.insert(repeated.end(), found.all().begin(), found.all().end());
  }
  return repeated;
}

}  // namespace sigma::corpus
