#!/usr/bin/env bash
# GPU speed: the sample GPT in our recipes and the same model in compiled PyTorch (BF16, and FP8 through torchao), in one run on one GPU.
# Prints one JSON line per measurement; ours and the peers' have the same fields.
#   benchmarks/gpu-speed.sh pack DIR             on a machine with the SDK: puts the .NET runtime, the benchmark and the peer into DIR (40 MB)
#   benchmarks/gpu-speed.sh run DIR [ARGS...]    on a machine with a Hopper GPU, NVRTC and python3 with PyTorch, with or without .NET;
#                                                ARGS go to the benchmark (-n 20, --profile)
# CASES and PEERS (case:part:recipe-or-mode:micro_batch, by spaces) replace the built-in lists; an empty list leaves that half out.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

works="gpt-1.3b:train:%s:8 gpt-7b-layer:stack:%s:4 gpt-1.3b:stack:%s:8 gpt-175b-layer:stack:%s:2 gpt-125m:train:%s:32"
cases=${CASES-"${works//%s/Bf16} ${works//%s/TransformerEngine}"}
peers=${PEERS-"${works//%s/bf16} ${works//%s/fp8}"}

pack() {
  local dir
  dir=$(mkdir -p "$1" && cd "$1" && pwd)
  bash "$root/eng/pack-runtime.sh" "$dir"
  dotnet publish "$root/benchmarks/Fp8Lm.GpuBench" -c Release -v q --nologo -o "$dir/GpuBench"
  cp "$root/benchmarks/peers/gpt_peer.py" "$root/benchmarks/gpu-speed.sh" "$dir/"
}

# Peers of a wave compile at the same time, which takes as long as the slowest, and measure one at a time; a wave has to fit the GPU.
run_peers() {
  local list=($peers) wave spec processes turns gib
  gib=$(($(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -1) / 1024))
  local most=$((gib >= 130 ? 5 : 2))
  while [[ ${#list[@]} -gt 0 ]]; do
    wave=("${list[@]:0:most}") list=("${list[@]:most}") processes=() turns=$(mktemp -d "$work/turns.XXXX")
    for spec in "${wave[@]}"; do
      TORCHINDUCTOR_COMPILE_THREADS=4 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True \
        timeout 280 python3 "$dir/gpt_peer.py" --turns "$turns:${#wave[@]}" "$spec" 2>"$work/peer-$spec.log" &
      processes+=($!)
    done
    wait "${processes[@]}" || true
  done
}

run() {
  local runtime
  dir=$(cd "$1" && pwd)
  shift
  work=$(mktemp -d)
  runtime=$work/dotnet
  trap 'rm -rf "$work"' EXIT
  echo "{\"run\":\"gpu-speed\",\"date\":\"$(date -u +%F)\",\"gpu\":\"$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)\"}"
  [[ -z $peers ]] || run_peers
  mkdir "$runtime"
  tar xJ -C "$runtime" -f "$dir/runtime.tar.xz"
  export DOTNET_ROOT=$runtime DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 FP8LM_CACHE=${FP8LM_CACHE-$work/cache}
  # A process each: what one leaves behind cannot help the next, except compiled kernels.
  for spec in $cases; do
    timeout 120 "$runtime/dotnet" exec "$dir/GpuBench/Fp8Lm.GpuBench.dll" "$@" "$spec" || true
  done
}

case ${1:-} in
  pack) shift; pack "$@" ;;
  run) shift; run "$@" ;;
  *) sed -n '2,8p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
