#!/usr/bin/env bash
# `make test`: from a fresh machine to every test and check, stage by stage, and a count at the end. A stage that fails
# does not stop those after it. ONLY="release format" in the environment: just these stages. Logs are in build/logs.
set -uo pipefail
cd "$(dirname "$0")/../.."
tools/setup/packages.sh test || exit 1

jobs=$(nproc)
logs=build/logs
mkdir -p "$logs"
passed=0
failed=0
skipped=0
stages=(format release package sanitizers fuzz)
# Another build each, an emulated processor, and clang-tidy, which reads every file for as long as all the rest takes:
# everywhere but in CI, whose time is short.
if [[ -z ${CI:-} ]]; then stages+=(threads aarch64 tidy); fi
# What runs more than one thread of ours.
threaded=(base_parallel_test net_http_test model_hub_test model_golden_test engine_engine_test data_loader_test
          data_tokenize_test train_network_test train_trainer_test)

wanted() { [[ -z ${ONLY:-} || " $ONLY " == *" $1 "* ]]; }
tell() { printf '   %-46s %5d s\n' "$1" "$2"; }

# check NAME COMMAND...: one thing that goes well or not; its output goes to a log, which is shown when it fails.
check() {
  local name=$1 log=$logs/${1// /-}.log start=$SECONDS
  shift
  if "$@" >"$log" 2>&1 </dev/null; then
    tell "$name" $((SECONDS - start))
    return 0
  fi
  tell "$name: FAILED, see $log" $((SECONDS - start))
  tail -n 60 "$log"
  return 1
}
counted() { if check "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }
build() { check "build $1" tools/setup/build.sh "$@" || { failed=$((failed + 1)); return 1; }; }

# Counts ctest's log: a GoogleTest program's cases one by one, any other program as one test.
tally() {
  awk '
    /^\[  PASSED  \] [0-9]+ test/ { ok += $4 }
    /^\[  SKIPPED \] [0-9]+ test/ { skip += $4 }
    /^\[  FAILED  \] [0-9]+ test/ { bad += $4 }
    /^Test (Passed|Skipped)\.$/ { if (ok + skip + bad == 0) ok = 1; finish() }
    /^Test (Failed|Timeout)|^Test not run|^Unable to find executable/ { if (bad == 0) bad = 1; finish() }
    function finish() { p += ok; s += skip; f += bad; ok = skip = bad = 0 }
    END { print p + 0, f + 0, s + 0 }' "$1"
}

# tests NAME PRESET CTEST-OPTIONS...: runs the preset's tests and counts them.
tests() {
  local name=$1 preset=$2 start=$SECONDS log=build/$2/Testing/Temporary/LastTest.log p f s
  shift 2
  rm -f "$log"
  (cd "build/$preset" && ctest --output-on-failure --no-tests=error -j "$jobs" --timeout 900 "$@") \
    >"$logs/tests-$name.log" 2>&1 </dev/null
  local status=$?
  read -r p f s < <(tally "$log" 2>/dev/null || echo 0 0 0)
  if [[ $status -ne 0 && $f -eq 0 ]]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  tell "$name: $p passed, $f failed, $s skipped" $((SECONDS - start))
  if [[ $f -gt 0 ]]; then tail -n 150 "$logs/tests-$name.log"; fi
}

format() {
  if [[ $(clang-format --version) != *" 14."* ]]; then
    echo "   skipped: the style is that of clang-format 14"
    return
  fi
  counted 'clang-format' bash -c 'tools/setup/sources.sh | xargs -0 clang-format --dry-run -Werror'
}

release() {
  build release || return
  counted 'pull the default model' build/release/apps/sigma pull smollm2
  tests release release
}

# Installs the library and builds the example against it, as another project would.
package() {
  local prefix=$PWD/build/installed
  [[ -d build/release ]] || build release || return
  rm -rf "$prefix" build/example
  counted 'install' cmake --install build/release --prefix "$prefix"
  counted 'example: configure' cmake -S examples -B build/example -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
  counted 'example: build' cmake --build build/example
  counted 'example: run' bash -c 'build/example/generate smollm2 "The capital of France is" | grep Paris'
  counted 'installed command' "$prefix/bin/sigma" --version
}

sanitizers() {
  build debug-asan-ubsan || return
  tests sanitizers debug-asan-ubsan -LE fuzz
}

threads() {
  build debug-tsan "${threaded[@]}" || return
  # Ten steps of training are compared with another program's to 1e-5, which plain code's own rounding exceeds.
  GTEST_FILTER='-*TenStepsLoseWhatTheyLoseInPyTorch' tests threads debug-tsan -R "^($(IFS='|'; echo "${threaded[*]}"))\$"
}

aarch64() {
  build aarch64 || return
  GTEST_FILTER='-*/scalar*' tests aarch64 aarch64  # the scalar kernels are the same everywhere, and emulation is slow
}

fuzz() {
  build debug-asan-ubsan || return
  tests fuzz debug-asan-ubsan -L fuzz -j $((4 * jobs))  # each runs for a minute, whatever its share of a processor
}

tidy() {
  [[ -f build/release/compile_commands.json ]] || build release || return
  counted 'clang-tidy' bash -c 'find src apps -name "*.cc" -print0 | sort -z |
    xargs -0 -n 1 -P "$(nproc)" clang-tidy -p build/release --quiet'
}

for stage in "${stages[@]}"; do
  wanted "$stage" || continue
  echo "== $stage"
  "$stage"
done
echo "== $SECONDS s in all"
if [[ $skipped -gt 0 ]]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[[ $failed -eq 0 && $passed -gt 0 ]]
