"""Layers in plain PyTorch, each from its definition: what the models of tests/Fp8Lm.Parity.Tests/Models are compared with."""

import math

import torch


def linear(x, weight, bias=None):
    y = x @ weight.T
    return y if bias is None else y + bias


def layer_norm(x, gain=None, bias=None, epsilon=1e-5):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], gain, bias, epsilon)


def rms_norm(x, gain=None, epsilon=1e-5):
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)
    return y if gain is None else y * gain


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def split_heads(x, heads):
    """[B, T, C] -> [B, T, H, D]"""
    return x.unflatten(-1, (heads, x.shape[-1] // heads))


def rotary(x, theta=10000.0, interleaved=False, dims=None):
    """x [B, T, H, D]; pairs (a, b) turn by t * theta^(-2 i / dims)."""
    dims = dims or x.shape[-1]
    position = torch.arange(x.shape[1], dtype=x.dtype)
    angle = position[:, None] * theta ** (-torch.arange(0, dims, 2, dtype=x.dtype) / dims)
    cos, sin = angle.cos()[:, None, :], angle.sin()[:, None, :]
    turned, rest = x[..., :dims], x[..., dims:]
    a, b = (turned[..., 0::2], turned[..., 1::2]) if interleaved else turned.chunk(2, -1)
    a, b = a * cos - b * sin, b * cos + a * sin
    turned = torch.stack((a, b), -1).flatten(-2) if interleaved else torch.cat((a, b), -1)
    return torch.cat((turned, rest), -1)


def attention(q, k, v, window=None, scale=None):
    """q [B, T, H, D], k and v [B, T, G, D] with G dividing H -> [B, T, H * D]"""
    group = q.shape[2] // k.shape[2]
    k, v = (x.repeat_interleave(group, dim=2) for x in (k, v))
    scores = torch.einsum("bihd,bjhd->bhij", q, k) * (scale or 1 / math.sqrt(q.shape[-1]))
    i, j = torch.arange(q.shape[1])[:, None], torch.arange(q.shape[1])[None, :]
    visible = j <= i if window is None else (j <= i) & (j > i - window)
    weights = scores.masked_fill(~visible, float("-inf")).softmax(-1)
    return torch.einsum("bhij,bjhd->bihd", weights, v).flatten(-2)


def cross_entropy(logits, labels, weights, z_loss=0.0):
    """Mean over the labels, weighted; negative labels do not count."""
    lse = logits.logsumexp(-1)
    picked = logits.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    weights = weights * (labels >= 0)
    return (weights * (lse - picked + z_loss * lse * lse)).sum() / weights.sum()
