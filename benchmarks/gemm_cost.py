"""Fits the constants of the cost model of products (src/Fp8Lm.Runtime/Execution/Cost/HopperCost.cs) to a profile.

    python3 benchmarks/gemm_cost.py benchmarks/results/2026-11-25-h100-gpu-speed.jsonl [--splits]

Reads what `gpu-speed.sh run DIR --profile` wrote for the sample GPT in TransformerEngine and Bf16 (of gpt-1.3b the whole training step), fits to gpt-1.3b and gpt-175b-layer by least squares of logarithms, and prints the constants and
the errors of every case; the tests then check the constants as they stand in the source. --splits: the kernels of the profile share K of a tile where tiles are few, which those of
2026-11-25 did not. Standard library only."""
import json
import math
import sys

FITTED = ("gpt-1.3b", "gpt-175b-layer")
MULTIPROCESSORS, STAGE = 132, 128
MOST_SPLIT, EXCHANGE, LEAST_SHARE, SPLIT_MARGIN = 8 if "--splits" in sys.argv else 1, 800, 2048, 10
# rows, columns, in turn, consuming warpgroups; percent and start of each that serves: gemm/tile.cuh
TILES = [(128, 256, 0, 2), (128, 192, 1, 2), (128, 128, 1, 2), (256, 128, 0, 2), (128, 192, 0, 2), (128, 128, 0, 2), (192, 128, 0, 3)]
SPEEDS = {"fp8": {2: (95, 120)}, "light": {1: (100, 80), 2: (95, 120)}, "promoted": {3: (98, 400), 4: (100, 400), 5: (90, 400)},
          "plain": {3: (93, 400), 4: (96, 400), 5: (91, 400), 6: (100, 400)}, "bf16_plain": {0: (100, 600), 1: (83, 80), 2: (72, 120)},
          "bf16": {0: (100, 1800), 1: (83, 80), 2: (72, 120)}, "bf16_wide": {0: (100, 1800), 2: (72, 120)}}
OPERATION, LAUNCH, BANDWIDTH = 8.8e-6, 3.0, 2.9e6    # given: two FP32 instructions of 128 lanes at 1.7 GHz; between events; bytes per us
START = dict(rate=5.6e6, promoted=1.0, bf16=1.0, load=30e-6, store=1e-6, transposed=1e-6, sums=1e-6, exposed=0.5)


def epilogue(kernel, fp8):
    """loads, stores in bytes; transposed copies, sums, operations of an element."""
    if kernel == "up_fprop":
        return (0, 2, 1, 0, 17) if fp8 else (0, 3, 0, 0, 17)
    if kernel == "down_dgrad":
        return (1, 1, 1, 1, 1) if fp8 else (1, 2, 0, 1, 1)
    if kernel.endswith("wgrad"):
        return 0, 2, 0, 0, 0
    return (2, 2, 0, 0, 2) if kernel in ("project_fprop", "down_fprop") else (0, 2, 0, 0, 0)


def read(path):
    case, products = {}, []
    for line in open(path):
        r = json.loads(line)
        if "micro_batch" in r:
            case = r
        words = r.get("kernel", "").split("_blocks_")
        if r.get("mode") not in ("TransformerEngine", "Bf16") or (r["case"], r["part"]) == ("gpt-1.3b", "stack") or len(words) < 2 or not words[1].endswith(("_fprop", "_dgrad", "_wgrad")):
            continue
        linear, role = words[1].rsplit("_", 1)
        d, tokens, fp8 = case["d"], case["seq"] * case["micro_batch"], r["mode"] != "Bf16"
        o, i = {"qkv": (3 * d, d), "project": (d, d), "up": (4 * d, d), "down": (d, 4 * d)}[linear]
        m, n, k = {"fprop": (tokens, o, i), "dgrad": (tokens, i, o), "wgrad": (o, i, tokens)}[role]
        products.append((r["case"], words[1], fp8, fp8 and role != "fprop", m, n, k, epilogue(words[1], fp8), r["us"]))
    return products


def predict(product, p):
    _, _, fp8, promotes, m, n, k, (loads, written, transposed, sums, operations), _ = product
    width = 1 if fp8 else 2
    light = sums == 0 and loads <= (2 if transposed == 0 else 0)
    stores, narrow = loads == sums == transposed == operations == 0, sums <= 1 and transposed == 0 and loads <= 2
    kind = ("bf16_plain" if stores else "bf16" if narrow else "bf16_wide") if not fp8 else ("plain" if sums == transposed == 0 else "promoted") if promotes else "light" if light else "fp8"
    count = lambda t: -(-m // t[0]) * -(-n // t[1])
    rounds = lambda t, split: -(-count(t) // (MULTIPROCESSORS if split == 1 else 8 * (16 // split)))
    time = lambda t, s, split: rounds(t, split) * t[0] * t[1] * (-(-k * width // split) + s[1] + EXCHANGE * (split > 1)) * (100 + SPLIT_MARGIN * (split > 1)) // s[0]
    splits = lambda t: range(1, 1 + (min(MOST_SPLIT, max(1, k * width // LEAST_SHARE)) if not t[2] and count(t) < MULTIPROCESSORS else 1))
    _, tile, split = min((time(TILES[t], s, split), t, split) for t, s in SPEEDS[kind].items() for split in splits(TILES[t]))
    rows, columns, in_turn, consumers = TILES[tile]
    rate = p["rate"] * (p["promoted"] if promotes else 1) * (1 if fp8 else p["bf16"])
    multiply = rows * columns * (-((-k * width // STAGE) // split) * STAGE + EXCHANGE * (split > 1)) / rate
    after = rows * columns / split * (p["load"] * loads + p["store"] * written + p["transposed"] * transposed + p["sums"] * sums + OPERATION * operations)
    if in_turn:
        compute = rounds(TILES[tile], split) * (max(multiply, after) + p["exposed"] * min(multiply, after)) + (1 - p["exposed"]) * min(multiply, after)
    else:
        compute = rounds(TILES[tile], split) * (multiply + after / consumers)
    return max(compute, ((m + n) * k * width + m * n * (loads + written + transposed + sums / 4)) / BANDWIDTH) + LAUNCH


def nelder_mead(f, x, iterations, step=0.2):
    points = [x] + [[v + step * (i == j) for j, v in enumerate(x)] for i in range(len(x))]
    values = [f(q) for q in points]
    for _ in range(iterations):
        order = sorted(range(len(points)), key=values.__getitem__)
        points, values = [points[i] for i in order], [values[i] for i in order]
        center = [sum(q[j] for q in points[:-1]) / len(x) for j in range(len(x))]
        at = lambda s: [center[j] + s * (points[-1][j] - center[j]) for j in range(len(x))]
        reflected = at(-1)
        value = f(reflected)
        if value < values[0]:
            far = at(-2)
            points[-1], values[-1] = min((far, f(far)), (reflected, value), key=lambda q: q[1])
        elif value < values[-2]:
            points[-1], values[-1] = reflected, value
        else:
            near = at(0.5)
            value = f(near)
            if value < values[-1]:
                points[-1], values[-1] = near, value
            else:
                points = [points[0]] + [[(a + b) / 2 for a, b in zip(points[0], q)] for q in points[1:]]
                values = [values[0]] + [f(q) for q in points[1:]]
    best = min(range(len(points)), key=values.__getitem__)
    return points[best]


def main():
    products = read(sys.argv[1])
    fitted = [q for q in products if q[0] in FITTED]
    constants = lambda x: dict(zip(START, map(math.exp, x)))
    loss = lambda x: sum(math.log(predict(q, constants(x)) / q[-1]) ** 2 for q in fitted)
    x = [math.log(v) for v in START.values()]
    for _ in range(4):
        x = nelder_mead(loss, x, 1500)
    print({name: float(f"{value:.4g}") for name, value in constants(x).items()})
    for case in dict.fromkeys(q[0] for q in products):
        errors = [(math.log(predict(q, constants(x)) / q[-1]), q) for q in products if q[0] == case]
        worst = max(errors, key=lambda e: abs(e[0]))
        print(f"{case}: {len(errors)} products, typical error {math.sqrt(sum(e * e for e, _ in errors) / len(errors)):.1%}, worst {worst[1][1]} "
              f"{'FP8' if worst[1][2] else 'BF16'} at {math.exp(worst[0]):.2f} of the measured time{' (fitted)' if case in FITTED else ''}")


main()
