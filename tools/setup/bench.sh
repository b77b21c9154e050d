#!/usr/bin/env bash
# `make bench`: from a fresh machine to every figure of docs/benchmarks.md, measured in one run. ARGS in the environment:
# options of bench/run.py, such as "--quick" or "--filter 'std-1.5b q8_0 decode'".
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/setup/packages.sh test
echo "sigma: building"
tools/setup/build.sh release sigma_cli bench_corpus
echo "sigma: installing what to compare with"
# The rows that need PyTorch are none of the quick ones.
if [[ " ${ARGS:-} " == *" --quick "* ]]; then bench/peers/install.sh llama; else bench/peers/install.sh; fi
# xargs splits as a shell would, quotes and all, and runs nothing of it.
mapfile -t options < <([[ -z ${ARGS:-} ]] || xargs -n 1 printf '%s\n' <<<"$ARGS")
exec bench/run.py --docs "${options[@]}"
