// Finds out where every variable of a template lives. jinja2 decides this before anything runs, and its decisions show:
// a name that a scope sets anywhere is that scope's own from its start (docs: "Assignments", "Scoping Behavior").
#pragma once

#include <string>

#include "text/jinja_ast.h"

namespace sigma::jinja {

// Fills in the refs, frames and slot counts of `root` and everything inside. Error, with `where` and the line, for
// names, filters and tests that are not supported.
void resolve_names(FunctionPlan& root, const std::string& where);

}  // namespace sigma::jinja
