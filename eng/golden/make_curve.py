"""Writes tests/golden/Curve.safetensors: losses of 300 steps of TinyGpt's architecture in PyTorch FP32.

Run with Debian's python3-torch: /usr/bin/python3 eng/golden/make_curve.py
Text, batches and initial weights are functions of integers that C# computes bit by bit (tests/Fp8Lm.Parity.Tests/Harness/Curve.cs):

    mix(key, n)   two rounds of the SplitMix64 finaliser, as Fp8Lm.Training.CounterRandom.Mix
    key(s, name)  key = mix(s, 0x6B6579), then key = mix(key, byte) for every byte of the name
    weights       ((mix(key(1, name), i) >> 40) / 2^24 - 0.5) * sqrt(12) * deviation, rounded to float32; gains 1, vectors 0
    sequence n    bytes [start, start + T] of the text, start = mix(key(1, "sequences"), n) % (length - T)
"""

import gzip
import math
import os
import time

import numpy as np
import torch

from layers import cross_entropy
from models import gpt2, gpt2_shapes
from safetensors import save

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden")
STEPS, BATCH, SEQUENCE = 300, 8, 128
VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS = 256, 128, 128, 4, 4
RATE, FLOOR, WARMUP, BETAS, EPSILON, DECAY, CLIP = 1e-3, 0.1, 20, (0.9, 0.95), 1e-8, 0.1, 1.0

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def finish(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mix(key, counter):
    key, counter = np.atleast_1d(np.uint64(key)), np.atleast_1d(counter).astype(np.uint64)
    return finish(finish(key + GOLDEN) + (counter + np.uint64(1)) * GOLDEN)


def key_of(name, seed=1):
    key = mix(seed, 0x6B6579)
    for byte in name.encode():
        key = mix(key, byte)
    return key


def initial(name, shape):
    leaf = name.split(".")[-1]
    if len(shape) == 1:
        return np.full(shape, 1.0 if leaf == "gain" else 0.0, np.float32)
    deviation = 0.02 / math.sqrt(2 * LAYERS) if leaf in ("project", "down") else 0.02
    drawn = (mix(key_of(name), np.arange(math.prod(shape))) >> np.uint64(40)).astype(np.float64)
    return ((drawn / (1 << 24) - 0.5) * (math.sqrt(12.0) * deviation)).astype(np.float32).reshape(shape)


def rate(step):
    if step <= WARMUP:
        return float(np.float32(RATE * step / WARMUP))
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return float(np.float32(RATE * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))))


def main():
    with gzip.open(os.path.join(FOLDER, "Curve.txt.gz")) as file:
        text = np.frombuffer(file.read(), np.uint8).astype(np.int64)
    shapes = gpt2_shapes(VOCABULARY, CONTEXT, WIDTH, LAYERS)
    weights = {name: torch.tensor(initial(name, shape), requires_grad=True) for name, shape in shapes.items()}
    matrices = [w for w in weights.values() if w.dim() > 1]
    vectors = [w for w in weights.values() if w.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}], lr=RATE, betas=BETAS, eps=EPSILON)
    starts = (mix(key_of("sequences"), np.arange(STEPS * BATCH)) % np.uint64(len(text) - SEQUENCE)).astype(np.int64)
    losses, norms, began = [], [], time.time()
    for step in range(1, STEPS + 1):
        rows = np.stack([text[s : s + SEQUENCE + 1] for s in starts[(step - 1) * BATCH : step * BATCH]])
        ids, labels = torch.tensor(rows[:, :-1]), torch.tensor(rows[:, 1:])
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.zero_grad()
        loss = cross_entropy(gpt2(weights.__getitem__, ids, HEADS, LAYERS), labels, torch.ones(BATCH, SEQUENCE))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(weights.values(), CLIP)))
        optimizer.step()
        losses.append(loss.item())
        if step % 25 == 0 or step == 1:
            print(f"{step}: {losses[-1]:.5f}, norm {norms[-1]:.3f}, {time.time() - began:.0f} s")
    save(os.path.join(FOLDER, "Curve.safetensors"), {"loss": np.array(losses), "gradient_norm": np.array(norms)}, {
        "made_by": f"eng/golden/make_curve.py, PyTorch {torch.__version__}, FP32"})


if __name__ == "__main__":
    main()
