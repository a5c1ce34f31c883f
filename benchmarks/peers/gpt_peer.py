#!/usr/bin/env python3
"""What a user would pick instead: GPT training in PyTorch on one GPU, as fast as stock PyTorch makes it.

Prints one JSON line per case: milliseconds per step (median of CUDA-event timings), tokens/s,
model TFLOP/s (6*N + 12*L*d*T per token, causal attention counted in full as Megatron does), peak memory.

modes
  bf16        autocast-free "Megatron-style" BF16: bf16 weights and grads, fp32 master + fp32 Adam moments
  fp8         the same, linears of the blocks through torchao.float8 (tensorwise dynamic scaling)
  fp8row      the same with torchao's rowwise recipe
parts
  stack       forward + backward of L blocks only (no embedding, head, loss, optimizer): the layer-level headline
  train       a whole training step with embedding, tied head, cross-entropy, clip and AdamW

Copied from the project's shared peers (gpt_peer.py, 2026-11-23); added here: --turns, so that several processes compile at the same time and
measure one after the other.
"""
import argparse, contextlib, fcntl, json, os, statistics, time
import torch, torch.nn as nn, torch.nn.functional as F

from torch.nn.attention import SDPBackend, sdpa_kernel

SDPA = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION]  # cuDNN's is the faster of the two on Hopper

CASES = {  # name: layers, d_model, heads, seq, vocab
    "gpt-125m": (12, 768, 12, 1024, 50304),
    "gpt-1.3b": (24, 2048, 16, 2048, 50304),
    "gpt-7b-layer": (4, 4096, 32, 2048, 50304),
    "gpt-13b-layer": (3, 5120, 40, 2048, 50304),
    "gpt-175b-layer": (1, 12288, 96, 2048, 50304),
}


class Block(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc, self.out = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(B, T, 3, self.h, D // self.h).permute(2, 0, 3, 1, 4)
        with sdpa_kernel(SDPA, set_priority=True):
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).reshape(B, T, D))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, L, d, h, T, V):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, d), nn.Embedding(T, d)
        self.blocks = nn.ModuleList(Block(d, h) for _ in range(L))
        self.lnf = nn.LayerNorm(d)

    def forward(self, idx, tgt):
        x = self.wte(idx) + self.wpe.weight[: idx.shape[1]]
        for b in self.blocks:
            x = b(x)
        logits = F.linear(self.lnf(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), tgt.view(-1))


class Stack(nn.Module):
    def __init__(self, L, d, h):
        super().__init__()
        self.blocks = nn.ModuleList(Block(d, h) for _ in range(L))

    def forward(self, x):
        for b in self.blocks:
            x = b(x)
        return x


def to_fp8(model, recipe):
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    cfg = Float8LinearConfig.from_recipe_name({"fp8": "tensorwise", "fp8row": "rowwise"}[recipe])
    return convert_to_float8_training(model, config=cfg, module_filter_fn=lambda m, n: "blocks" in n)


class MasterAdamW:
    """bf16 parameters, fp32 master weights and moments, one fused update (what Megatron's optimizer does)."""

    def __init__(self, params):
        self.p = list(params)
        self.m32 = [q.detach().float().clone() for q in self.p]
        self.opt = torch.optim.AdamW(self.m32, lr=1e-4, weight_decay=0.1, betas=(0.9, 0.95), fused=True)

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.p, 1.0, foreach=True)
        for q, m in zip(self.p, self.m32):
            m.grad = q.grad.float()
        self.opt.step()
        torch._foreach_copy_([q.data for q in self.p], self.m32)
        for q, m in zip(self.p, self.m32):
            q.grad = None; m.grad = None


class Turns:
    """FOLDER:N: waits until N processes have warmed up (or failed, or 150 s have passed), then lets one at a time measure."""

    def __init__(self, spec):
        self.folder, n = spec.rsplit(":", 1)
        self.n, self.said, self.lock = int(n), False, None

    def ready(self):
        if not self.said:
            self.said = True
            open(os.path.join(self.folder, f"ready-{os.getpid()}"), "w").close()

    def __enter__(self):
        self.ready()
        deadline = time.time() + 150
        while time.time() < deadline and sum(f.startswith("ready-") for f in os.listdir(self.folder)) < self.n:
            time.sleep(0.05)
        self.lock = open(os.path.join(self.folder, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.lock.close()


def timed(fn, warm, n, turns):
    for _ in range(warm):
        fn()
    torch.cuda.synchronize()
    out = []
    with turns or contextlib.nullcontext():
        for _ in range(n + (2 if turns else 0)):  # clocks have dropped while waiting
            a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            a.record(); fn(); b.record(); b.synchronize()
            out.append(a.elapsed_time(b))
    out = out[-n:]
    return statistics.median(out), min(out), max(out)


def run(case, part, mode, mb, n, compile_mode, turns):
    L, d, h, T, V = CASES[case]
    torch.manual_seed(0)
    torch.cuda.reset_peak_memory_stats(); torch.cuda.empty_cache()
    dev, dt = "cuda", torch.bfloat16
    blk = 12 * d * d + 13 * d
    if part == "stack":
        model = Stack(L, d, h).to(dev, dt)
        params = L * blk
        flops_tok = 6 * params + 12 * L * d * T
    else:
        model = Gpt(L, d, h, T, V).to(dev, dt)
        params = L * blk + V * d + T * d + 2 * d
        flops_tok = 6 * (L * blk + V * d) + 12 * L * d * T
    for w in model.parameters():
        if w.dim() > 1:
            nn.init.normal_(w, std=0.02)
    if mode != "bf16":
        model = to_fp8(model, mode)
    net = torch.compile(model, mode=compile_mode if compile_mode != "default" else None)
    if part == "stack":
        x = torch.randn(mb, T, d, device=dev, dtype=dt, requires_grad=True)
        g = torch.randn(mb, T, d, device=dev, dtype=dt) * 1e-3

        def step():
            for w in model.parameters():
                w.grad = None
            x.grad = None
            net(x).backward(g)
    else:
        opt = MasterAdamW(model.parameters())
        idx = torch.randint(0, V, (mb, T), device=dev); tgt = torch.randint(0, V, (mb, T), device=dev)

        def step():
            net(idx, tgt).backward()
            opt.step()
    ms, lo, hi = timed(step, 5, n, turns)
    tok = mb * T
    print(json.dumps(dict(case=case, part=part, mode=mode, layers=L, d=d, heads=h, seq=T, micro_batch=mb,
          params=params, ms=round(ms, 3), ms_min=round(lo, 3), ms_max=round(hi, 3), tokens_per_s=round(tok / ms * 1e3),
          tflops=round(flops_tok * tok / ms / 1e9, 1), peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 2),
          gpu=torch.cuda.get_device_name(), torch=torch.__version__)), flush=True)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("spec", nargs="+", help="case:part:mode:micro_batch, e.g. gpt-7b-layer:stack:bf16:4")
    ap.add_argument("-n", type=int, default=20)
    ap.add_argument("--compile-mode", default="default")
    ap.add_argument("--turns", type=Turns, help="FOLDER:N, see Turns; for one spec a process")
    a = ap.parse_args()
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    for s in a.spec:
        case, part, mode, mb = s.split(":")
        try:
            run(case, part, mode, int(mb), a.n, a.compile_mode, a.turns)
        except Exception as e:  # one case's failure (out of memory, say) must not hide the others
            print(json.dumps(dict(spec=s, error=f"{type(e).__name__}: {str(e)[:300]}")), flush=True)
            if a.turns:
                a.turns.ready()
        torch._dynamo.reset(); torch.cuda.empty_cache()
