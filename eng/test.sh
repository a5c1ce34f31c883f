#!/usr/bin/env bash
# Builds everything, brings NVRTC, runs all tests, and prints "N passed, N failed, N skipped" as its last line.
# usage: eng/test.sh [test project ...]     without arguments: all of tests/*.Tests
set -uo pipefail
cd "$(dirname "$0")/.."

# Kernels are compiled in the tests; where NVRTC cannot be had those tests say so and count as skipped.
nvrtc=${FP8LM_NVRTC_DIR:-$HOME/.cache/fp8lm/nvrtc}
bash eng/get-nvrtc.sh "$nvrtc" >/dev/null || echo "NVRTC could not be fetched; tests that need it will be skipped" >&2

dotnet build Fp8Lm.sln -c Release --nologo -v q -clp:NoSummary || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }

projects=("$@")
[ ${#projects[@]} -gt 0 ] || projects=(tests/*.Tests/)
passed=0 failed=0 skipped=0
for project in "${projects[@]}"; do
  name=$(basename "$project")
  exe=$project/bin/Release/net10.0/$name
  log=$(mktemp)
  "$exe" -noLogo -noColor 2>&1 | tee "$log" | grep -vE '^\s*(Discovering|Discovered|Starting|Finished):' || true
  line=$(grep -E "Total: [0-9]+" "$log" | tail -n 1)
  count() { sed -nE "s/.*$1: ([0-9]+).*/\1/p" <<<"$line"; }
  if [ -z "$line" ]; then
    echo "$name did not finish" >&2
    failed=$((failed + 1))
  else
    bad=$(($(count Failed) + $(count Errors)))
    failed=$((failed + bad))
    skipped=$((skipped + $(count Skipped)))
    passed=$((passed + $(count Total) - $(count Failed) - $(count Skipped)))
  fi
  rm -f "$log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
