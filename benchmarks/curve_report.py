#!/usr/bin/env python3
"""Compares the runs of benchmarks/curve.sh: every recipe with PyTorch BF16 of the same seed, next to the spread of PyTorch BF16 over its seeds.

    curve_report.py FOLDER OUT WHO:MODE:SEED...     reads FOLDER/curve.json and the runs FOLDER/run-WHO-MODE-SEED.json; writes OUT/curve.svg and
                                                    OUT/curve.jsonl (printed too, without the losses)

A smoothed loss is the mean of the ten steps that end at a step. Noise is the sample deviation of the smoothed losses of PyTorch BF16 over seeds, once of
runs that read the same batches from their own weights, once of runs whose batches are their own too, which adds what texts differ in and is the wider one.
A recipe is within a noise where it differs from PyTorch BF16 of its own weights and batches by at most two deviations. Exits with 1 when a recipe is not
within that of the same batches, or when it or a run is missing.
"""
import json, os, statistics, sys

EVERY, WINDOW, SIGMAS, FEWEST = 50, 10, 2, 3
COLOURS = {"Bf16": "#1f77b4", "TransformerEngine": "#d62728", "Fp32": "#2ca02c", "f32": "#9467bd"}


def smoothed(losses):
    """By step from 1; the first steps have shorter windows."""
    return [statistics.fmean(losses[max(0, i - WINDOW) : i]) for i in range(1, len(losses) + 1)]


def noises(runs, base):
    """name -> runs that tell it, the one of base among them"""
    groups = {"same_batches": [r for r in runs if r["batches"] == base["batches"]], "own_batches": [r for r in runs if r["batches"] == r["seed"]]}
    return {name: group for name, group in groups.items() if len(group) >= FEWEST}


def deviations(runs):
    return [statistics.stdev(values) for values in zip(*(smoothed(r["loss"]) for r in runs))]


def compare(run, reference, sigmas, points):
    mine, theirs = smoothed(run["loss"]), smoothed(reference["loss"])
    single = [a - b for a, b in zip(run["loss"], reference["loss"])]
    worst = max(range(len(single)), key=lambda i: abs(single[i]))
    at = []
    for i in (step - 1 for step in points):
        difference = mine[i] - theirs[i]
        at.append(dict(step=i + 1, loss=round(mine[i], 5), pytorch_bf16=round(theirs[i], 5), difference=round(difference, 5),
                       sigma={n: round(s[i], 5) for n, s in sigmas.items()}, within_noise={n: abs(difference) <= SIGMAS * s[i] for n, s in sigmas.items()}))
    return dict(part="recipe", who=run["who"], mode=run["mode"], seed=run["seed"], within_noise={n: all(p["within_noise"][n] for p in at) for n in sigmas},
                first_step_difference=round(single[0], 6),
                worst_single_step=dict(step=worst + 1, difference=round(single[worst], 5), relative=round(single[worst] / reference["loss"][worst], 5)),
                mean_difference=round(statistics.fmean(single), 6), seconds=run["seconds"], smoothed=at)


def ticks(low, high, about=6):
    step = next(s * 10.0 ** e for e in range(-6, 3) for s in (1, 2, 5) if (high - low) / (s * 10.0 ** e) <= about)
    first = int(low // step)
    return [round(step * i, 8) for i in range(first, int(high // step) + 2) if low <= step * i <= high]


def panel(top, height, title, steps, low, high, marks):
    """Axes, and functions from step and value to pixels."""
    left, width = 70, 780
    x = lambda step: left + width * (step - 1) / max(1, steps - 1)
    y = lambda value: top + height * (1 - (min(max(value, low), high) - low) / (high - low))
    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#888"/>', f'<text x="{left}" y="{top - 8}" font-size="14">{title}</text>']
    for value in ticks(low, high):
        parts.append(f'<path d="M{left} {y(value):.1f}h{width}" stroke="#ddd"/><text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for step in [1] + marks:
        parts.append(f'<text x="{x(step):.1f}" y="{top + height + 16}" text-anchor="middle">{step}</text>')
    return parts, x, y


def line(xs, ys, colour, width=1.5, dashes=""):
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"' + (f' stroke-dasharray="{dashes}"' if dashes else "") + "/>"


def chart(reference, noise, others, sigmas, marks, caption):
    """Curves above, differences to the reference below; sigmas widest last."""
    steps = len(reference["loss"])
    every = range(1, steps + 1)
    start = min(WINDOW - 1, steps - 1)    # differences from the first full window on
    base = smoothed(reference["loss"])
    lines = [smoothed(r["loss"]) for r in others]
    losses = [v for r in noise + others for v in smoothed(r["loss"])]
    parts, x, y = panel(60, 330, f"Loss, mean of {WINDOW} steps", steps, min(losses), max(losses), marks)
    for run in noise:
        parts.append(line(map(x, every), map(y, smoothed(run["loss"])), "#bbb", 1))
    parts.append(line(map(x, every), map(y, base), "#000", 1.6))
    for run, values in zip(others, lines):
        parts.append(line(map(x, every), map(y, values), COLOURS.get(run["mode"], "#888"), 1.3, "5 3"))
    differences = [[v - b for v, b in zip(values, base)] for values in lines]
    narrow, first = next(iter(sigmas.values())), min(max(start, EVERY - 1), steps - 1)    # what is wider before the first comparison is cut
    reach = 1.1 * max([abs(v) for d in differences for v in d[first:]] + [SIGMAS * s for s in narrow[first:]] + [1e-6])
    title = f"Difference to PyTorch BF16; grey: {SIGMAS} deviations of its seeds ({', then '.join(n.replace('_', ' ') for n in sigmas)})"
    below, x, y = panel(450, 210, title, steps, -reach, reach, marks)
    wide = list(every)[start:]
    for sigma, colour in zip(sigmas.values(), ("#e4e4e4", "#f4f4f4")):    # each goes behind the one before
        band = [(x(s), y(SIGMAS * sigma[s - 1])) for s in wide] + [(x(s), y(-SIGMAS * sigma[s - 1])) for s in reversed(wide)]
        below.insert(0, '<polygon points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b in band) + f'" fill="{colour}"/>')
    for run, values in zip(others, differences):
        below.append(line(map(x, wide), map(y, values[start:]), COLOURS.get(run["mode"], "#888")))
    legend = [("PyTorch BF16", "#000"), ("other seeds", "#bbb")] + [(f"{'PyTorch ' if r['who'] == 'pytorch' else ''}{r['mode']}", COLOURS.get(r["mode"], "#888")) for r in others]
    for i, (name, colour) in enumerate(legend):
        parts.append(f'<path d="M640 {84 + 20 * i}h30" stroke="{colour}" stroke-width="2.5"/><text x="678" y="{88 + 20 * i}">{name}</text>')
    body = "\n".join([f'<text x="70" y="28" font-size="16">{caption}</text>'] + parts + below)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 700" font-family="sans-serif" font-size="12">\n<rect width="880" height="700" fill="#fff"/>\n{body}\n</svg>\n'


def main(folder, out, *specs):
    with open(os.path.join(folder, "curve.json")) as file:
        plan = json.load(file)
    runs, missing = [], []
    for spec in specs:
        path = os.path.join(folder, f"run-{spec.replace(':', '-')}.json")
        if os.path.exists(path):
            with open(path) as file:
                runs.append(json.load(file))
        else:
            missing.append(spec)
    peers = [r for r in runs if (r["who"], r["mode"]) == ("pytorch", "bf16")]
    reference = next((r for r in peers if r["seed"] == r["batches"] == plan["seeds"][0]), None)
    others = [r for r in runs if r not in peers and r["seed"] == r["batches"] == plan["seeds"][0]]
    os.makedirs(out, exist_ok=True)
    records = [dict(part="plan", model="gpt", **{k: plan[k] for k in ("size", "layers", "width", "heads", "vocabulary", "micro_batch", "sequence", "steps", "learning_rate", "warmup_steps",
        "beta1", "beta2", "epsilon", "weight_decay", "max_gradient_norm", "seeds", "text_bytes")})]
    complete = not missing and any(r["who"] == "fp8lm" for r in others)
    if missing:
        records.append(dict(part="error", error=f"Runs that did not end: {', '.join(missing)}. curve.log says why."))
    told = noises(peers, reference) if reference else {}
    if others and told:
        sigmas = {name: deviations(group) for name, group in told.items()}
        points = [s for s in range(EVERY, plan["steps"] + 1, EVERY)] or [plan["steps"]]
        for name, group in told.items():
            curves = [smoothed(r["loss"]) for r in group]
            records.append(dict(part="noise", of=name, who="pytorch", mode="bf16", seeds=[r["seed"] for r in group], device=reference["device"], version=reference["version"],
                seconds=[r["seconds"] for r in group], smoothed=[dict(step=s, losses=[round(c[s - 1], 5) for c in curves], sigma=round(sigmas[name][s - 1], 5)) for s in points]))
        verdicts = [compare(r, reference, sigmas, points) for r in others]
        records += verdicts
        complete &= all(v["within_noise"].get("same_batches", False) for v in verdicts if v["who"] == "fp8lm")
        caption = f"GPT {plan['size']}, {plan['micro_batch']} x {plan['sequence']} tokens a step, {plan['text_bytes'] / 1e6:.1f} MB of text; {reference['device']}, PyTorch {reference['version']}"
        with open(os.path.join(out, "curve.svg"), "w") as file:
            file.write(chart(reference, [r for r in peers if r is not reference], others, sigmas, points, caption))
    else:
        records.append(dict(part="error", error=f"A comparison needs PyTorch BF16 of the first seed, {FEWEST} runs of it for a noise, and a run of ours of the first seed."))
        complete = False
    for record in records:
        print(json.dumps(record))
    for run in runs:
        records.append(dict(part="losses", **{k: run[k] for k in ("who", "mode", "seed", "batches", "device", "version", "seconds")}, loss=run["loss"], norm=run["norm"]))
    with open(os.path.join(out, "curve.jsonl"), "w") as file:
        file.writelines(json.dumps(r) + "\n" for r in records)
    return 0 if complete else 1


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
