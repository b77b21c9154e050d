// WARC files (ISO 28500): `response` records hold an HTTP response, whose HTML becomes text; `conversion` records (WET)
// hold text. Records beyond 32 MiB are passed over.
#include <algorithm>
#include <charconv>
#include <map>

#include "corpus/extract.h"
#include "corpus/source.h"
#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

constexpr uint64_t kLargestRecord = uint64_t{32} << 20;
constexpr size_t kLongestHeader = size_t{1} << 20;

// A stream that lines and blocks are taken from by turns.
class Stream {
 public:
  explicit Stream(const std::string& path) : archive_(path, ArchiveReader::Content::one_file) {
    ArchiveReader::Member member;
    ended_ = !archive_.next(member);
  }
  // A line without its end; false at the end of the stream. Error: a header line beyond 1 MiB.
  bool line(std::string& out) {
    out.clear();
    while (true) {
      if (at_ == buffer_.size() && !fill()) return !out.empty();
      const size_t end = buffer_.find('\n', at_);
      const size_t stop = end == std::string::npos ? buffer_.size() : end;
      out.append(buffer_, at_, stop - at_);
      at_ = stop;
      if (out.size() > kLongestHeader) throw Error("WARC", "header lines below 1 MiB", "a longer one");
      if (end == std::string::npos) continue;
      ++at_;
      if (out.ends_with('\r')) out.pop_back();
      return true;
    }
  }
  // The next `size` bytes, of which the first `keep` are kept; false when the stream ends before them.
  bool block(std::string& out, uint64_t size, uint64_t keep) {
    out.clear();
    while (size > 0) {
      if (at_ == buffer_.size() && !fill()) return false;
      const auto part = static_cast<size_t>(std::min<uint64_t>(size, buffer_.size() - at_));
      if (out.size() < keep) out.append(buffer_, at_, static_cast<size_t>(std::min<uint64_t>(part, keep - out.size())));
      at_ += part;
      size -= part;
    }
    return true;
  }

 private:
  bool fill() {
    if (ended_) return false;
    buffer_.resize(size_t{1} << 18);
    buffer_.resize(archive_.read(buffer_));
    at_ = 0;
    ended_ = buffer_.empty();
    return !ended_;
  }
  ArchiveReader archive_;
  std::string buffer_;
  size_t at_ = 0;
  bool ended_ = false;
};

using Headers = std::map<std::string, std::string>;

// "Name: value" to the map, names in lower case.
void add_header(Headers& headers, std::string_view line) {
  const size_t colon = line.find(':');
  if (colon != std::string_view::npos) headers[lower_ascii(trim(line.substr(0, colon)))] = trim(line.substr(colon + 1));
}

std::string unchunked(std::string_view body) {
  std::string out;
  while (!body.empty()) {
    const std::string_view line = trim(take_line(body));
    uint64_t size = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    if (error != std::errc() || size == 0 || size > body.size()) break;
    out.append(body.substr(0, size));
    body.remove_prefix(size);
    if (body.starts_with("\r\n")) body.remove_prefix(2);
  }
  return out;
}

void read_response(std::string_view record, Document& d, std::string& reason) {
  const std::string_view status = trim(take_line(record));
  Headers http;
  while (!record.empty()) {
    const std::string_view line = trim(take_line(record));
    if (line.empty()) break;
    add_header(http, line);
  }
  if (!status.starts_with("HTTP/") || status.find(" 200") == std::string_view::npos) {
    reason = "warc: not an answer with status 200";
    return;
  }
  const std::string& type = http["content-type"];
  if (type.find("html") == std::string::npos && type.find("text/plain") == std::string::npos) {
    reason = "warc: neither HTML nor text";
    return;
  }
  std::string body(record);
  if (http["transfer-encoding"].find("chunked") != std::string::npos) body = unchunked(record);
  const std::string& encoding = http["content-encoding"];
  if (encoding == "gzip") {
    ArchiveReader reader(body, d.url, ArchiveReader::Content::one_file);
    ArchiveReader::Member member;
    if (reader.next(member)) body = reader.read_all(kLargestRecord);
  } else if (!encoding.empty() && encoding != "identity") {
    reason = "warc: an unknown content encoding";
    return;
  }
  Extracted extracted = type.find("html") != std::string::npos ? extract_html(body) : extract_plain(body);
  reason = std::move(extracted.skip);
  d.title = std::move(extracted.title);
  d.text = std::move(extracted.text);
}

// `name`: of a record that has none.
void read_record(Headers& headers, const std::string& block, const std::string& name, Sink& sink) {
  const std::string& type = headers["warc-type"];
  Document d;
  d.url = headers["warc-target-uri"];
  d.id = headers["warc-record-id"].empty() ? d.url : headers["warc-record-id"];
  if (d.id.empty()) d.id = name;
  d.metadata = {{"date", headers["warc-date"]}};
  std::string reason;
  if (type == "conversion") {
    d.text = to_utf8(block);
  } else if (type == "response") {
    try {
      read_response(block, d, reason);
    } catch (const Stop&) {
      throw;
    } catch (const Error&) {
      reason = "warc: a damaged body";
    }
  } else {
    reason = "warc: a record of another type";
  }
  if (reason.empty() && d.text.empty()) reason = "warc: no text";
  if (!reason.empty()) return sink.skip(reason, d.url.empty() ? type : d.url);
  sink.document(d);
}

}  // namespace

void read_warc(const SourceConfig&, const Unit& unit, Sink& sink) {
  const std::string& path = unit.files.at(0);
  Stream stream(path);
  std::string line, block;
  uint64_t number = 0;
  while (stream.line(line)) {
    if (line.empty()) continue;
    if (!line.starts_with("WARC/")) throw Error(path, "a WARC record", printable(line, 40));
    ++number;
    Headers headers;
    while (stream.line(line) && !line.empty()) add_header(headers, line);
    uint64_t size = 0;
    const std::string& length = headers["content-length"];
    if (std::from_chars(length.data(), length.data() + length.size(), size).ec != std::errc())
      throw Error(path, "a record with its Content-Length", printable(length, 40));
    if (!stream.block(block, size, kLargestRecord))
      throw Error(path, fmt::format("a record of {} bytes", size), "the end of the file");
    if (size > kLargestRecord) {
      sink.skip("warc: a record beyond 32 MiB", headers["warc-target-uri"]);
      continue;
    }
    read_record(headers, block, fmt::format("{}:{}", path.substr(path.rfind('/') + 1), number), sink);
  }
}

}  // namespace sigma::corpus
