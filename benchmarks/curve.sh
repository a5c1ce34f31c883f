#!/usr/bin/env bash
# Loss curves: the sample GPT-125M on real text in our recipes and in PyTorch BF16, from the same weights and batches, next to what five seeds of PyTorch differ.
#   benchmarks/curve.sh pack DIR [TEXT...]   on a machine with the SDK: puts the .NET runtime, our program, the peer and the text into DIR (27 and 4 MB);
#                                            TEXT is files and folders, without any the API documentation of the SDK (9 MB)
#   benchmarks/curve.sh run DIR [OUT]        on a machine with a Hopper GPU, NVRTC and python3 with PyTorch, with or without .NET; 3 GB of room in TMPDIR.
#                                            OUT (DIR/out) gets curve.jsonl, curve.svg and curve.log; fails when a recipe is not within noise or a run is missing
# RUNS (recipe:seed; Current is TransformerEngineCurrent), PEERS and MORE (mode:seed, or mode:seed@seed for other batches than the weights' seed has) replace the built-in lists. PEERS trains beside
# ours: the first is what ours is compared with, the others with its batches are the noise; MORE follows if time allows: the noise of seeds whose batches are
# their own, too. RUNS takes Fp32, PEERS f32.
# SETTINGS (key=value, by spaces) go to Fp8Lm.LossCurves prepare; DEVICE=cpu, SETTINGS="size=Tiny batch=4 sequence=64" is a trial without GPU.
# AT_ONCE (16): runs side by side at most, for GPUs that do not hold all of them (15 GB one of PyTorch, 8 one of ours).
# LIMIT (seconds, 140): what has not ended then is ended. PYTHON names another python3.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

runs=${RUNS-"Bf16:1 TransformerEngine:1"}
peers=${PEERS-"bf16:1 bf16:2@1 bf16:3@1 bf16:4@1 bf16:5@1"}
more=${MORE-"bf16:2 bf16:3 bf16:4 bf16:5"}
python=${PYTHON-python3}
at_once=${AT_ONCE-16}

pack() {
  local dir stage
  dir=$(mkdir -p "$1" && cd "$1" && pwd)
  shift
  bash "$root/eng/pack-runtime.sh" "$dir"
  stage=$(mktemp -d)
  dotnet publish "$root/benchmarks/Fp8Lm.LossCurves" -c Release -v q --nologo -o "$stage/LossCurves" -p:SatelliteResourceLanguages=en
  rm -f "$stage"/LossCurves/*.pdb "$stage"/LossCurves/*.xml
  dotnet exec "$stage/LossCurves/Fp8Lm.LossCurves.dll" text "$stage/text.txt" "$@"
  tar c -C "$stage" LossCurves text.txt | xz -T0 -6 >"$dir/curve.tar.xz"
  rm -rf "$stage"
  cp "$root/benchmarks/curve.sh" "$root/benchmarks/curve_report.py" "$root/benchmarks/peers/curve_peer.py" "$dir/"
}

# NAME COMMAND...: a command in the background, once there is room for it, with a place in the log and the time that is left.
start() {
  while (($(jobs -rp | wc -l) >= at_once)); do
    wait -n || true
  done
  logged "$@" &
}

logged() {
  local name=$1 status=0
  shift
  timeout $((limit > SECONDS ? limit - SECONDS : 1)) "$@" 2>>"$out/curve.log" || status=$?
  [[ $status == 0 ]] || echo "$name: failed with $status$([[ $status != 124 ]] || echo ", at the limit of $limit s")" >>"$out/curve.log"
}

run() {
  local dir out runtime ours seeds spec status began device=${DEVICE-cuda} limit=${LIMIT-140}
  dir=$(cd "$1" && pwd)
  out=$(mkdir -p "${2-$dir/out}" && cd "${2-$dir/out}" && pwd)
  work=$(mktemp -d)    # global: the trap runs after this function has returned
  trap 'rm -rf "$work"' EXIT
  runtime=$work/dotnet ours="$work/dotnet/dotnet exec $work/LossCurves/Fp8Lm.LossCurves.dll"
  mkdir "$runtime" "$work/curve"
  tar xJ -C "$runtime" -f "$dir/runtime.tar.xz"
  tar xJ -C "$work" -f "$dir/curve.tar.xz"
  export DOTNET_ROOT=$runtime DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 FP8LM_CACHE=${FP8LM_CACHE-$work/cache}
  # In the order in which they are named, each once: the first one's weights and batches are those of the comparison.
  seeds=$(tr ' @' '\n\n' <<<"$peers $more $runs" | sed 's/.*://; /^$/d' | awk '!seen[$0]++' | paste -sd,)
  : >"$out/curve.log"
  $ours prepare "$work/curve" "$work/text.txt" seeds="$seeds" ${SETTINGS-} 2>&1 | tee -a "$out/curve.log" >&2

  # Side by side: 5 x 15 GB of PyTorch and 2 x 8 of ours; one computes while another waits for its host.
  began=$SECONDS
  for spec in $runs; do
    start "fp8lm $spec" $ours train "$work/curve" "${spec%:*}" "${spec#*:}" "$device"
  done
  for spec in $peers; do
    start "pytorch $spec" "$python" "$dir/curve_peer.py" "$work/curve" "${spec%:*}" "${spec#*:}" --device "$device"
  done
  wait
  if [[ $((2 * SECONDS - began)) -gt $limit && -n $more ]]; then
    echo "No time for $more: the runs before took $((SECONDS - began)) s of $limit (LIMIT)." | tee -a "$out/curve.log" >&2
    more=
  fi
  for spec in $more; do
    start "pytorch $spec" "$python" "$dir/curve_peer.py" "$work/curve" "${spec%:*}" "${spec#*:}" --device "$device"
  done
  wait
  status=0
  "$python" "$dir/curve_report.py" "$work/curve" "$out" $(printf ' fp8lm:%s' $runs) $(printf ' pytorch:%s' $peers $more) || status=$?
  echo "curve: $SECONDS s in all" | tee -a "$out/curve.log" >&2
  [[ $status == 0 ]] || cat "$out/curve.log" >&2
  return $status
}

case ${1:-} in
  pack) shift; pack "$@" ;;
  run) shift; run "$@" ;;
  *) sed -n '2,13p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
