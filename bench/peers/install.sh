#!/bin/sh
# Installs the peers that benchmarks and comparisons run against. Minutes the first time; nothing when up to date.
# usage: install.sh [llama] [torch]    both without a word
#   llama: bench/peers/.venv: llama.cpp, built from the source that llama-cpp-python carries, with this machine's own
#          instructions, Hugging Face's tokenizers, and datatrove
#   torch: bench/peers/.venv-torch: PyTorch, 5 GB on disk
set -eu
cd "$(dirname "$0")"

# peer NAME FOLDER REQUIREMENTS MODULE PIP-OPTIONS...
peer() {
  name=$1 venv=$2 requirements=$3 module=$4
  shift 4
  stamp=$venv/installed-requirements.txt
  if [ -f "$stamp" ] && cmp -s "$requirements" "$stamp"; then
    echo "peers: $name is up to date"
    return
  fi
  echo "peers: installing $name into bench/peers/$venv (a few minutes)"
  [ -x "$venv/bin/pip" ] || python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet "$@" -r "$requirements"
  "$venv/bin/python" -c "import $module; print('peers: $name', $module.__version__)"
  cp "$requirements" "$stamp"
}

for wanted in ${*:-llama torch}; do
  case $wanted in
    llama) CMAKE_ARGS="-DGGML_NATIVE=ON" peer llama.cpp .venv requirements.txt llama_cpp --no-binary llama-cpp-python ;;
    torch) peer PyTorch .venv-torch requirements-torch.txt torch ;;
    *) echo "usage: install.sh [llama] [torch]" >&2; exit 2 ;;
  esac
done
