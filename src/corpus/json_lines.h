// Files of one JSON value a line, plain or compressed: the form of most dumps.
#pragma once

#include <functional>
#include <string>

#include "corpus/json_view.h"
#include "corpus/source.h"

namespace sigma::corpus {

// f for every line that is JSON; others are counted (with the kind's name before the reason), also those beyond 64 MiB.
void each_json_line(const std::string& path, const std::string& kind, Sink& sink,
                    const std::function<void(JsonView)>& f);

}  // namespace sigma::corpus
