"""The six architectures of tests/Fp8Lm.Parity.Tests/Models at their size Golden. p(name) is a weight by the name it has in C#."""

import torch
from torch.nn.functional import silu

from layers import attention, gelu, layer_norm, linear, rms_norm, rotary, split_heads


def gpt2_shapes(vocab, context, width, layers):
    shapes = {"tokens": (vocab, width), "positions": (context, width), "norm.gain": (width,), "norm.bias": (width,)}
    for i in range(layers):
        for name, shape in {
            "attentionNorm.gain": (width,), "attentionNorm.bias": (width,), "mlpNorm.gain": (width,), "mlpNorm.bias": (width,),
            "qkv": (3 * width, width), "qkvBias": (3 * width,), "project": (width, width), "projectBias": (width,),
            "up": (4 * width, width), "upBias": (4 * width,), "down": (width, 4 * width), "downBias": (width,),
        }.items():
            shapes[f"blocks.{i}.{name}"] = shape
    return shapes


def gpt2(p, ids, heads=2, layers=2):
    x = p("tokens")[ids] + p("positions")[: ids.shape[1]]
    for i in range(layers):
        b = lambda name: p(f"blocks.{i}.{name}")
        h = layer_norm(x, b("attentionNorm.gain"), b("attentionNorm.bias"))
        q, k, v = (split_heads(t, heads) for t in linear(h, b("qkv"), b("qkvBias")).chunk(3, -1))
        x = x + linear(attention(q, k, v), b("project"), b("projectBias"))
        h = layer_norm(x, b("mlpNorm.gain"), b("mlpNorm.bias"))
        x = x + linear(gelu(linear(h, b("up"), b("upBias"))), b("down"), b("downBias"))
    return linear(layer_norm(x, p("norm.gain"), p("norm.bias")), p("tokens"))


def llama_shapes(vocab=48, width=32, hidden=48, kv=16, layers=2):
    shapes = {"tokens": (vocab, width), "head": (vocab, width), "finalGain": (width,)}
    for i in range(layers):
        for name, shape in {
            "attentionGain": (width,), "mlpGain": (width,),
            "attention.query": (width, width), "attention.key": (kv, width), "attention.value": (kv, width), "attention.output": (width, width),
            "mlp.gate": (hidden, width), "mlp.up": (hidden, width), "mlp.down": (width, hidden),
        }.items():
            shapes[f"blocks.{i}.{name}"] = shape
    return shapes


def llama(p, ids, heads=2, kv_heads=1, layers=2):
    x = p("tokens")[ids]
    for i in range(layers):
        b = lambda name: p(f"blocks.{i}.{name}")
        h = rms_norm(x, b("attentionGain"))
        q = rotary(split_heads(linear(h, b("attention.query")), heads), 500.0)
        k = rotary(split_heads(linear(h, b("attention.key")), kv_heads), 500.0)
        v = split_heads(linear(h, b("attention.value")), kv_heads)
        x = x + linear(attention(q, k, v), b("attention.output"))
        h = rms_norm(x, b("mlpGain"))
        x = x + linear(silu(linear(h, b("mlp.gate"))) * linear(h, b("mlp.up")), b("mlp.down"))
    return linear(rms_norm(x, p("finalGain")), p("head"))


def gptj_shapes(vocab=56, width=32, layers=2):
    shapes = {"tokens": (vocab, width), "head": (vocab, width), "headBias": (vocab,), "gain": (width,), "bias": (width,)}
    for i in range(layers):
        for name, shape in {
            "gain": (width,), "bias": (width,), "q": (width, width), "k": (width, width), "v": (width, width), "o": (width, width),
            "up": (4 * width, width), "upBias": (4 * width,), "down": (width, 4 * width), "downBias": (width,),
        }.items():
            shapes[f"blocks.{i}.{name}"] = shape
    return shapes


def gptj(p, ids, heads=2, turned=8, layers=2):
    x = p("tokens")[ids]
    for i in range(layers):
        b = lambda name: p(f"blocks.{i}.{name}")
        h = layer_norm(x, b("gain"), b("bias"))
        q, k, v = (split_heads(linear(h, b(n)), heads) for n in "qkv")
        attended = attention(rotary(q, interleaved=True, dims=turned), rotary(k, interleaved=True, dims=turned), v)
        x = x + linear(attended, b("o")) + linear(gelu(linear(h, b("up"), b("upBias"))), b("down"), b("downBias"))
    return linear(layer_norm(x, p("gain"), p("bias")), p("head"), p("headBias"))


def geglu_shapes(vocab=64, context=32, width=32, hidden=48, layers=2):
    shapes = {"tokens": (vocab, width), "positions": (context, width), "finalGain": (width,)}
    for i in range(layers):
        for name, shape in {
            "attentionGain": (width,), "mlpGain": (width,), "q": (width, width), "kv": (2 * width, width), "o": (width, width),
            "gateUp": (2 * hidden, width), "down": (width, hidden),
        }.items():
            shapes[f"blocks.{i}.{name}"] = shape
    return shapes


def geglu(p, ids, heads=2, layers=2):
    x = 2 * p("tokens")[ids] + p("positions")[: ids.shape[1]]
    for i in range(layers):
        b = lambda name: p(f"blocks.{i}.{name}")
        h = layer_norm(x, b("attentionGain"))
        k, v = linear(h, b("kv")).chunk(2, -1)
        x = x + linear(attention(split_heads(linear(h, b("q")), heads), split_heads(k, heads), split_heads(v, heads)), b("o"))
        gate, up = linear(layer_norm(x, b("mlpGain")), b("gateUp")).chunk(2, -1)
        x = x + linear(torch.nn.functional.gelu(gate) * up, b("down"))
    return linear(layer_norm(x, p("finalGain")), p("tokens"))


def gemma_shapes(vocab=64, width=32, hidden=32, heads=4, size=16, pairs=1):
    shapes = {"tokens": (vocab, width), "norm.gain": (width,)}
    for i in range(pairs):
        for part in ("local", "global"):
            for name, shape in {
                "before.gain": (width,), "after.gain": (width,), "beforeMlp.gain": (width,), "afterMlp.gain": (width,),
                "queryNorm.gain": (size,), "keyNorm.gain": (size,),
                "q": (heads * size, width), "kv": (4 * size, width), "o": (width, heads * size), "gateUp": (2 * hidden, width), "down": (width, hidden),
            }.items():
                shapes[f"pairs.{i}.{part}.{name}"] = shape
    return shapes


def gemma(p, ids, heads=4, window=5, pairs=1, cap=5.0):
    norm = lambda x, gain: rms_norm(x, epsilon=1e-6) * (1 + gain)
    x = 3.5 * p("tokens")[ids]
    for i in range(pairs):
        for part, seen in (("local", window), ("global", None)):
            b = lambda name: p(f"pairs.{i}.{part}.{name}")
            h = norm(x, b("before.gain"))
            k, v = linear(h, b("kv")).chunk(2, -1)
            q = rotary(norm(split_heads(linear(h, b("q")), heads), b("queryNorm.gain")), 100.0)
            k = rotary(norm(split_heads(k, 2), b("keyNorm.gain")), 100.0)
            x = x + norm(linear(attention(q, k, split_heads(v, 2), seen, 0.3), b("o")), b("after.gain"))
            gate, up = linear(norm(x, b("beforeMlp.gain")), b("gateUp")).chunk(2, -1)
            x = x + norm(linear(gelu(gate) * up, b("down")), b("afterMlp.gain"))
    return cap * torch.tanh(linear(norm(x, p("norm.gain")), p("tokens")) / cap)


def gated_shapes(vocab=48, width=32, size=16, rest=1):
    shapes = {"tokens": (vocab, width), "head": (vocab, width)}
    for layer in ["first"] + [f"rest.{i}" for i in range(rest)]:
        for name, shape in {
            "q": (width, width), "k": (size, width), "v": (size, width), "o": (width, width),
            "keep": (1,), "restart": (1,), "up": (4 * width, width), "down": (width, 4 * width),
        }.items():
            shapes[f"{layer}.{name}"] = shape
        if layer != "first":
            shapes[f"{layer}.mix"] = (1,)
    return shapes


def gated(p, ids, heads=2, rest=1):
    start = x = rms_norm(p("tokens")[ids])
    first_values = None
    for layer in ["first"] + [f"rest.{i}" for i in range(rest)]:
        b = lambda name: p(f"{layer}.{name}")
        x = b("keep") * x + b("restart") * start
        h = rms_norm(x)
        values = linear(h, b("v"))
        if first_values is None:
            first_values = values
        else:
            values = b("mix") * values + (1 - b("mix")) * first_values
        q, k = rotary(split_heads(linear(h, b("q")), heads)), rotary(split_heads(linear(h, b("k")), 1))
        x = x + linear(attention(q, k, split_heads(values, 1)), b("o"))
        x = x + linear(torch.relu(linear(rms_norm(x), b("up"))).square(), b("down"))
    logits = linear(rms_norm(x), p("head"))
    return 6 * logits * torch.rsqrt(logits.square() + 36)


# Name in C#, shapes, forward pass, z-loss.
MODELS = {
    "Gpt2": (gpt2_shapes(64, 32, 32, 2), gpt2, 0.0),
    "Llama": (llama_shapes(), llama, 1e-3),
    "GptJ": (gptj_shapes(), gptj, 0.0),
    "GeGluModel": (geglu_shapes(), geglu, 0.0),
    "Gemma": (gemma_shapes(), gemma, 0.0),
    "GatedMqa": (gated_shapes(), gated, 0.0),
}
