// The page that people look at: what went in, what came out, what was dropped and why, with samples of each.
#pragma once

#include <string>

namespace sigma::corpus {

// From the manifest and the details of a build's folder; one HTML file without scripts or anything from elsewhere.
std::string report_html(const std::string& work);

}  // namespace sigma::corpus
