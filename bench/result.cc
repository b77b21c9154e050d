#include "bench/result.h"

#include "base/fmt.h"
#include "base/json.h"

namespace sigma::bench {

namespace {

Json json_of(const Spread& s) { return {{"median", s.median}, {"low", s.low}, {"high", s.high}}; }

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json or_null(double value) { return value > 0 ? Json(value) : Json(); }

}  // namespace

std::string to_text(const Result& r) {
  const bool timed = r.unit == "s";
  const double scale = timed ? 1e6 : 1;
  std::string line = fmt::format("{:<40} {:>10.2f} {} ({:.2f} - {:.2f})", r.name, r.ours.median * scale,
                                 timed ? "us" : r.unit, r.ours.low * scale, r.ours.high * scale);
  if (timed && r.bytes > 0) line += fmt::format("  {:>6.1f} GB/s", r.bytes / r.ours.median * 1e-9);
  if (timed && r.operations > 0) line += fmt::format("  {:>6.0f} GOP/s", r.operations / r.ours.median * 1e-9);
  if (r.limit.value > 0)
    line += fmt::format("  {:>3.0f}% of {} {:.0f}", r.share * 100, r.limit.kind, r.limit.value * 1e-9);
  if (r.ratio > 0) line += fmt::format("  {:+.1f}% time against {}", (1 / r.ratio - 1) * 100, r.against);
  return line;
}

std::string to_json(const Result& r) {
  Json json;
  json["case"] = r.name;
  json["model"] = or_null(r.model);
  json["weights"] = or_null(r.weights);
  json["k_cache"] = or_null(r.k_cache);
  json["v_cache"] = or_null(r.v_cache);
  json["context"] = r.context;
  json["batch"] = r.batch;
  json["threads"] = r.threads;
  json["unit"] = r.unit;
  json["ours"] = json_of(r.ours);
  json["peer"] = nullptr;
  if (!r.against.empty()) {
    json["peer"] = json_of(r.theirs);
    json["peer"]["name"] = r.against;
    json["peer"]["version"] = "ours";
  }
  json["ratio"] = or_null(r.ratio);
  json["bytes"] = or_null(r.bytes);
  json["flops"] = or_null(r.operations);
  json["limit"] = r.limit.value > 0 ? Json{{"kind", r.limit.kind}, {"value", r.limit.value}} : Json();
  json["share"] = r.limit.value > 0 ? Json(r.share) : Json();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sigma::bench
