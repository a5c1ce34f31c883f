#!/usr/bin/env python3
"""Our matrix products on one GPU, straight from the device library: checked against a float64 reference and timed next to cuBLASLt (through PyTorch).

usage: gemm.py [--library DIR] [--check | --speed] [--tiles I,J] [--splits S,T] [--shapes NAME,NAME] [--sanitize]
At the eleven shapes of peers/ceilings.py, and weight gradients whose K is long and tiles few. plain: bf16 output. gelu: bias, GELU, amax, slope of the GELU in bf16, FP8 row and transposed output. dgelu: the
gradient of a GELU whose slope is read as bf16, column sums, amax, FP8 row and transposed output (what the generator emits for a TransformerEngine MLP). A form without one of
its parts tells what that part costs: dgelu-no-turned-no-sums, of turned, row, sums, read, amax and wide (the bf16 store of gelu).
rowwise: bf16 output times a scale per row and per column. block: scales per 1 x 128 of A and 128 x 128 of B, as fprop and dgrad of recipe BlockScaled;
block-wgrad: per 1 x 128 of both. bf16, bf16-gelu, bf16-dgelu: the same of bf16 operands, without FP8 outputs, next to torch.mm; bf16-across: plain, of operands that are [K, M] and [K, N],
as weight gradients read them. --tiles, --splits: besides what is chosen, these tiles of the table and these numbers of blocks that share K of a tile. fast: accumulation in the tensor cores; promoted: in FP32 every 128 of K. Candidates take turns within a shape, because one after the other the GPU gets
hot and slow. Prints JSON lines.
"""
import argparse, ctypes, glob, json, os, statistics, sys, time
from concurrent.futures import ThreadPoolExecutor

SHAPES = [("square-8k", 8192, 8192, 8192), ("7b-qkv-fprop", 8192, 12288, 4096), ("7b-proj-fprop", 8192, 4096, 4096), ("7b-fc-fprop", 8192, 16384, 4096),
          ("7b-out-fprop", 8192, 4096, 16384), ("7b-fc-wgrad", 16384, 4096, 8192), ("175b-fc-fprop", 4096, 49152, 12288), ("1.3b-fc-fprop", 16384, 8192, 2048),
          ("125m-fc-fprop", 32768, 3072, 768), ("125m-qkv-wgrad", 2304, 768, 32768), ("125m-head", 32768, 50304, 768)]
WGRADS = [("125m-proj-wgrad", 768, 768, 32768), ("125m-fc-wgrad", 3072, 768, 32768), ("125m-out-wgrad", 768, 3072, 32768),
          ("1.3b-qkv-wgrad", 6144, 2048, 16384), ("1.3b-fc-wgrad", 8192, 2048, 16384), ("1.3b-proj-wgrad", 2048, 2048, 16384), ("7b-qkv-wgrad", 12288, 4096, 8192)]
# Tails in every extent, groups of 32 columns that exist or not, one block of K, many.
CASES = [(128, 192, 128), (256, 128, 256), (1000, 208, 144), (333, 96, 2048), (64, 1040, 528), (2304, 768, 4096), (640, 3072, 768), (192, 4000, 1024), (16, 16, 16)]
# Split over K: one tile a cluster, tails in every extent and unequal shares of K, one row of tiles, more tiles than clusters.
SPLIT_CASES = [(768, 768, 4096), (1000, 208, 1040), (64, 1040, 2064), (2304, 768, 2048)]
SPLITS = [2, 3, 4, 5, 8]
# How operands are scaled, and the tiles that serve (promoted) where not all do.
SCALES = {"rowwise": 1, "block": 2, "block-wgrad": 3}
TILES = ["128x256 together", "128x192 in turn", "128x128 in turn", "256x128 together", "128x192 together", "128x128 together", "192x128 three together"]

SOURCE = """
#include <fp8lm/gemm/gemm.cuh>
using namespace fp8lm;
#if BF16
using Operand = bf16;
#else
using Operand = e4m3;
#endif
constexpr int kRows = M_, kColumns = N_;
struct Epilogue
{
    static constexpr int kSums = DGELU && !NO_SUMS, kTransposed = PLAIN || BF16 || NO_TURNED ? 0 : 1;
    static constexpr bool kWholeTurned = kRows % 16 == 0, kComputes = !PLAIN;
    bf16* y;
    e4m3* q;
    e4m3* q_t;
    const float* bias;
    unsigned* slot;
    float* sums_out;
    const float* a_scales;
    const float* b_scales;
    unsigned amax = 0;
#if DGELU && !NO_READ
    struct Inputs { Octet<bf16> x0; };
    __device__ Inputs read(int row, int col) const { return {load_octet<whole_octets(kColumns)>(y + (long long)row * kColumns + col, octet_count<kColumns>(col))}; }
#else
    struct Inputs {};
    __device__ Inputs read(int, int) const { return {}; }
#endif
    __device__ void prefetch(int row, int col, int columns) const { if (DGELU && !NO_READ) prefetch_octets<whole_octets(kColumns)>(y + (long long)row * kColumns + col, columns); }
#if SCALES == 1
    struct Columns { Octet<float> s; };
    __device__ Columns read_columns(int col) const { return {load_octet<whole_octets(kColumns)>(b_scales + col, octet_count<kColumns>(col))}; }
#elif PLAIN || DGELU
    struct Columns {};
    __device__ Columns read_columns(int) const { return {}; }
#else
    struct Columns { Octet<float> b; };
    __device__ Columns read_columns(int col) const { return {load_octet<whole_octets(kColumns)>(bias + col, octet_count<kColumns>(col))}; }
#endif
    template <int kSumsCount, int kTurnedCount>
    __device__ void apply(int row, int col, const float (&accs)[8], const Columns& columns, const Inputs& in, float (&sums)[kSumsCount], uint2 (&turned)[kTurnedCount])
    {
        const long long at = (long long)row * kColumns + col;
        const int count = octet_count<kColumns>(col);
        constexpr bool kWhole = whole_octets(kColumns);
        float out[8], acted[8];
#if PLAIN
#if SCALES == 1
        float s[8];
        unpack(columns.s, s);
        for (int e = 0; e < 8; ++e) out[e] = accs[e] * a_scales[row] * s[e];
#else
        for (int e = 0; e < 8; ++e) out[e] = accs[e];
#endif
        store_octet<kWhole>(y + at, pack<bf16>(out), count);
#else
#if DGELU
        float slope[8] = {1, 1, 1, 1, 1, 1, 1, 1};
#if !NO_READ
        unpack(in.x0, slope);
#endif
#else
        float b[8];
        unpack(columns.b, b);
#endif
        #pragma unroll
        for (int e = 0; e < 8; ++e)
            if (e < count)
            {
                const float acc = accs[e] * 0.5f;
#if DGELU
                acted[e] = acc * slope[e];
#if !NO_SUMS
                sums[e] += acted[e];
#endif
#else
                const float v = acc + b[e], inner = v * v * 0.071354814f + 1.5957692f, s = sigmoid_(v * inner), v12 = v * (s * (1.0f - s)), v17 = v12 * v * 0.071354814f * v;
                out[e] = s + v12 * inner + v17 + v17;
                acted[e] = v * s;
#endif
                if (!NO_AMAX)
                    amax = amax_bits(amax, acted[e]);
            }
#if !DGELU && !NO_WIDE
        store_octet<kWhole>(y + at, pack<bf16>(out), count);
#endif
#if BF16
        store_octet<kWhole>(reinterpret_cast<bf16*>(q) + at, pack<bf16>(acted), count);
#else
        const Octet<e4m3> cast = pack<e4m3>(acted, 4.0f);
        if (!NO_ROW || cast.words[0] == 0x12345678)
            store_octet<kWhole>(q + at, cast, count);
#endif
#if !NO_TURNED && !BF16
        turned[0] = make_uint2(cast.words[0], cast.words[1]);
#endif
#endif
    }
    __device__ u8* transposed(int, int col) const { return reinterpret_cast<u8*>(q_t) + (long long)col * kRows; }
    __device__ float* sum_row(int, int slab) const { return sums_out + (long long)slab * kColumns; }
    __device__ void begin() {}
    __device__ void finish() { if (!PLAIN) atomic_amax(slot, amax); }
};
using Config = gemm::Config<Operand, Operand, !ACROSS, !ACROSS, PROMOTE, M_, N_, K_, Epilogue
#if SCALES == 2
    , gemm::BlockScales::Squares
#elif SCALES == 3
    , gemm::BlockScales::Rows
#endif
    >;
FP8LM_LAUNCH(Config);
extern "C" __global__ void __launch_bounds__(Config::kThreads, 1) test(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
    bf16* y, e4m3* q, e4m3* q_t, const float* bias, unsigned* slot, float* sums, const float* a_scales, const float* b_scales)
{
    Epilogue e{y, q, q_t, bias, slot, sums, a_scales, b_scales};
#if SCALES >= 2
    gemm::run<Config>(a, b, gemm::ScaleAddresses{a_scales, b_scales, (K_ + 127) / 128, 1}, e);
#else
    gemm::run<Config>(a, b, e);
#endif
}
"""
options = argparse.ArgumentParser()
options.add_argument("--library", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/Fp8Lm.Runtime/DeviceLibrary"))
options.add_argument("--check", action="store_true"); options.add_argument("--speed", action="store_true"); options.add_argument("--sanitize", action="store_true")
options.add_argument("--compile", action="store_true", help="compile the speed kernels only; needs no GPU")
options.add_argument("--tiles", default="", help="besides the tile that the table chooses, these numbers of kTiles"); options.add_argument("--splits", default="", help="besides the split that is chosen, these; with --tiles, each with each")
options.add_argument("--shapes", default="")
options.add_argument("--other", default="", help="more libraries to take turns with"); options.add_argument("--forms", default="plain,gelu,dgelu")
options = options.parse_args()
places = glob.glob("/usr/local/cuda*/lib64/libnvrtc.so.1[23]") + glob.glob("/usr/local/cuda*/targets/*/lib/libnvrtc.so.1[23]")
nvrtc = ctypes.CDLL(os.environ.get("NVRTC") or places[0])
say = lambda **k: print(json.dumps(k), flush=True)


def headers(library):
    for folder, _, files in os.walk(library):
        for file in files:
            if file.endswith(".cuh"):
                path = os.path.join(folder, file)
                yield ("fp8lm/" + os.path.relpath(path, library)).encode(), open(path, "rb").read()


def compile(m, n, k, form, promote, tile=None, library=None, split=None):
    names, bodies = zip(*headers(library or options.library)); strings = ctypes.c_char_p * len(names); program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), SOURCE.encode(), b"k.cu", len(names), strings(*bodies), strings(*names)) == 0
    bf16, (form, *without) = form.startswith("bf16"), (form.removeprefix("bf16-") if form != "bf16" else "plain").split("-no-")
    defines = {f"NO_{part.upper()}": int(part in without) for part in ("turned", "row", "sums", "read", "amax", "wide")}
    defines |= dict(BF16=int(bf16), M_=m, N_=n, K_=k, PLAIN=int(form in ("plain", "across") or form in SCALES), ACROSS=int(form == "across"), SCALES=SCALES.get(form, 0), DGELU=int(form == "dgelu"), PROMOTE=int(promote)) | ({} if tile is None else dict(FP8LM_TILE=tile)) | ({} if split is None else dict(FP8LM_SPLIT=split))
    flags = [b"--gpu-architecture=sm_90a", b"--std=c++17", b"-Xptxas=-v", b"-default-device"] + [f"-D{a}={b}".encode() for a, b in defines.items()]
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags)); size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)); log = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetProgramLog(program, log); log = log.value.decode()
    if failed: raise RuntimeError(log)
    bad = [l for l in log.split("\n") if "C75" in l or ("spill" in l and " 0 bytes spill stores, 0 bytes spill loads" not in l)]
    if bad: say(what="warning", shape=[m, n, k], form=form, promote=promote, tile=tile, split=split, log=bad[0][:200])
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)); cubin = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin.raw


shapes = [s for s in SHAPES + WGRADS if not options.shapes or s[0] in options.shapes.split(",")]
forms = [(f, p) for f in options.forms.split(",") for p in (False, True) if (p or not f.startswith("block")) and not (p and f.startswith("bf16"))]
tiles_of = lambda form, promote: [0, 1, 2] if form.startswith("bf16") else ([3, 5, 6] if form.startswith("block") else [3, 4, 5, 6]) if promote else [2] if form.startswith("dgelu") else [1, 2]
# Of those, the ones that can share K with other blocks.
splittable = lambda form, promote: [t for t in tiles_of(form, promote) if TILES[t].endswith("together")] if promote and form not in ("block", "block-wgrad") or form.startswith("bf16") else []
across = lambda form: form.endswith("across")
numbers = lambda text: [int(x) for x in text.split(",") if x]


def candidates(form, promote):
    """What is chosen, and what is asked for besides: tile and split."""
    tiles = [None] + [t for t in numbers(options.tiles) if t in tiles_of(form, promote)]
    return [(t, None) for t in tiles] + [(t, s) for s in numbers(options.splits) for t in tiles if (splittable(form, promote) if t is None else t in splittable(form, promote)) or s == 1]


if options.compile:
    folder = os.environ.get("OUT")
    with ThreadPoolExecutor(2) as pool:
        for s in shapes:
            for f, p in forms:
                for t, split in candidates(f, p):
                    cubin = compile(*s[1:], f, p, t, split=split)
                    if folder: open(f"{folder}/{s[0]}-{f}-{'promoted' if p else 'fast'}-{t}{'' if split is None else f'-split{split}'}.cubin", "wb").write(cubin)
    sys.exit()

cuda = ctypes.CDLL("libcuda.so.1")


def ok(result):
    if result: raise RuntimeError(f"CUDA error {result}")


class Attribute(ctypes.Structure):
    """CUlaunchAttribute; value is a union of 64 bytes."""
    _fields_ = [("id", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("value", ctypes.c_uint32 * 16)]


class LaunchConfig(ctypes.Structure):
    """CUlaunchConfig."""
    _fields_ = [("grid", ctypes.c_uint32 * 3), ("block", ctypes.c_uint32 * 3), ("shared", ctypes.c_uint32), ("stream", ctypes.c_void_p), ("attributes", ctypes.POINTER(Attribute)), ("count", ctypes.c_uint32)]


def tensor_map(address, rows, k, tile, regroups, width=1, across=False):
    """What Cuda/TensorMapTable.cs encodes for an operand of elements of width bytes, [rows, k] or across [k, rows]."""
    raw = ctypes.create_string_buffer(192); at = (ctypes.addressof(raw) + 63) // 64 * 64
    dims, box, strides = ([k, 2, 4, 4, rows // 32], [128 // width, 2, 4, 4, tile // 32], [k, 8 * k, 2 * k, 32 * k]) if regroups else ([k, rows], [128 // width, tile], [k])
    if across: dims, box, strides = [rows, k], [64, 64], [rows]
    strides = [width * s for s in strides]
    rank = len(dims); u64, u32 = ctypes.c_uint64 * rank, ctypes.c_uint32 * rank
    ok(cuda.cuTensorMapEncodeTiled(ctypes.c_void_p(at), 9 if width == 2 else 0, rank, ctypes.c_void_p(address), u64(*dims), (ctypes.c_uint64 * max(1, rank - 1))(*strides), u32(*box), u32(*[1] * rank), 0, 3, 3, 0))
    return raw, at


class Kernel:
    def __init__(self, cubin, regroups=True):
        module, pointer, size, self.function = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_size_t(), ctypes.c_void_p()
        ok(cuda.cuModuleLoadData(ctypes.byref(module), cubin)); ok(cuda.cuModuleGetFunction(ctypes.byref(self.function), module, b"test"))
        ok(cuda.cuModuleGetGlobal_v2(ctypes.byref(pointer), ctypes.byref(size), module, b"fp8lm_launch"))
        traits = (ctypes.c_uint32 * 6)(*[0] * 5, 1); ok(cuda.cuMemcpyDtoH_v2(traits, pointer, min(24, size.value))); self.threads, self.shared, self.tile_m, self.tile_n, self.fixed_blocks, self.split = traits
        ok(cuda.cuFuncSetAttribute(self.function, 8, ctypes.c_int(self.shared))); self.regroups = regroups

    def prepare(self, m, n, k, a, b, *addresses, width=1, across=False):
        self.maps = [tensor_map(a, m, k, self.tile_m, False, width, across), tensor_map(b, n, k, self.tile_n, self.regroups and n % 32 == 0 and not across, width, across)]
        self.values = [ctypes.c_uint64(x) for x in addresses]
        self.arguments = (ctypes.c_void_p * (2 + len(addresses)))(self.maps[0][1], self.maps[1][1], *[ctypes.addressof(v) for v in self.values])
        self.blocks = self.fixed_blocks or min(132, -(-m // self.tile_m) * -(-n // self.tile_n)); self.launched = self.config(self.blocks, self.cluster(self.split)); return self

    def cluster(self, blocks):
        """CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION."""
        attribute = Attribute(id=4); attribute.value[:3] = blocks, 1, 1; return attribute

    def config(self, blocks, attribute):
        c = LaunchConfig(shared=self.shared, attributes=ctypes.pointer(attribute), count=int(attribute.value[0] > 1)); c.grid[:] = blocks, 1, 1; c.block[:] = self.threads, 1, 1; return c

    def clusters_at_a_time(self, blocks):
        """What the driver says to clusters_at_a_time of gemm/tile.cuh."""
        count = ctypes.c_int(); failed = cuda.cuOccupancyMaxActiveClusters(ctypes.byref(count), self.function, ctypes.byref(self.config(132 // blocks * blocks, self.cluster(blocks))))
        return f"error {failed}" if failed else count.value

    def launch(self, stream=0):
        self.launched.grid[0] = self.blocks; self.launched.stream = stream
        ok(cuda.cuLaunchKernelEx(ctypes.byref(self.launched), self.function, self.arguments, None))


def sanitize():
    import numpy as np
    device, context = ctypes.c_int(), ctypes.c_void_p()
    ok(cuda.cuInit(0)); ok(cuda.cuDeviceGet(ctypes.byref(device), 0)); ok(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device)); rng = np.random.default_rng(0)

    def upload(a):
        p = ctypes.c_uint64(); ok(cuda.cuMemAlloc_v2(ctypes.byref(p), a.nbytes)); ok(cuda.cuMemcpyHtoD_v2(p, a.ctypes.data_as(ctypes.c_void_p), a.nbytes)); return p.value
    with ThreadPoolExecutor() as pool:
        work = []
        for m, n, k in [(520, 608, 656), (333, 208, 1040), (332, 208, 1040)]:
            for form, promote in forms:
                if across(form) and m % 8: continue
                for tile, split in [(t, None) for t in tiles_of(form, promote)] + [(t, s) for t in splittable(form, promote) for s in (2, 5)]:
                    if m % 4 == 0 or not form.startswith("block"): work.append(((m, n, k), form, pool.submit(compile, m, n, k, form, promote, tile, split=split)))
        for (m, n, k), form, cubin in work:
            width = 1 + form.startswith("bf16"); fp8 = lambda c: upload(rng.integers(0, 60, c * width).astype(np.uint8))
            args = [fp8(m * k), fp8(n * k), upload(np.zeros(m * n, np.uint16)), fp8(m * n), fp8(m * n), upload(np.zeros(n, np.float32)), upload(np.zeros(1, np.uint32)), upload(np.zeros((m + 15) // 16 * n, np.float32)),
                    upload(np.ones((k + 127) // 128 * m, np.float32)), upload(np.ones((k + 127) // 128 * n, np.float32))]
            kernel = Kernel(cubin.result()).prepare(m, n, k, *args, width=width, across=across(form))
            for _ in range(2): kernel.blocks = 5 if kernel.split == 1 else 2 * kernel.split; kernel.launch(); ok(cuda.cuCtxSynchronize())
    print("sanitize: every kernel ran", flush=True)


if options.sanitize:
    sanitize(); sys.exit()

import torch
torch.manual_seed(0); dev = "cuda"; torch.zeros(1, device=dev)
stream = lambda: torch.cuda.current_stream().cuda_stream
fp8 = lambda *shape: torch.randn(*shape, device=dev).to(torch.float8_e4m3fn)


def buffers(m, n, k, bf16=False, across=False):
    operand = (lambda rows, k: torch.randn(k, rows, device=dev).bfloat16().t() if across else torch.randn(rows, k, device=dev).bfloat16()) if bf16 else fp8
    return dict(a=operand(m, k), b=operand(n, k), y=torch.randn(m, n, device=dev).bfloat16(), q=torch.zeros(m, n, device=dev, dtype=torch.bfloat16 if bf16 else torch.uint8), q_t=torch.zeros(n, m, device=dev, dtype=torch.uint8),
                bias=torch.randn(n, device=dev), slot=torch.zeros(1, device=dev), sums=torch.zeros(-(-m // 16), n, device=dev),
                a_scales=torch.rand(-(-k // 128), m, device=dev) + 0.5, b_scales=torch.rand(-(-k // 128), n, device=dev) + 0.5)


def product(x, form, k):
    """In float64; of what has scales per block, block by block."""
    a, b, sa, sb = x["a"].double(), x["b"].double(), x["a_scales"].double(), x["b_scales"].double()
    if form == "rowwise": return a @ b.t() * sa[0][:, None] * sb[0]
    if form not in SCALES: return a @ b.t()
    n, blocks = b.shape[0], -(-k // 128)
    squares = sb.flatten()[:-(-n // 128) * blocks].view(-1, blocks).repeat_interleave(128, 0)[:n].t()
    return sum(a[:, 128 * i:128 * i + 128] @ b[:, 128 * i:128 * i + 128].t() * sa[i][:, None] * (squares if form == "block" else sb)[i] for i in range(blocks))


def check(pool):
    failures, work = 0, []
    for c in CASES:
        for f, p in forms:
            for t in tiles_of(f, p) if (c[0] % 4 == 0 or not f.startswith("block")) and (c[0] % 8 == 0 or not across(f)) else []: work.append((c, f, p, t, None, pool.submit(compile, *c, f, p, t)))
    for c in SPLIT_CASES:
        for f, p in forms:
            for t in splittable(f, p):
                for s in numbers(options.splits) or SPLITS: work.append((c, f, p, t, s, pool.submit(compile, *c, f, p, t, split=s)))
    for (m, n, k), form, promote, tile, split, cubin in work:
        bf16 = form.startswith("bf16"); x = buffers(m, n, k, bf16, across(form)); y0 = x["y"].clone(); exact = product(x, form, k); outs = []
        for _ in range(2):
            x["y"].copy_(y0); x["slot"].zero_()
            Kernel(cubin.result()).prepare(m, n, k, *[t.data_ptr() for t in x.values()], width=1 + bf16, across=across(form)).launch(stream()); torch.cuda.synchronize()
            outs.append([x[s].clone() for s in ("y", "q", "q_t", "slot", "sums")])
        same = all(torch.equal(s, t) for s, t in zip(*outs)); y, q, q_t, slot, sums = outs[0]
        bound = 1e-5 if bf16 else 1e-3 if promote else 3e-3
        kind = "plain" if form in ("bf16", "bf16-across") else form.removeprefix("bf16-")
        if kind == "plain" or form in SCALES: error = ((y.double() - exact).abs().max() / exact.abs().max()).item(); good = error < bound + 2 ** -8
        else:
            v = (exact * 0.5 + x["bias"].double()).requires_grad_()
            inner = v * torch.sigmoid(v * (v * v * 0.071354814 + 1.5957692))
            want = inner.detach() if kind == "gelu" else exact * 0.5 * y0.double()
            got, clipped = (q.double(), want) if bf16 else (q.view(torch.float8_e4m3fn).double() / 4, want.clamp(-112, 112))
            # A cast is off by a sixteenth of its value at most (bf16: by 2^-8), and by what the sum before it is off.
            error = ((got - clipped).abs() - clipped.abs() / (250 if bf16 else 15)).max().item() / exact.abs().max().item()
            if kind == "gelu": good_slope = (y.double() - torch.autograd.grad(inner.sum(), v)[0]).abs().max().item() < 2 ** -8 + 10 * bound * exact.abs().max().item()
            good = error < bound and (kind != "gelu" or good_slope) and (bf16 or torch.equal(q_t, q.t())) and abs(slot.item() / want.abs().max().item() - 1) < 10 * bound
            if kind == "dgelu":
                padded = torch.zeros(-(-m // 16) * 16, n, device=dev, dtype=torch.float64); padded[:m] = want
                sum_error = ((sums.double() - padded.view(-1, 16, n).sum(1)).abs().max() / want.abs().max()).item(); good &= sum_error < 10 * bound
        good &= same; failures += not good
        if not good: say(what="check", shape=[m, n, k], form=form, promote=promote, tile=TILES[tile], split=split, passed=good, equal_bytes=same, error=float(f"{error:.1e}"))
    say(what="check", cases=len(work), failed=failures)
    return failures


def speed(pool):
    work = {(s, f, p, t, split, l): pool.submit(compile, *s[1:], f, p, t, l, split) for s in shapes for f, p in forms for t, split in candidates(f, p)
            for l in [None] + [o for o in options.other.split(",") if o and (t is None or "head" not in o)]}
    kernel = Kernel(next(iter(work.values())).result()); say(what="clusters", at_a_time={blocks: kernel.clusters_at_a_time(blocks) for blocks in range(2, 9)})
    one = torch.ones((), device=dev); source = torch.empty(2 << 30, dtype=torch.uint8, device=dev).random_(); target = torch.empty_like(source); times = []
    for _ in range(20):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record(); target.copy_(source); b.record(); b.synchronize(); times.append(a.elapsed_time(b))
    say(what="copy", gb_s=round(2 * source.numel() / statistics.median(times) / 1e6)); del source, target
    for s in shapes:
        name, m, n, k = s; x = buffers(m, n, k); runs = {}; wide = buffers(m, n, k, True) if any(f.startswith("bf16") for f, _ in forms) else None
        if wide: runs["torch bf16"] = lambda: torch.mm(wide["a"], wide["b"].t(), out=wide["y"])
        for fast in (True, False) if any(not f.startswith("bf16") for f, _ in forms) else ():
            runs["torch fast" if fast else "torch precise"] = lambda fast=fast: torch._scaled_mm(x["a"], x["b"].t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=fast)
        if any(f in SCALES for f, _ in forms):
            for fast in (True, False):
                sa, sb = x["a_scales"][0][:, None].contiguous(), x["b_scales"][0][None].contiguous()
                runs["torch rowwise " + ("fast" if fast else "precise")] = lambda fast=fast, sa=sa, sb=sb: torch._scaled_mm(x["a"], x["b"].t(), scale_a=sa, scale_b=sb, out_dtype=torch.bfloat16, use_fast_accum=fast)
        for (t, f, p, tile, split, library), cubin in work.items():
            if t == s:
                kernel = Kernel(cubin.result(), library is None or "head" not in library).prepare(m, n, k, *[v.data_ptr() for v in (wide if f.startswith("bf16") else x).values()], width=1 + f.startswith("bf16"), across=across(f))
                run = f"{f} {'promoted' if p else 'fast'}{'' if tile is None else ' ' + TILES[tile]}{'' if split is None else f' split {split}'}{' ' + os.path.basename(library) + '' if library else ''}"
                runs[run] = lambda kernel=kernel: kernel.launch(stream())
                if tile is None and library is None: say(what="tile", name=name, form=f, promoted=p, **({} if split is None else {"asked": split}), rows=kernel.tile_m, columns=kernel.tile_n, threads=kernel.threads, split=kernel.split, blocks=kernel.blocks)
        times = {r: [] for r in runs}
        for r in runs.values(): r()
        for turn in range(6):
            for r, run in runs.items():
                a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                run(); a.record()
                for _ in range(3): run()
                b.record(); b.synchronize(); times[r].append(a.elapsed_time(b) / 3)
        rate = {r: round(2 * m * n * k / statistics.median(t) / 1e9) for r, t in times.items()}
        say(what="gemm", name=name, M=m, N=n, K=k, tflops=rate, us={r: round(1e3 * statistics.median(t), 1) for r, t in times.items()}, **({"ratio_fast": round(rate["plain fast"] / rate["torch fast"], 3), "ratio_promoted": round(rate["plain promoted"] / rate["torch precise"], 3)} if "plain fast" in rate else {}),
            **({"ratio_bf16": round(rate["bf16 fast"] / rate["torch bf16"], 3)} if "bf16 fast" in rate else {}),
            **{f"ratio_{f.replace('-', '_')}": round(rate[f"{f} promoted"] / rate["torch precise"], 3) for f in SCALES if f"{f} promoted" in rate},
            **({"ratio_rowwise_fast": round(rate["rowwise fast"] / rate["torch rowwise fast"], 3), "ratio_rowwise": round(rate["rowwise promoted"] / rate["torch rowwise precise"], 3)} if "rowwise fast" in rate else {}),
            gelu_of_plain=round(rate.get("gelu fast", 0) / rate.get("plain fast", 1), 3), dgelu_of_plain=round(rate.get("dgelu promoted", 0) / rate.get("plain promoted", 1), 3))


with ThreadPoolExecutor() as pool:
    say(what="device", gpu=torch.cuda.get_device_name(), torch=torch.__version__, cuda=torch.version.cuda, nvrtc=nvrtc._name, date=time.strftime("%Y-%m-%d"))
    failures = 0 if options.speed else check(pool)
    if not options.check: speed(pool)
sys.exit(failures != 0)
