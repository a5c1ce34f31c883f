#!/usr/bin/env bash
# GPU speed: the sample GPT in our recipes and the same model in compiled PyTorch (BF16, and FP8 through torchao), in one run on one GPU.
# Prints one JSON line per measurement; ours and the peers' have the same fields.
#   benchmarks/gpu-speed.sh pack DIR             on a machine with the SDK: puts the .NET runtime, the benchmark and the peer into DIR (40 MB)
#   benchmarks/gpu-speed.sh run DIR [ARGS...]    on a machine with a Hopper GPU, NVRTC and python3 with PyTorch, with or without .NET;
#                                                ARGS go to the benchmark (-n 20, --profile)
# Works come in groups whose peers fit a GPU of 80 GB at the same time. Where there are several GPUs they share the groups; a work and its peer stay on one GPU.
# RECIPES and MODES (ours and the peers') replace the built-in lists, GROUPS_OF_WORK (works case:part:%s:micro_batch by spaces, groups by commas) the works; an empty
# MODES or RECIPES leaves that half out. GPUS (numbers) says which ones. torchao's modes are left out where it is not installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

IFS=, read -ra groups <<<"${GROUPS_OF_WORK-gpt-1.3b:train:%s:8 gpt-7b-layer:stack:%s:4 gpt-125m:train:%s:32,gpt-1.3b:stack:%s:8 gpt-175b-layer:stack:%s:2}"
recipes=${RECIPES-Bf16 TransformerEngine Fp8LmO2 Fp8LmO3}
modes=${MODES-bf16 fp8}

pack() {
  local dir
  dir=$(mkdir -p "$1" && cd "$1" && pwd)
  bash "$root/eng/pack-runtime.sh" "$dir"
  dotnet publish "$root/benchmarks/Fp8Lm.GpuBench" -c Release -v q --nologo -o "$dir/GpuBench"
  cp "$root/benchmarks/peers/gpt_peer.py" "$root/benchmarks/gpu-speed.sh" "$dir/"
}

# Peers of a group compile at the same time, which takes as long as the slowest, and measure one at a time.
run_peers() {
  local group=$1 mode spec processes turns specs
  for mode in $modes; do
    if [[ $mode != bf16 ]] && ! python3 -c 'import torchao' 2>/dev/null; then
      echo "{\"peer\":\"$mode\",\"skipped\":\"torchao is not installed\"}"
      continue
    fi
    specs=(${group//%s/$mode}) processes=() turns=$(mktemp -d "$work/turns.XXXX")
    for spec in "${specs[@]}"; do
      TORCHINDUCTOR_COMPILE_THREADS=4 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True \
        timeout 280 python3 "$dir/gpt_peer.py" --turns "$turns:${#specs[@]}" "$spec" 2>"$work/peer-$spec.log" &
      processes+=($!)
    done
    wait "${processes[@]}" || true
  done
}

# A process each: what one leaves behind cannot help the next, except compiled kernels.
run_ours() {
  local group=$1 recipe spec
  shift
  for recipe in $recipes; do
    for spec in ${group//%s/$recipe}; do
      timeout 120 "$DOTNET_ROOT/dotnet" exec "$dir/GpuBench/Fp8Lm.GpuBench.dll" "$@" "$spec" || true
    done
  done
}

# The GPU's number, its place among those that share, how many they are.
run_gpu() {
  local gpu=$1 place=$2 gpus=$3 i
  shift 3
  export CUDA_VISIBLE_DEVICES=$gpu
  echo "{\"run\":\"gpu-speed\",\"date\":\"$(date -u +%F)\",\"gpu\":\"$(nvidia-smi -i "$gpu" --query-gpu=name,driver_version --format=csv,noheader)\"}"
  for ((i = place; i < ${#groups[@]}; i += gpus)); do
    run_peers "${groups[i]}"
    [[ -z $recipes ]] || run_ours "${groups[i]}" "$@"
  done
}

run() {
  local gpus place workers=()
  dir=$(cd "$1" && pwd)
  shift
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/dotnet"
  tar xJ -C "$work/dotnet" -f "$dir/runtime.tar.xz"
  export DOTNET_ROOT=$work/dotnet DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 FP8LM_CACHE=${FP8LM_CACHE-$work/cache}
  gpus=(${GPUS-$(nvidia-smi --query-gpu=index --format=csv,noheader)})
  for ((place = 0; place < ${#gpus[@]} && place < ${#groups[@]}; place++)); do
    run_gpu "${gpus[place]}" "$place" "${#gpus[@]}" "$@" &
    workers+=($!)
  done
  wait "${workers[@]}" || true
}

case ${1:-} in
  pack) shift; pack "$@" ;;
  run) shift; run "$@" ;;
  *) sed -n '2,9p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
