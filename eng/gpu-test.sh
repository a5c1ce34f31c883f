#!/usr/bin/env bash
# Runs the test executables on a machine that has a Hopper GPU, the driver and NVRTC, but no .NET.
#   eng/gpu-test.sh pack DIR [PROJECT...]   on the build machine: puts the .NET runtime and the published tests (26 and 10 MB, packed) into DIR
#   eng/gpu-test.sh run DIR [ARGS...]       on the GPU machine: runs every packed test executable; ARGS go to xunit.v3 (for example -class NAME)
# DIR is all that has to travel. Test projects are xunit.v3, whose tests are plain executables.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
projects=(Fp8Lm.Runtime.Tests Fp8Lm.Parity.Tests Fp8Lm.Training.Tests)

pack() {
  local dir project
  dir=$(mkdir -p "$1" && cd "$1" && pwd)
  shift
  [[ $# -gt 0 ]] && projects=("$@")
  bash "$root/eng/pack-runtime.sh" "$dir"
  rm -rf "$dir/tests"
  for project in "${projects[@]}"; do
    dotnet publish "$root/tests/$project" -c Release -v q --nologo -o "$dir/tests/$project" -p:SatelliteResourceLanguages=en
    rm -f "$dir/tests/$project"/*.pdb "$dir/tests/$project"/*.xml
  done
  tar c -C "$dir/tests" . | xz -T0 -3 >"$dir/tests.tar.xz"
  rm -rf "$dir/tests"
}

run() {
  local dir=$1 status=0 project runtime tests
  shift
  work=$(mktemp -d)    # global: the trap runs after this function has returned
  trap 'rm -rf "$work"' EXIT
  runtime=$work/dotnet tests=$work/tests
  mkdir "$runtime" "$tests"
  tar xJ -C "$runtime" -f "$dir/runtime.tar.xz"
  tar xJ -C "$tests" -f "$dir/tests.tar.xz"
  export DOTNET_ROOT=$runtime DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
  for project in "${projects[@]}"; do
    [[ -e $tests/$project/$project.dll ]] || continue
    echo "== $project"
    "$runtime/dotnet" exec "$tests/$project/$project.dll" "$@" || status=$?
  done
  return $status
}

case ${1:-} in
  pack) shift; pack "$@" ;;
  run) shift; run "$@" ;;
  *) sed -n '2,5p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
