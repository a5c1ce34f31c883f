#!/usr/bin/env bash
# Pre-training: the sample GPT (the layers of GPT-125M over bytes) on real text, recipe after recipe, and what each ends with next to BF16 and its seeds.
#   benchmarks/pretrain.sh text FILE             on a machine with Debian's packages: the RFCs of doc-rfc-std-proposed (section non-free) as one text, 402 MB
#   benchmarks/pretrain.sh pack DIR [TEXT]       on a machine with the SDK: puts the .NET runtime, our program and the first BYTES (190000000) of TEXT into DIR
#                                                (27, 3 and 31 MB); without TEXT it is fetched as above
#   benchmarks/pretrain.sh run DIR [OUT]         on a machine with a Hopper GPU and NVRTC, with or without .NET. OUT (DIR/out) gets pretrain.jsonl,
#                                                pretrain.svg and pretrain.log, of all runs that have ended in WORK so far
# RUNS (recipe:seed, by spaces, in order) replaces the built-in list; the first recipe is what the others are compared with, its other seeds are the noise.
# STEPS (9200 of 32 x 1024 tokens: 301 million, 1.6 passes over 190 MB) and ARGS (options of train) make other runs of it, the ablation of FP8-LM's Table 6 for example:
#   STEPS=1500 RUNS="Fp32:1 Bf16:1 Fp8LmO2:1 Bf16Master:1 Fp8Master:1 Fp8SecondMoment:1" ARGS="--non-finite skip" benchmarks/pretrain.sh run DIR
# Several GPUs (GPUS, their numbers; all of them) share the runs: each takes the next one.
# LIMIT (seconds, 560): runs that are on their way then save and stop. Called again with the same WORK (/tmp/fp8lm-pretrain), it goes on from there.
# DEVICE=cpu STEPS=20 ARGS="--size Tiny --sequence 64 --micro-batch 4 --eval-batches 8" is a trial without GPU.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

runs=${RUNS-"Bf16:1 TransformerEngine:1 Fp8LmO1:1 Fp8LmO2:1 Fp8LmO3:1 BlockScaled:1 Bf16:2 Bf16:3 Bf16:4 Bf16:5"}
bytes=${BYTES-190000000}

# The package's section is not among the sources of a plain Debian, so lists of our own are made from those that are there.
text() {
  local stage sources
  stage=$(mktemp -d)
  mkdir -p "$stage/lists/partial" "$stage/sources"
  for sources in /etc/apt/sources.list.d/debian.sources; do
    sed 's/^Components:.*/Components: main non-free/' "$sources" >"$stage/sources/debian.sources"
  done
  local apt=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$stage/sources" -o "Dir::State::Lists=$stage/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  apt-get "${apt[@]}" update
  (cd "$stage" && apt-get "${apt[@]}" -o APT::Sandbox::User=root download doc-rfc-std-proposed)
  dpkg-deb --fsys-tarfile "$stage"/doc-rfc-std-proposed_*.deb | tar x -C "$stage" --wildcards '*/rfc*.txt.gz'
  find "$stage" -name 'rfc*.txt.gz' | sort -V | xargs zcat >"$1"
  rm -rf "$stage"
}

pack() {
  local dir stage
  dir=$(mkdir -p "$1" && cd "$1" && pwd)
  bash "$root/eng/pack-runtime.sh" "$dir"
  stage=$(mktemp -d)
  dotnet publish "$root/benchmarks/Fp8Lm.Pretraining" -c Release -v q --nologo -o "$stage/Pretraining" -p:SatelliteResourceLanguages=en
  rm -f "$stage"/Pretraining/*.pdb "$stage"/Pretraining/*.xml
  tar c -C "$stage" Pretraining | xz -T0 -6 >"$dir/pretraining.tar.xz"
  if [[ ! -s $dir/text.xz || -n ${2-} ]]; then
    [[ -n ${2-} ]] && cp "$2" "$stage/text.txt" || text "$stage/text.txt"
    head -c "$bytes" "$stage/text.txt" | xz -T0 -6 >"$dir/text.xz"
  fi
  rm -rf "$stage"
  cp "$root/benchmarks/pretrain.sh" "$root/benchmarks/pretrain_report.py" "$root/benchmarks/curve_report.py" "$dir/"
}

# One after the other takes the next run that nobody has taken; those that have ended stay so.
train() {
  local gpu=$1 spec recipe seed name status
  [[ -z $gpu ]] || export CUDA_VISIBLE_DEVICES=$gpu
  for spec in $runs; do
    recipe=${spec%:*} seed=${spec#*:} name=${spec/:/-}
    [[ ! -s $work/summaries/$name.json ]] && mkdir "$work/taken/$name" 2>/dev/null || continue
    if ((SECONDS + 20 > limit)); then
      echo "$spec: no time left of $limit s; run again to go on" | tee -a "$work/pretrain.log" >&2
      break
    fi
    status=0
    # The program saves and stops when it is told to end; the summary of a run that was interrupted is not kept.
    timeout -s TERM -k 60 $((limit - SECONDS)) "$work/dotnet/dotnet" exec "$work/Pretraining/Fp8Lm.Pretraining.dll" train --data "$work/text.txt" --recipe "$recipe" --seed "$seed" \
      --steps "$steps" --schedule-steps "$steps" --device "${DEVICE-cuda}" --out "$work/$name" --resume --length 0 --keep 1 --summary "$work/taken/$name/summary.json" ${ARGS-} \
      >>"$work/$name.log" 2>&1 || status=$?
    tail -n 4 "$work/$name.log" | sed "s/^/$spec: /" | tee -a "$work/pretrain.log" >&2
    if [[ $status == 0 ]]; then
      mv "$work/taken/$name/summary.json" "$work/summaries/$name.json"
    else
      echo "$spec: ended with $status at $SECONDS s" | tee -a "$work/pretrain.log" >&2
    fi
  done
}

run() {
  local dir out gpu limit=${LIMIT-560} work=${WORK-/tmp/fp8lm-pretrain} steps=${STEPS-9200} workers=()
  dir=$(cd "$1" && pwd)
  out=$(mkdir -p "${2-$dir/out}" && cd "${2-$dir/out}" && pwd)
  mkdir -p "$work/dotnet" "$work/summaries"
  rm -rf "$work/taken"
  mkdir "$work/taken"
  [[ -x $work/dotnet/dotnet ]] || tar xJ -C "$work/dotnet" -f "$dir/runtime.tar.xz"
  tar xJ -C "$work" -f "$dir/pretraining.tar.xz"
  [[ -s $work/text.txt ]] || xz -dc "$dir/text.xz" >"$work/text.txt"
  export DOTNET_ROOT=$work/dotnet DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 FP8LM_CACHE=${FP8LM_CACHE-$work/cache}
  for gpu in ${GPUS-$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null || echo all)}; do
    train "${gpu#all}" &
    workers+=($!)
  done
  wait "${workers[@]}"
  cp "$work/pretrain.log" "$out/"
  python3 "$dir/pretrain_report.py" "$work" "$out" $runs
}

case ${1:-} in
  text) shift; text "$@" ;;
  pack) shift; pack "$@" ;;
  run) shift; run "$@" ;;
  *) sed -n '2,17p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
