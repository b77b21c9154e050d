#!/usr/bin/env bash
# Prints the project's C++ files, each ended by a zero byte; with an argument, only those whose name ends in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
# bench/peers/.venv holds other people's headers.
find src apps bench tests examples -name .venv -prune -o \
  -type f -name "*${1:-}" '(' -name '*.cc' -o -name '*.h' ')' -print0 | sort -z
