#!/usr/bin/env python3
"""Our attention kernels on one GPU, straight from the device library: checked against float64 and timed next to cuDNN (through PyTorch).

usage: attention.py [--library DIR] [--check | --speed] [--sanitize]
Compiles with NVRTC what the generator would emit with a plain bf16 epilogue ("cast": with what the TransformerEngine recipe stores: bf16, FP8, FP8
transposed, amax). q, k, v are slices of one buffer [tokens, 3 * heads * head]. Prints JSON lines: forward counted 4*B*H*T*T*D/2, backward 2.5 times that over
the sum of both kernels; cuDNN's backward also computes delta = sum(dO * O), which ours is given (the generator fuses it elsewhere).
--sanitize runs every kernel once on small shapes without PyTorch, for compute-sanitizer.
"""
import argparse, ctypes, glob, json, os, statistics, sys, time
from concurrent.futures import ThreadPoolExecutor

KERNELS = ["Forward", "BackwardKeyValue", "BackwardQuery"]
SHAPES = [("7b", 4, 32, 2048, 128), ("175b", 2, 96, 2048, 128), ("1.3b", 8, 16, 2048, 128), ("125m", 32, 12, 1024, 64), ("long", 1, 32, 16384, 128)]
# head, heads, key/value heads, batch, sequence, window: groups, windows around the tile sizes, sequences that end anywhere in a tile or slab
CASES = [(64, 4, 2, 2, 208, 0), (128, 2, 2, 1, 256, 0), (128, 4, 2, 1, 333, 100), (64, 2, 2, 1, 1000, 300), (128, 2, 1, 3, 1000, 0), (64, 3, 1, 2, 77, 0),
         (128, 1, 1, 2, 40, 0), (128, 2, 2, 1, 2048, 0), (64, 2, 2, 1, 2048, 130), (64, 2, 2, 2, 520, 1), (128, 16, 4, 8, 384, 0), (64, 2, 1, 2, 192, 0),
         (64, 1, 1, 1, 64, 0), (64, 2, 2, 1, 130, 64), (128, 8, 1, 2, 640, 0), (128, 2, 2, 2, 1024, 128), (64, 8, 2, 3, 1000, 65),
         (96, 2, 1, 2, 144, 0), (256, 2, 1, 1, 170, 0), (32, 4, 1, 2, 136, 50), (16, 2, 2, 2, 72, 2), (80, 2, 1, 2, 88, 0), (160, 2, 1, 1, 130, 0), (192, 1, 1, 2, 40, 0)]
SMALL = [(64, 4, 2, 2, 208, 0), (128, 2, 1, 1, 333, 100), (128, 2, 2, 1, 300, 0), (64, 2, 2, 2, 260, 70), (96, 2, 1, 1, 144, 0)]

SOURCE = """
#include <fp8lm/attention/attention.cuh>
using namespace fp8lm;
constexpr int kPitch = HEADS * HEAD, kKeyPitch = KV_HEADS * HEAD;
template <class T, int kColumns> struct Plain
{
    static constexpr int kSums = 0, kTransposed = 0;
    static constexpr bool kWholeTurned = true;
    T* y;
    struct Inputs {};
    struct Columns {};
    __device__ Columns read_columns(int) const { return {}; }
    __device__ Inputs read(int, int) const { return {}; }
    __device__ void apply(int row, int col, const float (&acc)[8], const Columns&, const Inputs&, float (&)[1], uint2 (&)[1])
    {
        store_octet<whole_octets(kColumns)>(y + (long long)row * kColumns + col, pack<T>(acc), octet_count<kColumns>(col));
    }
    __device__ u8* transposed(int, int) const { return nullptr; }
    __device__ float* sum_row(int, int) const { return nullptr; }
    __device__ void begin() {}
    __device__ void finish() {}
};
template <int kColumns> struct Cast
{
    static constexpr int kSums = 0, kTransposed = 1;
    static constexpr bool kWholeTurned = (BATCH * SEQUENCE) % 16 == 0;
    bf16* y;
    e4m3* q;
    e4m3* q_t;
    unsigned* slot;
    unsigned amax = 0;
    struct Inputs {};
    struct Columns {};
    __device__ Columns read_columns(int) const { return {}; }
    __device__ Inputs read(int, int) const { return {}; }
    __device__ void apply(int row, int col, const float (&acc)[8], const Columns&, const Inputs&, float (&)[1], uint2 (&turned)[1])
    {
        const long long at = (long long)row * kColumns + col;
        for (int i = 0; i < 8; ++i)
            amax = amax_bits(amax, acc[i]);
        const Octet<e4m3> cast = pack<e4m3>(acc, 16.0f);
        store_octet<whole_octets(kColumns)>(y + at, pack<bf16>(acc), 8);
        store_octet<whole_octets(kColumns)>(q + at, cast, 8);
        turned[0] = make_uint2(cast.words[0], cast.words[1]);
    }
    __device__ u8* transposed(int, int col) const { return reinterpret_cast<u8*>(q_t) + (long long)col * (BATCH * SEQUENCE); }
    __device__ float* sum_row(int, int) const { return nullptr; }
    __device__ void begin() {}
    __device__ void finish() { atomic_amax(slot, amax); }
};
using Shape = attention::Shape<bf16, HEAD, HEADS, KV_HEADS, BATCH, SEQUENCE, WINDOW>;
using Kernel = attention::KERNEL<Shape>;
FP8LM_LAUNCH(Kernel);
#define QKV q, FUSED ? 3 * kPitch : kPitch, k, FUSED ? 3 * kPitch : kKeyPitch, v, FUSED ? 3 * kPitch : kKeyPitch
extern "C" __global__ void __launch_bounds__(Kernel::kThreads, 1) test(const bf16* q, const bf16* k, const bf16* v, PARAMETERS)
{
    BODY;
}
"""
FORMS = {  # parameters and body
    "Forward": ("float* lse, OUT* o", "Plain<OUT, kPitch> e{o}; Kernel::run(QKV, lse, rsqrtf(HEAD), e)"),
    "BackwardKeyValue": ("const bf16* d_o, const float* lse, const float* delta, OUT* dk, OUT* dv",
                         "Plain<OUT, kKeyPitch> e{dk}, f{dv}; Kernel::run(QKV, d_o, kPitch, lse, delta, rsqrtf(HEAD), e, f)"),
    "BackwardQuery": ("const bf16* d_o, const float* lse, const float* delta, OUT* dq",
                      "Plain<OUT, kPitch> e{dq}; Kernel::run(QKV, d_o, kPitch, lse, delta, rsqrtf(HEAD), e)"),
    "cast": ("float* lse, bf16* o, e4m3* q8, e4m3* q8_t, unsigned* slot", "Cast<kPitch> e{o, q8, q8_t, slot}; Kernel::run(QKV, lse, rsqrtf(HEAD), e)"),
}
options = argparse.ArgumentParser()
options.add_argument("--library", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/Fp8Lm.Runtime/DeviceLibrary"))
options.add_argument("--check", action="store_true"); options.add_argument("--speed", action="store_true"); options.add_argument("--sanitize", action="store_true")
options = options.parse_args()
places = glob.glob("/usr/local/cuda*/lib64/libnvrtc.so.1[23]") + glob.glob("/usr/local/lib/python3*/*-packages/nvidia/*/lib/libnvrtc.so.1[23]")
nvrtc = ctypes.CDLL(os.environ.get("NVRTC") or places[0])
cuda = None


def headers():
    for folder, _, files in os.walk(options.library):
        for file in files:
            if file.endswith(".cuh"):
                path = os.path.join(folder, file)
                yield ("fp8lm/" + os.path.relpath(path, options.library)).encode(), open(path, "rb").read()


def compile(form, head, heads, kv_heads, batch, sequence, window, fused, out):
    parameters, body = FORMS[form]
    text = SOURCE.replace("PARAMETERS", parameters).replace("BODY", body)
    defines = dict(KERNEL="Forward" if form == "cast" else form, HEAD=head, HEADS=heads, KV_HEADS=kv_heads, BATCH=batch, SEQUENCE=sequence, WINDOW=window,
                   FUSED=int(fused), OUT=out)
    names, bodies = zip(*headers()); strings = ctypes.c_char_p * len(names); program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"k.cu", len(names), strings(*bodies), strings(*names)) == 0
    flags = [b"--gpu-architecture=sm_90a", b"--std=c++17", b"-Xptxas=-v", b"-default-device"] + [f"-D{k}={v}".encode() for k, v in defines.items()]
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags)); size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)); log = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetProgramLog(program, log); log = log.value.decode()
    if failed: raise RuntimeError(log)
    bad = [l for l in log.split("\n") if "C75" in l or ("spill" in l and " 0 bytes spill stores, 0 bytes spill loads" not in l)]
    if bad: print(json.dumps(dict(what="warning", kernel=form, case=str(defines), log=bad[0][:200])), flush=True)
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)); cubin = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin.raw


def ok(result):
    if result: raise RuntimeError(f"CUDA error {result}")


class Kernel:
    def __init__(self, cubin):
        global cuda
        cuda = cuda or ctypes.CDLL("libcuda.so.1")
        module, pointer, size, self.function = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_size_t(), ctypes.c_void_p()
        ok(cuda.cuModuleLoadData(ctypes.byref(module), cubin)); ok(cuda.cuModuleGetFunction(ctypes.byref(self.function), module, b"test"))
        ok(cuda.cuModuleGetGlobal_v2(ctypes.byref(pointer), ctypes.byref(size), module, b"fp8lm_launch"))
        traits = (ctypes.c_uint32 * 5)(); ok(cuda.cuMemcpyDtoH_v2(traits, pointer, 20)); self.threads, self.shared, self.rows = traits[:3]
        ok(cuda.cuFuncSetAttribute(self.function, 8, ctypes.c_int(self.shared)))

    def launch(self, blocks, sequence, heads, batch, stream, *addresses):
        """blocks: of a persistent kernel, which says that its tiles have no rows."""
        grid = (blocks, 1, 1) if self.rows == 0 else (-(-sequence // self.rows), heads, batch)
        values = [ctypes.c_uint64(a) for a in addresses]
        ok(cuda.cuLaunchKernel(self.function, *grid, self.threads, 1, 1, self.shared, ctypes.c_void_p(stream),
                               (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values]), None))


def sanitize():
    import numpy as np
    global cuda
    cuda = ctypes.CDLL("libcuda.so.1"); device, context = ctypes.c_int(), ctypes.c_void_p()
    ok(cuda.cuInit(0)); ok(cuda.cuDeviceGet(ctypes.byref(device), 0)); ok(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
    rng = np.random.default_rng(0)

    def upload(a):
        p = ctypes.c_uint64(); ok(cuda.cuMemAlloc_v2(ctypes.byref(p), a.nbytes)); ok(cuda.cuMemcpyHtoD_v2(p, a.ctypes.data_as(ctypes.c_void_p), a.nbytes)); return p.value
    halves = lambda n: upload((rng.standard_normal(n).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16))
    floats = lambda n: upload(rng.standard_normal(n).astype(np.float32))
    with ThreadPoolExecutor() as pool:
        cubins = {(c, f): pool.submit(compile, f, *c, False, "float") for c in SMALL for f in KERNELS}
        for c in SMALL:
            d, h, kv, b, t, w = c; tokens = b * t
            q, k, v, d_o = halves(tokens * h * d), halves(tokens * kv * d), halves(tokens * kv * d), halves(tokens * h * d)
            lse, delta, outs = floats(tokens * h), floats(tokens * h), [floats(tokens * h * d) for _ in range(2)]
            for form in KERNELS:
                kernel = Kernel(cubins[c, form].result())
                more = [lse, outs[0]] if form == "Forward" else [d_o, lse, delta, *outs[:2 if form == "BackwardKeyValue" else 1]]
                for _ in range(2):
                    kernel.launch(5, t, kv if form == "BackwardKeyValue" else h, b, 0, q, k, v, *more); ok(cuda.cuCtxSynchronize())
    print("sanitize: every kernel ran", flush=True)


if options.sanitize:
    sanitize(); sys.exit()

import torch, torch.nn.functional as F
from torch.nn.attention import sdpa_kernel, SDPBackend
torch.manual_seed(0); dev = "cuda"; torch.zeros(1, device=dev)
SMS = torch.cuda.get_device_properties(0).multi_processor_count
say = lambda **k: print(json.dumps(k), flush=True)
address = lambda *tensors: [t.data_ptr() for t in tensors]
stream = lambda: torch.cuda.current_stream().cuda_stream


def reference(q, k, v, d_o, window):
    """O, log-sum-exp, delta, dQ, dK, dV in float64."""
    group, d = q.shape[2] // k.shape[2], q.shape[3]
    q, k, v = (x.double().requires_grad_() for x in (q, k, v)); kk, vv = (x.repeat_interleave(group, 2) for x in (k, v))
    i = torch.arange(q.shape[1], device=dev); seen = (i[None] <= i[:, None]) & ((i[:, None] - i[None] < window) if window else True)
    s = (torch.einsum("bqhd,bkhd->bhqk", q, kk) * d ** -0.5).masked_fill(~seen, float("-inf"))
    o = torch.einsum("bhqk,bkhd->bqhd", torch.softmax(s, -1), vv); g = torch.autograd.grad(o, (q, k, v), d_o.double())
    return o.detach(), torch.logsumexp(s, -1).transpose(1, 2).contiguous().detach(), (o * d_o.double()).sum(-1).detach(), *g


def wait(what):
    event = torch.cuda.Event(); event.record(); start = time.time()
    while not event.query():
        if time.time() - start > 5: say(what="hang", case=what); os._exit(3)


def check(pool):
    cubins = {(c, f): pool.submit(compile, f, *c, False, "float") for c in CASES for f in KERNELS}; failures = 0
    for c in CASES:
        d, h, kv, b, t, w = c
        q, d_o = (torch.randn(b, t, h, d, device=dev).bfloat16() for _ in range(2)); k, v = (torch.randn(b, t, kv, d, device=dev).bfloat16() for _ in range(2))
        o, lse, delta, dq, dk, dv = reference(q, k, v, d_o, w); errors, same = {}, True
        for form, wanted in (("Forward", dict(o=o, lse=lse)), ("BackwardKeyValue", dict(dk=dk, dv=dv)), ("BackwardQuery", dict(dq=dq))):
            kernel, runs = Kernel(cubins[c, form].result()), []
            for _ in range(2):
                outs = {n: torch.full(x.shape, float("nan"), device=dev) for n, x in wanted.items()}; l, de = lse.float(), delta.float()
                more = address(outs["lse"], outs["o"]) if form == "Forward" else address(d_o, l, de, *outs.values())
                kernel.launch(SMS, t, kv if form == "BackwardKeyValue" else h, b, stream(), *address(q, k, v), *more); wait(f"{form} {c}"); runs.append(outs)
            for n, x in wanted.items():
                errors[n] = ((runs[0][n].double() - x).abs().max() / x.abs().max().clamp_min(1e-2)).item(); same &= torch.equal(runs[0][n], runs[1][n])
        good = same and errors["lse"] < 1e-5 and all(e < 5e-3 for e in errors.values()); failures += not good
        say(what="check", head=d, heads=h, kv_heads=kv, batch=b, sequence=t, window=w, passed=good, equal_bytes=same, **{n: float(f"{e:.1e}") for n, e in errors.items()})
    return failures


def median_ms(run):
    for _ in range(5): run()
    torch.cuda.synchronize(); times = []
    for _ in range(20):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record(); run(); b.record(); b.synchronize(); times.append(a.elapsed_time(b))
    return statistics.median(times)


def speed(pool):
    forms = KERNELS + ["cast"]
    cubins = {(s[0], f): pool.submit(compile, f, s[4], s[2], s[2], s[1], s[3], 0, True, "bf16") for s in SHAPES for f in forms}
    for name, b, h, t, d in SHAPES:
        flops, tokens, width = 4 * b * h * t * t * d / 2, b * t, h * d
        qkv, d_o = torch.randn(tokens, 3 * width, device=dev).bfloat16(), torch.randn(tokens, width, device=dev).bfloat16()
        lse, delta = torch.empty(tokens, h, device=dev), torch.randn(tokens, h, device=dev)
        o, o2 = torch.empty_like(d_o), torch.empty_like(d_o); q8, q8_t, slot = torch.empty_like(d_o, dtype=torch.uint8), torch.empty_like(d_o, dtype=torch.uint8), torch.zeros(1, device=dev)
        more = {"Forward": (lse, o), "cast": (lse, o, q8, q8_t, slot), "BackwardKeyValue": (d_o, lse, delta, o, o2), "BackwardQuery": (d_o, lse, delta, o)}
        inputs = address(qkv, qkv[:, width:], qkv[:, 2 * width:]); ms = {}
        for form in forms:
            kernel = Kernel(cubins[name, form].result())
            ms[form] = median_ms(lambda: kernel.launch(SMS, t, h, b, stream(), *inputs, *address(*more[form])))
        q, k, v = (torch.randn(b, h, t, d, device=dev, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            forward = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True); g = torch.randn_like(y)
            backward = median_ms(lambda: torch.autograd.grad(y, (q, k, v), g, retain_graph=True))
        ours_backward = ms["BackwardKeyValue"] + ms["BackwardQuery"]
        say(what="attention", name=name, B=b, H=h, T=t, D=d, fwd_tflops=round(flops / ms["Forward"] / 1e9), fwd_cast_tflops=round(flops / ms["cast"] / 1e9),
            cudnn_fwd_tflops=round(flops / forward / 1e9), bwd_tflops=round(2.5 * flops / ours_backward / 1e9), cudnn_bwd_tflops=round(2.5 * flops / backward / 1e9),
            kv_raw_tflops=round(2 * flops / ms["BackwardKeyValue"] / 1e9), q_raw_tflops=round(1.5 * flops / ms["BackwardQuery"] / 1e9),
            fwd_ratio=round(forward / ms["Forward"], 3), bwd_ratio=round(backward / ours_backward, 3))


with ThreadPoolExecutor() as pool:
    say(what="device", gpu=torch.cuda.get_device_name(), torch=torch.__version__, cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version(), nvrtc=nvrtc._name,
        date=time.strftime("%Y-%m-%d"))
    failures = 0 if options.speed else check(pool)
    if not options.check: speed(pool)
sys.exit(failures != 0)
