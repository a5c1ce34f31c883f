#!/usr/bin/env python3
"""PyTorch's half of benchmarks/curve.sh: trains the sample GPT from the initial weights and on the batches that Fp8Lm.LossCurves has prepared.

    curve_peer.py FOLDER MODE SEED[@SEED] [--device cuda] [--compile]

seed: of the weights, and @ that of the batches if it is another; mode bf16: F32 weights and moments, autocast to BF16 (F32 norms, residual stream and loss); f32: no autocast; PyTorch leaves TF32 off.
Sizes, learning rates, betas, epsilon, decay and which parameters decay come from FOLDER/curve.json; weights by their names in C# from
FOLDER/weights-SEED.safetensors, tokens from FOLDER/batches-SEED.i32. Writes FOLDER/run-pytorch-MODE-SEED[@SEED].json. Needs torch alone (1.13 and later).
"""
import argparse, json, math, os, struct, sys, time

import torch
import torch.nn.functional as F


def load_weights(path, device):
    """name -> F32 leaf tensor"""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start, weights = file.tell(), {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "F32":
                raise SystemExit(f"{path}: {name} is {entry['dtype']}, expected F32")
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            values = torch.frombuffer(bytearray(file.read(end - begin)), dtype=torch.float32).reshape(entry["shape"])
            weights[name] = values.to(device).clone().requires_grad_()
    return weights


def load_batches(path, plan):
    """int32 [steps, micro-batch, sequence + 1]"""
    with open(path, "rb") as file:
        tokens = torch.frombuffer(bytearray(file.read()), dtype=torch.int32)
    return tokens.reshape(plan["steps"], plan["micro_batch"], plan["sequence"] + 1)


def attention(q, k, v):
    """[B, H, T, D], causal"""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v


def block(x, p, heads):
    b, t, d = x.shape
    h = F.layer_norm(x, (d,), p["attentionNorm.gain"], p["attentionNorm.bias"], 1e-5)
    q, k, v = F.linear(h, p["qkv"], p["qkvBias"]).view(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    x = x + F.linear(attention(q, k, v).transpose(1, 2).reshape(b, t, d), p["project"], p["projectBias"])
    h = F.layer_norm(x, (d,), p["mlpNorm.gain"], p["mlpNorm.bias"], 1e-5)
    return x + F.linear(F.gelu(F.linear(h, p["up"], p["upBias"]), approximate="tanh"), p["down"], p["downBias"])


def model(weights, layers, heads, ids, labels):
    x = F.embedding(ids, weights["tokens"]) + weights["positions"][: ids.shape[1]]
    for p in layers:
        x = block(x, p, heads)
    x = F.layer_norm(x, x.shape[-1:], weights["norm.gain"], weights["norm.bias"], 1e-5)
    logits = F.linear(x, weights["tokens"])
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("mode", choices=["bf16", "f32"])
    parser.add_argument("seed")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", action="store_true")
    a = parser.parse_args()
    seed, _, order = a.seed.partition("@")
    order = order or seed
    began = time.time()
    if a.device == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    with open(os.path.join(a.folder, "curve.json")) as file:
        plan = json.load(file)
    weights = load_weights(os.path.join(a.folder, f"weights-{seed}.safetensors"), a.device)
    batches = load_batches(os.path.join(a.folder, f"batches-{order}.i32"), plan).to(a.device)
    layers = [{name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"blocks.{i}.")} for i in range(plan["layers"])]
    decayed = set(plan["decayed"])
    if decayed - set(weights):
        raise SystemExit(f"curve.json names decayed parameters that the weights do not have: {sorted(decayed - set(weights))}")
    optimizer = torch.optim.AdamW(
        [{"params": [w for n, w in weights.items() if n in decayed], "weight_decay": plan["weight_decay"]},
         {"params": [w for n, w in weights.items() if n not in decayed], "weight_decay": 0.0}],
        lr=plan["rates"][0], betas=(plan["beta1"], plan["beta2"]), eps=plan["epsilon"], **({"fused": True} if a.device == "cuda" else {}))
    forward = torch.compile(model) if a.compile else model
    losses, norms = [], []
    for step in range(1, plan["steps"] + 1):
        rows = batches[step - 1].long()
        for group in optimizer.param_groups:
            group["lr"] = plan["rates"][step - 1]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(a.device, dtype=torch.bfloat16, enabled=a.mode == "bf16"):
            loss = forward(weights, layers, plan["heads"], rows[:, :-1], rows[:, 1:])
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(weights.values()), plan["max_gradient_norm"]).detach())
        optimizer.step()
        losses.append(loss.detach())    # the host reads them at the end: steps queue up
        if step == 1 or step % 50 == 0:
            print(f"pytorch {a.mode} {a.seed}: step {step}: {loss.item():.4f}, norm {norms[-1].item():.3f} ({time.time() - began:.0f} s)", file=sys.stderr, flush=True)
    device = torch.cuda.get_device_name() if a.device == "cuda" else a.device
    run = dict(who="pytorch", mode=a.mode, seed=int(seed), batches=int(order), device=device, version=torch.__version__, seconds=round(time.time() - began, 1),
               loss=[round(x, 6) for x in torch.stack(losses).tolist()], norm=[round(x, 6) for x in torch.stack(norms).tolist()])
    with open(os.path.join(a.folder, f"run-pytorch-{a.mode}-{a.seed}.json"), "w") as file:
        json.dump(run, file)


if __name__ == "__main__":
    main()
