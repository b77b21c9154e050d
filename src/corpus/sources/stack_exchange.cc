// Stack Exchange dumps: Posts.xml, <row .../> by row. A question and its best answers are one document. The only file
// that includes libxml2, whose reader streams; a document type, which dumps do not have and bombs need, ends the file.
#include <libxml/xmlreader.h>

#include <algorithm>
#include <charconv>
#include <mutex>

#include "corpus/extract.h"
#include "corpus/grouper.h"
#include "corpus/source.h"
#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

constexpr size_t kMostAnswers = 3;

struct FreeReader {
  void operator()(xmlTextReader* r) const { xmlFreeTextReader(r); }
};

struct Input {
  ArchiveReader* archive;
  std::string fault;  // of the archive: it must not be thrown through libxml2
};

int read_bytes(void* context, char* buffer, int size) {
  auto* input = static_cast<Input*>(context);
  try {
    return static_cast<int>(input->archive->read({buffer, static_cast<size_t>(size)}));
  } catch (const Error& e) {
    input->fault = e.what();
    return -1;
  }
}

int64_t number(std::string_view text, int64_t fallback) {
  int64_t value = fallback;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string attribute(xmlTextReader* reader, const char* name) {
  xmlChar* value = xmlTextReaderGetAttribute(reader, reinterpret_cast<const xmlChar*>(name));
  if (value == nullptr) return {};
  std::string text(reinterpret_cast<const char*>(value));
  xmlFree(value);
  return text;
}

// A row as it waits for the others of its question: fields that end in NUL, which XML text cannot hold.
std::string pack(const std::vector<std::string>& fields) {
  std::string out;
  for (const std::string& field : fields) out.append(field) += '\0';
  return out;
}

std::vector<std::string_view> unpack(std::string_view record) {
  std::vector<std::string_view> fields;
  while (!record.empty()) {
    const size_t end = record.find('\0');
    fields.push_back(record.substr(0, end));
    record.remove_prefix(end + 1);
  }
  return fields;
}

// Fields of a packed row.
enum Field : size_t { kType, kId, kScore, kAccepted, kBody, kTitle, kTags, kDate, kLicence, kFields };

void read_rows(ArchiveReader& archive, const std::string& where, Grouper& grouper, Sink& sink) {
  static std::once_flag once;
  std::call_once(once, xmlInitParser);
  Input input{&archive, {}};
  xmlResetLastError();
  const std::unique_ptr<xmlTextReader, FreeReader> reader(xmlReaderForIO(
      read_bytes, nullptr, &input, nullptr, nullptr, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
  SIGMA_CHECK(reader != nullptr);
  int status = 1;
  while ((status = xmlTextReaderRead(reader.get())) == 1) {
    const int kind = xmlTextReaderNodeType(reader.get());
    if (kind == XML_READER_TYPE_DOCUMENT_TYPE) throw Error(where, "rows alone", "a document type");
    if (kind != XML_READER_TYPE_ELEMENT) continue;
    const auto* name = reinterpret_cast<const char*>(xmlTextReaderConstName(reader.get()));
    if (name == nullptr || std::string_view(name) != "row") continue;
    const auto get = [&](const char* key) { return attribute(reader.get(), key); };
    const std::string type = get("PostTypeId"), id = get("Id");
    if (type != "1" && type != "2") {
      sink.skip("stack_exchange: neither question nor answer", "post " + id);
      continue;
    }
    const int64_t question = number(type == "1" ? id : get("ParentId"), -1);
    if (question < 0) {
      sink.skip("stack_exchange: a row without its id", "post " + id);
      continue;
    }
    grouper.add(static_cast<uint64_t>(question),
                pack({type, id, get("Score"), get("AcceptedAnswerId"), get("Body"), get("Title"), get("Tags"),
                      get("CreationDate"), get("ContentLicense")}));
  }
  if (status < 0) {
    const int line = xmlTextReaderGetParserLineNumber(reader.get());
    if (input.fault.empty()) {
      const auto* error = xmlGetLastError();
      const bool known = error != nullptr && error->message != nullptr;
      input.fault = known ? printable(trim(error->message)) : "a fault, or its end before its time";
    }
    throw Error(fmt::format("{}:{}", where, line), "XML", input.fault);
  }
}

void emit(const SourceConfig& config, uint64_t id, const std::vector<std::string_view>& records, Sink& sink) {
  std::vector<std::string_view> question;
  std::vector<std::vector<std::string_view>> answers;
  for (const std::string_view record : records) {
    std::vector<std::string_view> fields = unpack(record);
    if (fields.size() != kFields) continue;
    if (fields[kType] == "1")
      question = std::move(fields);
    else
      answers.push_back(std::move(fields));
  }
  const std::string shown = fmt::format("question {}", id);
  if (question.empty()) return sink.skip("stack_exchange: answers to a question that is not there", shown);
  const std::string_view accepted = question[kAccepted];
  const auto rank = [&](const auto& a) { return std::pair(a[kId] != accepted, -number(a[kScore], 0)); };
  std::stable_sort(answers.begin(), answers.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  std::erase_if(answers, [&](const auto& a) { return a[kId] != accepted && number(a[kScore], 0) < 1; });
  if (answers.empty()) return sink.skip("stack_exchange: no answer that anyone found good", shown);
  if (answers.size() > kMostAnswers) answers.resize(kMostAnswers);

  Document d;
  d.id = fmt::format("{}", id);
  d.url = config.url_prefix + "/questions/" + d.id;
  d.title = question[kTitle];
  d.licence = question[kLicence];
  d.text = "# " + d.title + "\n\n" + html_fragment_text(question[kBody]);
  for (const auto& answer : answers)
    d.text += std::string(answer[kId] == accepted ? "\n## Accepted answer\n\n" : "\n## Answer\n\n") +
              html_fragment_text(answer[kBody]);
  d.metadata = {{"tags", std::string(question[kTags])},
                {"score", std::string(question[kScore])},
                {"created", std::string(question[kDate])},
                {"answers", fmt::format("{}", answers.size())}};
  sink.document(d);
}

}  // namespace

void read_stack_exchange(const SourceConfig& config, const Unit& unit, Sink& sink) {
  const std::string& path = unit.files.at(0);
  Grouper grouper(unit.scratch, unit.bytes * (path.ends_with(".xml") ? 1 : 6));
  const bool packed = path.ends_with(".7z");
  ArchiveReader archive(path, packed ? ArchiveReader::Content::members : ArchiveReader::Content::one_file);
  ArchiveReader::Member member;
  std::string fault;
  bool found = false;
  try {
    while (archive.next(member)) {
      if (packed && !member.path.ends_with("Posts.xml")) continue;
      found = true;
      read_rows(archive, path, grouper, sink);
    }
    if (!found) throw Error(path, "Posts.xml in the archive", "no such member");
  } catch (const Stop&) {
    throw;
  } catch (const Error& e) {  // what came before the damage is good
    fault = e.what();
  }
  grouper.each([&](uint64_t id, const std::vector<std::string_view>& records) { emit(config, id, records, sink); });
  if (!fault.empty()) sink.skip("a damaged input", fault);
}

}  // namespace sigma::corpus
