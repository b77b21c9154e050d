#!/usr/bin/env bash
# `make bench`: from a fresh machine to this machine's limits, every kernel's share of them, and whole models beside
# llama.cpp in one run, in docs/benchmarks.md. ARGS in the environment: options of bench/run.py, such as "--quick".
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/setup/packages.sh test
echo "sigma: building"
tools/setup/build.sh release sigma_cli
echo "sigma: installing what to compare with"
bench/peers/install.sh
build/release/apps/sigma bench kernels
# shellcheck disable=SC2086
exec bench/run.py --docs ${ARGS:-}
