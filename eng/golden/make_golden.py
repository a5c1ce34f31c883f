"""Writes tests/golden/<Model>.safetensors: inputs, weights, and what PyTorch makes of them (logits, loss, all gradients).

Run with Debian's python3-torch: /usr/bin/python3 eng/golden/make_golden.py
PyTorch computes in float64 from weights that are exact in float32, so the files hold the right answer to float32's precision.
"""

import math
import os

import numpy as np
import torch

from layers import cross_entropy
from models import MODELS
from safetensors import save

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden")
BATCH, SEQUENCE = 2, 32


def weights_of(shapes, random):
    """Matrices of unit gain and vectors around zero, gains and gates around one: nothing vanishes, nothing explodes."""
    weights = {}
    for name, shape in shapes.items():
        leaf = name.split(".")[-1]
        one_centred = "gain" in leaf.lower() or leaf in ("keep", "mix")
        deviation = 1 / math.sqrt(shape[1]) if len(shape) == 2 else 0.2
        values = random.normal(1.0 if one_centred else 0.0, deviation, shape)
        weights[name] = torch.tensor(values.astype(np.float32), dtype=torch.float64, requires_grad=True)
    return weights


def main():
    for index, (model, (shapes, forward, z_loss)) in enumerate(MODELS.items()):
        random = np.random.RandomState(100 + index)
        weights = weights_of(shapes, random)
        vocabulary = shapes["tokens"][0]
        ids = random.randint(0, vocabulary, (BATCH, SEQUENCE))
        labels = random.randint(0, vocabulary, (BATCH, SEQUENCE))
        labels[:, 4::11] = -1
        label_weights = np.where(random.rand(BATCH, SEQUENCE) < 0.3, 0.5, 1.0)
        logits = forward(weights.__getitem__, torch.tensor(ids))
        loss = cross_entropy(logits, torch.tensor(labels), torch.tensor(label_weights), z_loss)
        loss.backward()
        tensors = {
            "input.tokens": ids.astype(np.int32), "input.labels": labels.astype(np.int32), "input.label_weights": label_weights.astype(np.float32),
            "logits": logits.detach().numpy().astype(np.float32), "loss": np.array([loss.item()]),
        }
        for name, weight in weights.items():
            tensors["weight." + name] = weight.detach().numpy().astype(np.float32)
            tensors["gradient." + name] = weight.grad.numpy().astype(np.float32)
        path = os.path.join(FOLDER, model + ".safetensors")
        save(path, tensors, {"model": model, "size": "Golden", "made_by": f"eng/golden/make_golden.py, PyTorch {torch.__version__}"})
        print(f"{model}: loss {loss.item():.6f}, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
