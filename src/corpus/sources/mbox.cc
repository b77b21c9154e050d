// Mailing lists in mbox files: a message a document, its text/plain part, without quoted replies of more than a few
// lines and without signature.
#include <algorithm>
#include <map>

#include "corpus/source.h"
#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

constexpr size_t kLongestMessage = size_t{4} << 20;
constexpr int kDeepestPart = 4;
constexpr size_t kQuotedLines = 6;  // of a quotation the last ones stay: what is answered

int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                : -1;
}

std::string decode_quoted(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') {
      out += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == '\n') {
      ++i;
    } else if (i + 2 < text.size() && text[i + 1] == '\r' && text[i + 2] == '\n') {
      i += 2;
    } else if (i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += '=';
    }
  }
  return out;
}

std::string decode_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    int v = -1;
    if (c >= 'A' && c <= 'Z')
      v = c - 'A';
    else if (c >= 'a' && c <= 'z')
      v = c - 'a' + 26;
    else if (c >= '0' && c <= '9')
      v = c - '0' + 52;
    else if (c == '+')
      v = 62;
    else if (c == '/')
      v = 63;
    else if (c == '=')
      break;
    if (v < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(v);
    if (++count % 4 == 0) {
      out += static_cast<char>(bits >> 16 & 255);
      out += static_cast<char>(bits >> 8 & 255);
      out += static_cast<char>(bits & 255);
    }
  }
  if (count % 4 == 2) out += static_cast<char>(bits >> 4 & 255);
  if (count % 4 == 3) out += static_cast<char>(bits >> 10 & 255), out += static_cast<char>(bits >> 2 & 255);
  return out;
}

// "=?utf-8?Q?caf=C3=A9?=" in a header (RFC 2047).
std::string decode_header(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t begin = text.find("=?");
    const size_t charset = begin == std::string_view::npos ? begin : text.find('?', begin + 2);
    const size_t end = charset == std::string_view::npos ? charset : text.find("?=", charset + 3);
    if (end == std::string_view::npos || text.size() < charset + 3 || text[charset + 2] != '?') return out.append(text);
    out.append(text.substr(0, begin));
    std::string word(text.substr(charset + 3, end - charset - 3));
    if ((text[charset + 1] | 32) == 'q') {
      std::replace(word.begin(), word.end(), '_', ' ');
      word = decode_quoted(word);
    } else {
      word = decode_base64(word);
    }
    out += to_utf8(word);
    text.remove_prefix(end + 2);
    if (text.starts_with(" =?")) text.remove_prefix(1);
  }
  return out;
}

using Headers = std::map<std::string, std::string>;

// Takes the headers off a message or part, folded lines joined.
Headers take_headers(std::string_view& rest) {
  Headers headers;
  std::string* last = nullptr;
  while (!rest.empty()) {
    std::string_view line = take_line(rest);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;
    if ((line[0] == ' ' || line[0] == '\t') && last != nullptr) {
      last->append(" ").append(trim(line));
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    last = &headers[lower_ascii(line.substr(0, colon))];
    *last = trim(line.substr(colon + 1));
  }
  return headers;
}

// The first text/plain part, decoded; empty when there is none.
std::string plain_part(Headers& headers, std::string_view body, int depth) {
  const std::string& type = headers["content-type"];
  const std::string kind = lower_ascii(type);
  if (kind.starts_with("multipart/") && depth < kDeepestPart) {
    size_t at = kind.find("boundary=");
    if (at == std::string::npos) return {};
    std::string boundary = type.substr(at + 9);
    boundary = boundary.starts_with('"') ? boundary.substr(1, boundary.find('"', 1) - 1)
                                         : boundary.substr(0, boundary.find_first_of("; "));
    if (boundary.empty()) return {};
    const std::string mark = "--" + boundary;
    at = body.find(mark);
    while (at != std::string_view::npos) {
      std::string_view part = body.substr(at + mark.size());
      if (part.starts_with("--")) break;
      take_line(part);
      const size_t end = part.find(mark);
      std::string_view content = part.substr(0, end);
      Headers inner = take_headers(content);
      std::string text = plain_part(inner, content, depth + 1);
      if (!text.empty()) return text;
      if (end == std::string_view::npos) break;
      body = part;
      at = end;
    }
    return {};
  }
  if (!kind.empty() && !kind.starts_with("text/plain")) return {};
  const std::string encoding = lower_ascii(headers["content-transfer-encoding"]);
  if (encoding == "quoted-printable") return decode_quoted(body);
  if (encoding == "base64") return decode_base64(body);
  return std::string(body);
}

// Without signature; of each quotation the last lines.
std::string readable(std::string_view text) {
  std::string out;
  std::vector<std::string_view> quoted;
  const auto end_quotation = [&] {
    const size_t first = quoted.size() > kQuotedLines ? quoted.size() - kQuotedLines : 0;
    if (first > 0) out += "> [...]\n";
    for (size_t i = first; i < quoted.size(); ++i) out.append(quoted[i]) += '\n';
    quoted.clear();
  };
  while (!text.empty()) {
    std::string_view line = take_line(text);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line == "-- " || line == "--") break;
    if (line.starts_with(">From ")) line.remove_prefix(1);  // mbox's escape
    if (line.starts_with('>')) {
      quoted.push_back(line);
      continue;
    }
    end_quotation();
    out.append(line) += '\n';
  }
  end_quotation();
  return out;
}

void read_message(const SourceConfig& config, std::string_view message, const std::string& name, Sink& sink) {
  Headers headers = take_headers(message);
  const std::string text = to_utf8(plain_part(headers, message, 0));
  Document d;
  d.id = headers["message-id"].empty() ? name : headers["message-id"];
  if (is_blank(text)) return sink.skip("mbox: a message without plain text", d.id);
  d.title = decode_header(headers["subject"]);
  d.url = config.url_prefix + d.id;
  d.text = "Subject: " + d.title + "\n\n" + readable(text);
  d.metadata = {{"date", headers["date"]}, {"list", headers["list-id"]}};
  sink.document(d);
}

}  // namespace

void read_mbox(const SourceConfig& config, const Unit& unit, Sink& sink) {
  const std::string& path = unit.files.at(0);
  ArchiveReader archive(path, ArchiveReader::Content::one_file);
  ArchiveReader::Member member;
  if (!archive.next(member)) return;
  LineReader lines([&](std::span<char> out) { return archive.read(out); }, kLongestMessage);
  std::string message;
  std::string_view line;
  uint64_t number = 0;
  bool any = false, blank = true, too_long = false;
  const auto finish = [&] {
    if (!any) return;
    const std::string name = fmt::format("{}:{}", path.substr(path.rfind('/') + 1), ++number);
    if (too_long)
      sink.skip("mbox: a message beyond 4 MiB", name);
    else
      read_message(config, message, name, sink);
    message.clear();
    too_long = false;
  };
  while (true) {
    const LineReader::Status status = lines.next(line);
    if (status == LineReader::Status::end) break;
    if (blank && line.starts_with("From ") && status == LineReader::Status::line) {
      finish();
      any = true;
    } else if (!any) {
      throw Error(path, "an mbox file, that begins with From", printable(line, 40));
    } else if (status == LineReader::Status::too_long || message.size() + line.size() > kLongestMessage) {
      too_long = true;
      message.clear();
    } else if (!too_long) {
      message.append(line) += '\n';
    }
    blank = is_blank(line);
  }
  finish();
}

}  // namespace sigma::corpus
