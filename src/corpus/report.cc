#include "corpus/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "corpus/tally.h"
#include "corpus/text_util.h"
#include "text/markup.h"

namespace sigma::corpus {

namespace {

constexpr std::string_view kStyle = R"(
:root{--ink:#1d2733;--soft:#5b6875;--line:#dfe4ea;--blue:#2f6fb2;--red:#c2503c;--green:#2e8b57;--back:#f6f8fa}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}p.lead{color:var(--soft);margin:.2rem 0 1rem}
.cards{display:flex;flex-wrap:wrap;gap:.8rem}.card{background:var(--back);border:1px solid var(--line);border-radius:8px;padding:.7rem 1rem;min-width:150px}
.card b{display:block;font-size:1.35rem}.card span{color:var(--soft);font-size:.85rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.28rem .6rem;border-bottom:1px solid var(--line);vertical-align:middle}
th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.why{white-space:nowrap}td.bar{width:20%}.bar div{height:.8rem;border-radius:2px;background:var(--blue)}.bar div.drop{background:var(--red)}.bar div.keep{background:var(--green)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:1rem}
figure{margin:0;background:var(--back);border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem}figcaption{font-size:.85rem;color:var(--soft);margin-bottom:.3rem}
details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0;padding:.3rem .7rem}summary{cursor:pointer}
summary small,td small{color:var(--soft)}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--back);padding:.6rem;border-radius:6px;font-size:.8rem;max-height:26rem;overflow:auto;margin:.4rem 0}
)";

// 12345678 -> "12,345,678"
std::string grouped(uint64_t n) {
  std::string digits = std::to_string(n), out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.{}f} MB", static_cast<double>(bytes) / 1e6, bytes < 10'000'000 ? 2 : 1);
}

double ratio(uint64_t a, uint64_t b) { return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b); }

std::string bar(double share, std::string_view kind = "") {
  return fmt::format("<td class=bar><div class=\"{}\" style=\"width:{:.2f}%\"></div></td>", kind,
                     std::clamp(share, 0.0, 1.0) * 100);
}

struct Stage {
  std::string name;
  std::vector<std::pair<std::string, Tally>> sources;
  Tally all() const {
    Tally sum;
    for (const auto& [name_of, tally] : sources) sum.merge(tally);
    return sum;
  }
};

std::vector<Stage> read_stages(const std::string& path) {
  std::vector<Stage> stages;
  const Json details = read_json(path);
  for (const Json& stage : details.at("stages")) {
    stages.push_back({stage.at("stage"), {}});
    for (const auto& [source, tally] : stage.at("sources").items())
      stages.back().sources.emplace_back(source, Tally::from_json(tally));
  }
  return stages;
}

const Stage& find_stage(const std::vector<Stage>& stages, std::string_view name) {
  for (const Stage& stage : stages)
    if (stage.name == name) return stage;
  throw Error("details.json", fmt::format("the stage {}", name), "none");
}

// Two histograms over the same buckets, side by side.
std::string histogram(const std::string& caption, const std::vector<double>& before, const std::vector<double>& after,
                      const std::vector<std::string>& labels) {
  constexpr double kWidth = 320, kHeight = 110, kBase = 92;
  double most = 1e-9;
  for (const double v : before) most = std::max(most, v);
  for (const double v : after) most = std::max(most, v);
  const double step = kWidth / static_cast<double>(before.size());
  std::string svg;
  const auto column = [&](double x, double width, double value, std::string_view colour) {
    const double height = value / most * (kBase - 6);
    if (value > 0)
      svg += fmt::format("<rect x={:.1f} y={:.1f} width={:.1f} height={:.1f} fill=\"{}\"/>", x,
                         kBase - std::max(height, 0.7), width, std::max(height, 0.7), colour);
  };
  for (size_t i = 0; i < before.size(); ++i) {
    const double x = static_cast<double>(i) * step;
    column(x + step * 0.08, step * (after.empty() ? 0.84 : 0.42), before[i], "#9fb4c8");
    if (!after.empty()) column(x + step * 0.5, step * 0.42, after[i], "#2f6fb2");
    if (i < labels.size() && !labels[i].empty())
      svg += fmt::format("<text x={:.1f} y=106 font-size=9 fill=\"#5b6875\">{}</text>", x, escape_html(labels[i]));
  }
  return fmt::format(
      "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" width=\"100%\">{}<line x1=0 x2={} y1={} y2={} "
      "stroke=\"#c5ced8\"/></svg></figure>",
      escape_html(caption), kWidth, kHeight, svg, kWidth, kBase, kBase);
}

std::string sample_html(const Sample& s) {
  return fmt::format("<details><summary>{} <small>{} &middot; {}{}{}</small></summary><pre>{}</pre></details>",
                     escape_html(s.title.empty() ? s.id : s.title), escape_html(s.id), escape_html(s.category),
                     s.note.empty() ? "" : " &middot; ", escape_html(s.note), escape_html(s.text));
}

void add_cards(std::string& out, const Json& manifest, const Tally& in, const Tally& kept) {
  const auto card = [&](const std::string& value, const std::string& label) {
    out += fmt::format("<div class=card><b>{}</b><span>{}</span></div>", value, label);
  };
  out += "<div class=cards>";
  card(grouped(in.documents_out), "documents read");
  card(grouped(kept.documents_out),
       fmt::format("documents kept ({:.1f}%)", 100 * ratio(kept.documents_out, in.documents_out)));
  card(megabytes(in.bytes_out), "text read");
  card(megabytes(kept.bytes_out), fmt::format("text kept ({:.1f}%)", 100 * ratio(kept.bytes_out, in.bytes_out)));
  const Json& result = manifest.at("result");
  if (result.contains("tokens")) {
    const auto tokens = result.at("tokens").get<uint64_t>();
    card(fmt::format("{:.2f} M", static_cast<double>(tokens) / 1e6),
         fmt::format("tokens ({:.2f} bytes a token)", ratio(kept.bytes_out, tokens)));
  }
  out += "</div>";
}

void add_funnel(std::string& out, const std::vector<Stage>& stages) {
  out +=
      "<h2>Funnel, per source</h2><p class=lead>What each stage let through, of the text its source "
      "gave.</p><table><tr><th>source<th>stage<th class=n>documents in"
      "<th class=n>left out<th class=n>documents out<th class=n>text out<th>share of the text read</tr>";
  const Stage& first = stages.front();
  for (size_t s = 0; s < first.sources.size(); ++s) {
    const uint64_t whole = first.sources[s].second.bytes_out;
    for (const Stage& stage : stages) {
      const Tally& t = stage.sources.at(s).second;
      if (t.documents_in + t.documents_out == 0) continue;
      uint64_t dropped = 0;
      for (const auto& [reason, drop] : t.drops) dropped += drop.documents;
      out += fmt::format("<tr><td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}{}</tr>",
                         &stage == &first ? escape_html(first.sources[s].first) : "", escape_html(stage.name),
                         &stage == &first ? "files" : grouped(t.documents_in), grouped(dropped),
                         grouped(t.documents_out), megabytes(t.bytes_out), bar(ratio(t.bytes_out, whole), "keep"));
    }
  }
  out += "</table>";
}

void add_drops(std::string& out, const std::vector<Stage>& stages) {
  out +=
      "<h2>Left out, and why</h2><p class=lead>Every file and document that is not in the corpus, under the first "
      "reason that held. Files that never became "
      "documents have no text to measure.</p><table><tr><th>stage<th>reason<th class=n>count<th class=n>text<th>share "
      "of the stage's documents<th>for example</tr>";
  for (const Stage& stage : stages) {
    const Tally all = stage.all();
    uint64_t whole = all.documents_in;
    if (whole == 0) {
      whole = all.documents_out;
      for (const auto& [reason, drop] : all.drops) whole += drop.documents;
    }
    std::vector<std::pair<std::string, Tally::Drop>> drops(all.drops.begin(), all.drops.end());
    std::stable_sort(drops.begin(), drops.end(),
                     [](const auto& a, const auto& b) { return a.second.documents > b.second.documents; });
    for (const auto& [reason, drop] : drops)
      out += fmt::format("<tr><td>{}<td class=why>{}<td class=n>{}<td class=n>{}{}<td><small>{}</small></tr>",
                         escape_html(stage.name), escape_html(reason), grouped(drop.documents),
                         drop.bytes == 0 ? "" : megabytes(drop.bytes), bar(ratio(drop.documents, whole), "drop"),
                         escape_html(std::string(cut_text(drop.example, 90))));
  }
  out += "</table>";
}

void add_categories(std::string& out, const Tally& kept) {
  out +=
      "<h2>Categories of what was kept</h2><table><tr><th>category<th class=n>documents<th class=n>text<th "
      "class=n>share<th></tr>";
  std::vector<std::pair<std::string, std::array<uint64_t, 2>>> rows(kept.categories.begin(), kept.categories.end());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second[1] > b.second[1]; });
  for (const auto& [name, counts] : rows)
    out += fmt::format("<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{:.1f}%{}</tr>", escape_html(name),
                       grouped(counts[0]), megabytes(counts[1]), 100 * ratio(counts[1], kept.bytes_out),
                       bar(ratio(counts[1], kept.bytes_out)));
  out += "</table>";
}

void add_histograms(std::string& out, const Tally& read, const Tally& cleaned, const Tally& kept) {
  out +=
      "<h2>Lengths and measures</h2><p class=lead>Documents; grey: as read, blue: kept at the end.</p><div "
      "class=charts>";
  std::vector<double> before, after;
  std::vector<std::string> labels;
  for (size_t i = 4; i < 26; ++i) {
    before.push_back(static_cast<double>(read.lengths[i]));
    after.push_back(static_cast<double>(kept.lengths[i]));
    const uint64_t bytes = uint64_t{1} << (i - 1);
    labels.push_back(i % 4 != 0        ? ""
                     : bytes < 1024    ? fmt::format("{} B", bytes)
                     : bytes < 1 << 20 ? fmt::format("{} K", bytes >> 10)
                                       : fmt::format("{} M", bytes >> 20));
  }
  out += histogram("bytes of text, by powers of two", before, after, labels);
  for (const auto& [name, counts] : cleaned.shares) {
    const std::vector<double> values(counts.begin(), counts.end());
    std::vector<std::string> ticks(values.size());
    for (size_t i = 0; i < ticks.size(); i += 4) ticks[i] = fmt::format("{}%", i * 5);
    out += histogram("share of " + name + ", all documents read", values, {}, ticks);
  }
  out += "</div>";
}

void add_samples(std::string& out, const std::vector<Stage>& stages, const Tally& kept) {
  out += "<h2>Samples: kept</h2><p class=lead>Chosen by a hash of their ids; the first 1,500 bytes.</p>";
  for (const Sample& s : kept.kept) out += sample_html(s);
  out += "<h2>Samples: left out</h2>";
  for (const Stage& stage : stages) {
    for (const auto& [reason, drop] : stage.all().drops) {
      if (drop.samples.empty()) continue;
      out += fmt::format("<h3>{}: {} <small>({})</small></h3>", escape_html(stage.name), escape_html(reason),
                         grouped(drop.documents));
      for (const Sample& s : drop.samples) out += sample_html(s);
    }
  }
}

void add_notes(std::string& out, const std::vector<Stage>& stages) {
  out += "<h2>Also counted</h2><table><tr><th>stage<th>what<th class=n>count</tr>";
  for (const Stage& stage : stages)
    for (const auto& [name, count] : stage.all().notes)
      out += fmt::format("<tr><td>{}<td>{}<td class=n>{}</tr>", escape_html(stage.name), escape_html(name),
                         grouped(count));
  out += "</table>";
}

void add_judged(std::string& out, const Json& manifest) {
  if (!manifest.contains("classifiers") || manifest.at("classifiers").empty()) return;
  out += "<h2>Labels</h2><table><tr><th>classifier<th>its labels come from<th>trained on<th>SHA-256</tr>";
  for (const Json& c : manifest.at("classifiers")) {
    std::string examples;
    const Json counts = c.value("examples", Json::object());
    for (const auto& [label, count] : counts.items())
      examples +=
          fmt::format("{}{} {}", examples.empty() ? "" : ", ", grouped(count.get<uint64_t>()), escape_html(label));
    out += fmt::format("<tr><td>{}<td>{}<td>{}<td><small>{}</small></tr>", escape_html(c.at("name").get<std::string>()),
                       escape_html(c.at("labels").get<std::string>()), examples,
                       escape_html(c.at("sha256").get<std::string>().substr(0, 16)));
  }
  out += "</table>";
  if (!manifest.contains("judged")) return;
  const Json& judged = manifest.at("judged");
  out += fmt::format(
      "<h3>Against a reader</h3><p class=lead>{} documents were labelled by reading them; {} of them have "
      "changed "
      "since, {} are not here.</p><table><tr><th>what<th>label<th class=n>the reader's<th class=n>ours<th "
      "class=n>both<th "
      "class=n>precision<th class=n>recall</tr>",
      judged.at("judged").get<uint64_t>(), judged.at("changed").get<uint64_t>(),
      judged.at("not_there").get<uint64_t>());
  const auto percent = [](const Json& share) {
    return share.is_null() ? std::string("-") : fmt::format("{:.1f}%", 100 * share.get<double>());
  };
  const Json agreements = judged.value("agreement", Json::object());
  for (const auto& [name, agreement] : agreements.items()) {
    out += fmt::format(
        "<tr><td><b>{}</b><td>all<td class=n>{}<td class=n>{}<td class=n><td class=n colspan=2>{} right</tr>",
        escape_html(name), agreement.at("documents").get<uint64_t>(), agreement.at("documents").get<uint64_t>(),
        percent(agreement.at("right")));
    for (const auto& [label, n] : agreement.at("labels").items())
      out += fmt::format("<tr><td><td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
                         escape_html(label), n.at("documents").get<uint64_t>(), n.at("labelled").get<uint64_t>(),
                         n.at("right").get<uint64_t>(), percent(n.at("precision")), percent(n.at("recall")));
  }
  out += "</table>";
}

void add_inputs(std::string& out, const Json& manifest) {
  const Json& inputs = manifest.at("inputs");
  out += fmt::format(
      "<h2>Inputs and configuration</h2><details><summary>{} inputs</summary><table><tr><th>source<th>file<th "
      "class=n>size<th>SHA-256</tr>",
      inputs.size());
  for (const Json& input : inputs)
    out += fmt::format("<tr><td>{}<td>{}<td class=n>{}<td><small>{}</small></tr>",
                       escape_html(input.at("source").get<std::string>()),
                       input.contains("file") ? escape_html(input.at("file").get<std::string>())
                                              : fmt::format("{} files", input.at("files").get<uint64_t>()),
                       megabytes(input.at("bytes").get<uint64_t>()), escape_html(input.value("sha256", "")));
  out += fmt::format("</table></details><details><summary>configuration</summary><pre>{}</pre></details>",
                     escape_html(manifest.at("configuration").dump(2)));
}

}  // namespace

std::string report_html(const std::string& work) {
  const Json manifest = read_json(work + "/manifest.json");
  const std::vector<Stage> stages = read_stages(work + "/details.json");
  const Tally read = find_stage(stages, "extract").all(), cleaned = find_stage(stages, "clean").all(),
              kept = find_stage(stages, "pack").all();
  const std::string name = escape_html(manifest.at("configuration").at("name").get<std::string>());
  std::string out = fmt::format(
      "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width\"><title>{}</title><style>{}</style><h1>{}</h1>"
      "<p class=lead>A corpus built by sigma {}.</p>",
      name, kStyle, name, escape_html(manifest.at("sigma").get<std::string>()));
  add_cards(out, manifest, read, kept);
  add_funnel(out, stages);
  add_drops(out, stages);
  add_categories(out, kept);
  add_judged(out, manifest);
  add_histograms(out, read, cleaned, kept);
  add_notes(out, stages);
  add_samples(out, stages, kept);
  add_inputs(out, manifest);
  return out + "</html>\n";
}

}  // namespace sigma::corpus
