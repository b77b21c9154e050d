#!/bin/sh
# Installs the peers that benchmarks and comparisons run against into bench/peers/.venv: llama.cpp, built from the source
# that llama-cpp-python carries, with this machine's own instructions; tokenizers; datatrove. Minutes the first time;
# nothing when up to date.
set -eu
cd "$(dirname "$0")"
stamp=.venv/installed-requirements.txt
if [ -f "$stamp" ] && cmp -s requirements.txt "$stamp"; then
  echo "peers: up to date"
  exit 0
fi
echo "peers: building llama.cpp into bench/peers/.venv (a few minutes)"
[ -x .venv/bin/pip ] || python3 -m venv --clear .venv
CMAKE_ARGS="-DGGML_NATIVE=ON" .venv/bin/pip install --quiet --no-binary llama-cpp-python -r requirements.txt
.venv/bin/python -c "import llama_cpp; print('peers: llama-cpp-python', llama_cpp.__version__)"
cp requirements.txt "$stamp"
