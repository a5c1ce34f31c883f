#!/usr/bin/env python3
"""docs/profile.md from the JSON lines of `gpu-speed.sh run DIR --profile`: where the time of each case goes, its floors, the gap, and what would close it.

usage: profile_page.py RESULTS.jsonl > docs/profile.md
Floors: FLOPs at the dense peak of the tensor cores (FP8 1979, bf16 989 TFLOP/s), bytes that must move at what a device copy reaches: 2.9 TB/s on an H100 (kernels
that mostly read: 4.3 on an H200).
"""
import json, re, sys

FP8, BF16 = 1979e12, 989e12
COPY = {"H100": 2.9e12, "H200": 4.3e12}
# What would close the gap, by the first pattern that fits.
ADVICE = [
    (r"down_dgrad", "its epilogue does not hide: promotion wants both consumers on one tile. A tile each with two partial sums in turn, or a fragment-wise epilogue without shuffles"),
    (r"up_fprop", "stores of three outputs; through shared memory by TMA tensor stores (bulk copies of 64 bytes were slower)"),
    (r"head_tokens_(fprop|dgrad|wgrad)", "products in bf16 (the recipe keeps the head there); an FP8 head as a recipe"),
    (r"cross_entropy", "statistics in the epilogue of the head's product"),
    (r"attention(_kv|_q)?$", "at or above cuDNN; one fused backward kernel (five products instead of seven), FP8 scores"),
    (r"_wgrad", "stream-K for the last round of tiles; promotion costs 5 to 10 %"),
    (r"_(fprop|dgrad)$", "near what cuBLASLt reaches on this GPU at its power limit; stream-K for the last round of tiles"),
    (r"norm$", "backward writes two turned copies; wide rows wait for other blocks of their cluster"),
    (r"adamw|gradient_norm|ient_norm|^w$", "at the bandwidth; FP8 moments and gradients move 2 to 3 times fewer bytes (Fp8LmO2)"),
    (r"setup_", "at the bandwidth; inside AdamW the master would not be read again"),
    (r"tokens_gradient", "sort positions by token once per batch"),
    (r"_sum(_\d+)?$", "one launch for all column sums of a layer"),
]


def advice(name): return next((text for pattern, text in ADVICE if re.search(pattern, name)), "")


def main():
    rows = [json.loads(line) for line in open(sys.argv[1]) if line.startswith("{")]
    run = next((r for r in rows if r.get("run") == "gpu-speed"), {})
    print("# Profile\n\nWhere a step goes on one GPU, case by case: written by `benchmarks/profile_page.py` from")
    print(f"`{sys.argv[1]}` ({run.get('date')}, {run.get('gpu')}); the command of the run is in [performance.md](performance.md).")
    copy = next((v for k, v in COPY.items() if k in run.get("gpu", "")), COPY["H100"])
    print(f"Floors of a kernel: its FLOPs at {FP8 / 1e12:.0f} (FP8) or {BF16 / 1e12:.0f} TFLOP/s (bf16), its bytes at {copy / 1e12:.1f} TB/s; the larger counts. At full load the GPU runs")
    print("into its power limit: cuBLASLt reaches 60 to 75 % of the peak on random numbers. Kernels are timed launch by launch, which leaves out overlap and graph, so their sum is not the step.\n")
    cases = {}
    for r in rows:
        if "kernel" in r: cases.setdefault((r["case"], r["part"] if "part" in r else "", r["mode"]), []).append(r)
    for r in rows:
        if "ms" not in r or "case" not in r or "kernel" in r: continue
        key = next((k for k in cases if k[0] == r["case"] and k[2] == r.get("mode") and k[1] in ("", r.get("part"))), None)
        if key is None: continue
        kernels = sorted(cases[key], key=lambda k: -k["step_ms"]); total = sum(k["step_ms"] for k in kernels)
        print(f"## {r['case']}, {r['part']}, {r['mode']}, micro-batch {r['micro_batch']} x {r['seq']}: {r['ms']:.1f} ms\n")
        print("| kernel | calls | us | of the time | floor us | gap | what would close it |\n|---|---|---|---|---|---|---|")
        shown = 0.0
        for k in kernels:
            share = k["step_ms"] / total
            if share < 0.012: continue
            name = re.sub(r"^gpt_", "", k["kernel"]); shown += share
            sixteen = r["mode"] == "Bf16" or "attention" in name and "norm" not in name or "head" in name
            floor = max(k.get("gflop", 0) * 1e9 / (BF16 if sixteen else FP8), k.get("mb", 0) * 1e6 / copy) * 1e6
            known, gap = (f"{floor:.0f}", f"{k['us'] / floor:.2f}x") if floor else ("", "")
            print(f"| {name} | {k['calls']} | {k['us']:.0f} | {100 * share:.1f} % | {known} | {gap} | {advice(name)} |")
        print(f"| the rest | | | {100 * (1 - shown):.1f} % | | | |\n")


main()
