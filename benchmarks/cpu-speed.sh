#!/usr/bin/env bash
# CPU speed on two pinned cores: TinyGpt in three recipes and the same model in eager PyTorch FP32, in turn, three rounds in one run.
# Prints one JSON line per measurement.
#   benchmarks/cpu-speed.sh pack DIR     on a machine with the SDK: puts the .NET runtime, the sample and a corpus into DIR
#   benchmarks/cpu-speed.sh run DIR      on a machine with python3 and a current PyTorch (with MKL), with or without .NET
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

pack() {
  local dir dotnet_root
  dir=$(mkdir -p "$1" && cd "$1" && pwd)
  dotnet_root=$(dirname "$(readlink -f "$(command -v dotnet)")")
  bash "$root/eng/pack-runtime.sh" "$dir"
  dotnet publish "$root/samples/TinyGpt" -c Release -v q --nologo -o "$dir/TinyGpt"
  cp "$root/benchmarks/peers/cpu_peer.py" "$dir/"
  # Any English text will do for a timing; the documentation of one reference assembly is at hand.
  sed -e 's/<[^>]*>/ /g' "$dotnet_root"/packs/Microsoft.NETCore.App.Ref/*/ref/*/System.Runtime.xml | tr -s ' \n' ' ' | head -c 4000000 >"$dir/corpus.txt"
}

run() {
  local dir=$1 runtime work cpu
  runtime=$(mktemp -d) work=$(mktemp -d)
  trap "rm -rf '$runtime' '$work'" EXIT
  tar xJ -C "$runtime" -f "$dir/runtime.tar.xz"
  export DOTNET_ROOT=$runtime DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 FP8LM_THREADS=2
  cpu=$(lscpu | sed -n 's/^Model name: *//p' | head -1)
  echo "{\"run\":\"cpu-speed\",\"date\":\"$(date -u +%F)\",\"cpu\":\"$cpu\",\"pinned\":\"0,1\"}"
  for round in 1 2 3; do
    taskset -c 0,1 python3 "$dir/cpu_peer.py"
    for recipe in Fp32 Bf16 TransformerEngine; do
      taskset -c 0,1 "$runtime/dotnet" exec "$dir/TinyGpt/TinyGpt.dll" train --data "$dir/corpus.txt" --recipe $recipe --device cpu \
        --micro-batch 16 --sequence 128 --steps 100 --out "$work/$recipe$round" --summary "$work/summary.json" >/dev/null 2>&1
      tr -d '\n' <"$work/summary.json" | sed 's/  */ /g'
      echo
    done
  done
}

case ${1:-} in
  pack) pack "$2" ;;
  run) run "$2" ;;
  *) sed -n '2,6p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
