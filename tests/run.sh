#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything needed to see mica work: packages, build, all tests, one summary line.
#
#   tests/run.sh [--preset release|dev|asan|tsan] [-L LABELS] [-j N] [-- CTEST_ARGUMENT ...]
#
#   --preset   the build to test (default release)
#   -L         only tests with a label that matches, e.g. 'unit|tidy'; ctest's own -L
#   -j         compilers at once (default: number of processors); one test more, as tests wait much
#
# With CI=true in the environment warnings are errors, and a test that skips is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=release labels='' jobs=$(nproc)
while [[ $# -gt 0 ]]; do
  case $1 in
    --preset) preset=$2; shift 2 ;;
    -L) labels=$2; shift 2 ;;
    -j) jobs=$2; shift 2 ;;
    --) shift; break ;;
    -h|--help) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
  esac
done
ci=${CI:-false}

tools/packages.sh build run test

build=build/$preset
mkdir -p build
options=(-DMICA_TESTS=ON)
[[ $ci == true ]] && options+=(-DMICA_WERROR=ON)
cmake --preset "$preset" "${options[@]}" >"$build.configure.log" 2>&1 || {
  cat "$build.configure.log" >&2
  exit 1
}
cmake --build "$build" -j "$jobs"

results=$PWD/$build/test-results.xml
rm -f "$results"
status=0
ctest --test-dir "$build" --output-on-failure --schedule-random -j "$((jobs + 1))" --output-junit "$results" \
  ${labels:+-L "$labels"} "$@" || status=$?
exec /usr/bin/python3 tests/support/summary.py "$results" "$status" "$ci"
