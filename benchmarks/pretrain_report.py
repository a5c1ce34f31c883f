#!/usr/bin/env python3
"""Compares the runs of benchmarks/pretrain.sh: the held-out loss that each recipe ends with, next to the first recipe and the spread of its seeds.

    pretrain_report.py [--with FILE] WORK OUT RECIPE:SEED...
                                                  reads WORK/summaries/RECIPE-SEED.json and, where they are, WORK/RECIPE-SEED/loss.csv and val_loss.csv;
                                                  writes OUT/pretrain.jsonl (printed too, without the curves) and OUT/pretrain.svg
    --with FILE    runs that WORK lacks are taken from this earlier pretrain.jsonl, which may be of another machine

A recipe passes where the mean of its seeds is at most 0.25 % above the mean of the first recipe's seeds; where that has one seed, run by run against it (the same
weights and order of the text). Exits with 1 where one does not or a run is missing; runs that are still to come are named.
"""
import csv, json, os, statistics, sys

from curve_report import line, panel

LIMIT, POINTS = 0.0025, 400
COLOURS = ["#000000", "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f"]


def read(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def load(work, spec):
    name = spec.replace(":", "-")
    summary = os.path.join(work, "summaries", name + ".json")
    if not os.path.exists(summary):
        return None
    with open(summary) as file:
        run = json.load(file)
    steps, held = read(os.path.join(work, name, "loss.csv")), read(os.path.join(work, name, "val_loss.csv"))
    recipe, seed = spec.split(":")
    return dict(run, recipe=recipe, seed=int(seed), curve=thinned([s["train_loss"] for s in steps], POINTS), held=[(int(h["step"]), h["val_loss"]) for h in held])


def earlier(path):
    """Runs of an earlier report, by recipe and seed."""
    with open(path) as file:
        records = [json.loads(line) for line in file]
    return {f"{r['recipe']}:{r['seed']}": dict(r, curve=r["losses"]) for r in records if r["part"] == "curve"}


def thinned(values, count):
    """Means over equal stretches, with the step each ends at."""
    width = max(1, -(-len(values) // count))
    return [(min(i + width, len(values)), round(statistics.fmean(values[i : i + width]), 5)) for i in range(0, len(values), width)]


def compare(run, reference, sigma):
    relative = run["val_loss"] / reference["val_loss"] - 1 if run["val_loss"] is not None else None
    return dict(part="recipe", recipe=run["recipe"], seed=run["seed"], val_loss=run["val_loss"], reference=reference["recipe"], reference_loss=reference["val_loss"],
                relative=None if relative is None else round(relative, 6), passes=relative is not None and relative <= LIMIT,
                sigmas=None if relative is None or not sigma else round((run["val_loss"] - reference["val_loss"]) / sigma, 2),
                tokens=run["tokens"], tokens_per_s=run["tokens_per_s"], seconds=run["seconds"], peak_bytes=run["peak_bytes"], device=run["device"])


def mean_of_seeds(recipe, losses, noise):
    """A recipe against the mean of the reference's seeds, whose spread stands for its own."""
    relative = statistics.fmean(losses) / noise["mean"] - 1
    error = noise["relative_sigma"] * (1 / len(losses) + 1 / len(noise["seeds"])) ** 0.5
    return dict(part="mean", recipe=recipe, seeds=len(losses), val_loss=round(statistics.fmean(losses), 6), relative=round(relative, 6), standard_error=round(error, 6), passes=relative <= LIMIT)


def chart(runs, caption):
    steps = max(r["steps"] for r in runs)
    curves = [r["curve"] for r in runs]
    tail = [v for c in curves for s, v in c if s > steps // 20]
    high, low = max(tail), min(tail)
    parts, x, y = panel(60, 330, f"Training loss, means of {-(-steps // POINTS)} steps", steps, low, high, [steps // 2, steps])
    recipes = list(dict.fromkeys(r["recipe"] for r in runs))
    colour = {r: COLOURS[i % len(COLOURS)] for i, r in enumerate(recipes)}
    for run, curve in zip(runs, curves):
        first = run is next(r for r in runs if r["recipe"] == run["recipe"])
        parts.append(line([x(s) for s, _ in curve], [y(v) for _, v in curve], colour[run["recipe"]] if first else "#bbbbbb", 1.3 if first else 0.8))
    held = [r for r in runs if r["held"]]
    values = [v for r in held for s, v in r["held"] if s > steps // 20]
    below = []
    if values:
        below, x, y = panel(450, 210, "Held-out loss", steps, min(values), max(values), [steps // 2, steps])
        for run in held:
            first = run is next(r for r in runs if r["recipe"] == run["recipe"])
            below.append(line([x(s) for s, _ in run["held"]], [y(v) for _, v in run["held"]], colour[run["recipe"]] if first else "#bbbbbb", 1.3 if first else 0.8))
    for i, recipe in enumerate(recipes):
        parts.append(f'<path d="M640 {84 + 18 * i}h30" stroke="{colour[recipe]}" stroke-width="2.5"/><text x="678" y="{88 + 18 * i}">{recipe}</text>')
    body = "\n".join([f'<text x="70" y="28" font-size="16">{caption}</text>'] + parts + below)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 700" font-family="sans-serif" font-size="12">\n<rect width="880" height="700" fill="#fff"/>\n{body}\n</svg>\n'


def main(work, out, *specs, others=None):
    os.makedirs(out, exist_ok=True)
    found = {spec: load(work, spec) or (others or {}).get(spec) for spec in specs}
    runs, missing = [r for r in found.values() if r], [s for s, r in found.items() if not r]
    records = []
    base = specs[0].split(":")[0]
    references = {r["seed"]: r for r in runs if r["recipe"] == base and r["val_loss"] is not None}
    losses = [r["val_loss"] for r in references.values()]
    sigma = statistics.stdev(losses) if len(losses) > 1 else None
    if losses:
        records.append(dict(part="noise", recipe=base, seeds=sorted(references), val_losses=losses, mean=round(statistics.fmean(losses), 6),
                            sigma=None if sigma is None else round(sigma, 6), relative_sigma=None if sigma is None else round(sigma / statistics.fmean(losses), 6)))
    verdicts = [compare(r, references[r["seed"]], sigma) for r in runs if r["recipe"] != base and r["seed"] in references]
    records += verdicts
    if sigma:
        by_recipe = {recipe: [r["val_loss"] for r in runs if r["recipe"] == recipe and r["val_loss"] is not None] for recipe in dict.fromkeys(r["recipe"] for r in runs)}
        verdicts = [mean_of_seeds(recipe, values, records[0]) for recipe, values in by_recipe.items() if recipe != base and values]
        records += verdicts
    if missing:
        records.append(dict(part="error", error=f"Runs that did not end: {', '.join(missing)}. pretrain.log says why."))
    for record in records:
        print(json.dumps(record))
    for run in runs:
        records.append(dict(part="curve", **{k: run[k] for k in ("recipe", "seed", "size", "micro_batch", "sequence", "steps", "tokens", "tokens_per_s", "seconds", "peak_bytes", "device", "train_loss", "val_loss")},
                            losses=run["curve"], held=run["held"]))
    with open(os.path.join(out, "pretrain.jsonl"), "w") as file:
        file.writelines(json.dumps(r) + "\n" for r in records)
    drawn = [r for r in runs if r["curve"]]
    if drawn:
        first = drawn[0]
        with open(os.path.join(out, "pretrain.svg"), "w") as file:
            file.write(chart(drawn, f"GPT {first['size']}, {first['tokens'] / 1e6:.1f} M tokens, micro-batch {first['micro_batch']} x {first['sequence']}; {first['device']}"))
    return 0 if not missing and all(v["passes"] for v in verdicts) else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    source = arguments[1] if arguments[:1] == ["--with"] else None
    arguments = arguments[2:] if source else arguments
    if len(arguments) < 3:
        raise SystemExit(__doc__)
    raise SystemExit(main(*arguments, others=earlier(source) if source else None))
