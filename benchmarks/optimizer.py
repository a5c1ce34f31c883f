#!/usr/bin/env python3
"""The optimizer's kernels on one GPU, straight from the device library: checked against float64 and timed at GPT-1.3B's sizes next to a copy in device memory.

usage: optimizer.py [--library DIR] [--check | --speed] [--other DIR,DIR] [--grids N,N]
Recipes as a table of formats (master, gradient, first and second moment): those of linear weights; master and gradient of all other parameters are F32. The rate
counts the bytes that must move: a pass reads gradient, master and both moments, and writes the latter three if it stores. --other: more libraries that take turns
with the first; --grids: blocks per multiprocessor besides the launcher's 8. Prints JSON lines.
"""
import argparse, ctypes, glob, json, os, statistics, sys, time
from concurrent.futures import ThreadPoolExecutor

RECIPES = {"TransformerEngine": ("f32", "bf16", "f32", "f32"), "Bf16States": ("bf16", "bf16", "bf16", "bf16"), "Fp8LmO1": ("f16", "e4m3", "f32", "f32"), "Fp8LmO2": ("f16", "e4m3", "e4m3", "f16")}
TYPES = {"f32": "float", "bf16": "bf16", "f16": "f16", "e4m3": "e4m3", "e5m2": "e5m2"}
BYTES = {"f32": 4, "bf16": 2, "f16": 2, "e4m3": 1, "e5m2": 1}
MAXIMUM = {"f32": 0, "bf16": 0, "f16": 65504, "e4m3": 448, "e5m2": 57344}
TILE = 2048
ARENAS, TABLE = "void* master, const void* grad, void* m, void* v, ", "const optim::Segment* segments, long long count, long long tiles, "
KERNELS = {
    "norm": ("gradient_norm", "SegmentedGradientNorm<{1}>", "const void* grad, " + TABLE + "StepState* state, void* scratch", "grad, segments, count, tiles, state, scratch"),
    "scaled norm": ("gradient_norm", "SegmentedGradientNorm<{1}>", "const void* grad, " + TABLE + "const float* inverse, const unsigned* amax, StepState* state, void* scratch",
                    "grad, segments, count, tiles, inverse, amax, state, scratch"),
    "update": ("segmented_adamw", "SegmentedAdamW<{0}, {1}, {2}, {3}>::Update", ARENAS + TABLE + "const StepState* state", "master, grad, m, v, segments, count, tiles, state"),
    "amax": ("segmented_adamw", "SegmentedAdamW<{0}, {1}, {2}, {3}>::Amax", ARENAS + TABLE + "const float* inverse, unsigned* amax, const StepState* state",
             "master, grad, m, v, segments, count, tiles, inverse, amax, state"),
    "store": ("segmented_adamw", "SegmentedAdamW<{0}, {1}, {2}, {3}>::Store", ARENAS + TABLE + "const float* scale, const float* inverse, const unsigned* amax, const StepState* state",
              "master, grad, m, v, segments, count, tiles, scale, inverse, amax, state"),
    "flat norm": ("gradient_norm", "GradientNorm", "const float* grad, long long elements, StepState* state, void* scratch", "grad, elements, state, scratch"),
    "flat": ("adamw", "AdamW", "float* master, const float* grad, float* m, float* v, long long elements, long long decay, StepState* state", "master, grad, m, v, elements, decay, state"),
}
options = argparse.ArgumentParser()
options.add_argument("--library", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/Fp8Lm.Runtime/DeviceLibrary"))
options.add_argument("--check", action="store_true"); options.add_argument("--speed", action="store_true")
options.add_argument("--compile", action="store_true", help="compile all kernels only; needs no GPU")
options.add_argument("--other", default="", help="more libraries to take turns with"); options.add_argument("--grids", default="")
options = options.parse_args()
places = glob.glob("/usr/local/cuda*/lib64/libnvrtc.so.1[23]") + glob.glob("/usr/local/cuda*/targets/*/lib/libnvrtc.so.1[23]")
nvrtc = ctypes.CDLL(os.environ.get("NVRTC") or places[0])
say = lambda **k: print(json.dumps(k), flush=True)
scaled = lambda recipe: any(MAXIMUM[f] for f in RECIPES[recipe])


def kernels(recipe):
    return [("scaled norm" if MAXIMUM[RECIPES[recipe][1]] else "norm")] + (["amax", "store"] if scaled(recipe) else ["update"])


def compile(library, kernel, recipe):
    bodies = {}
    for folder, _, files in os.walk(library):
        for file in files:
            if file.endswith(".cuh"):
                path = os.path.join(folder, file); bodies["fp8lm/" + os.path.relpath(path, library)] = open(path, "rb").read()
    header, type, parameters, arguments = KERNELS[kernel]
    type = "optim::" + type.format(*[TYPES[f] for f in RECIPES.get(recipe, [])])
    bounds = f"{type}::kThreads, {type}::kLeastBlocks" if b"kLeastBlocks" in bodies["fp8lm/common/launch.cuh"] else f"{type}::kThreads, 1"
    source = f"""#include <fp8lm/optim/{header}.cuh>
using namespace fp8lm;
FP8LM_LAUNCH({type});
extern "C" __global__ void __launch_bounds__({bounds}) test({parameters}) {{ {type}::run({arguments}); }}
"""
    strings = ctypes.c_char_p * len(bodies); program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"k.cu", len(bodies), strings(*bodies.values()), strings(*[n.encode() for n in bodies])) == 0
    flags = [b"--gpu-architecture=sm_90a", b"--std=c++17", b"-Xptxas=-v", b"-default-device"]
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags)); size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)); log = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetProgramLog(program, log); log = log.value.decode()
    if failed: raise RuntimeError(log)
    bad = [l for l in log.split("\n") if "spill" in l and " 0 bytes spill stores, 0 bytes spill loads" not in l]
    if bad: say(what="warning", library=os.path.basename(library), kernel=kernel, recipe=recipe, log=bad[0].strip())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)); cubin = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin.raw


if options.compile:
    for r in RECIPES:
        for k in kernels(r): compile(options.library, k, r)
    for k in ("flat norm", "flat"): compile(options.library, k, None)
    sys.exit()

import torch
torch.manual_seed(0); dev = "cuda"; torch.zeros(1, device=dev)
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
MULTIPROCESSORS = torch.cuda.get_device_properties(0).multi_processor_count
cuda = ctypes.CDLL("libcuda.so.1")


def ok(result):
    if result: raise RuntimeError(f"CUDA error {result}")


class Segment(ctypes.Structure):
    """fp8lm/optim/segment.cuh"""
    _fields_ = [(n, ctypes.c_int64) for n in ("master", "gradient", "first", "second", "first_tile", "elements")] + [("weight_slot", ctypes.c_int32), ("flags", ctypes.c_uint32), ("reserved", ctypes.c_int64)]


class StepState(ctypes.Structure):
    """fp8lm/common/step_state.cuh"""
    _fields_ = [(n, ctypes.c_float) for n in ("LearningRate", "Beta1", "Beta2", "Epsilon", "WeightDecay", "BiasCorrection1", "BiasCorrection2", "MaxGradientNorm", "LossScale")] \
        + [(n, ctypes.c_uint32) for n in ("SeedLow", "SeedHigh", "MicroStep", "Training")] + [("GradientNorm", ctypes.c_float), ("ClipFactor", ctypes.c_float), ("SkipStep", ctypes.c_uint32),
           ("DynamicLossScale", ctypes.c_float), ("LossSum", ctypes.c_double), ("WeightSum", ctypes.c_double)]


def upload(structure):
    return torch.frombuffer(bytearray(bytes(structure)), dtype=torch.uint8).to(dev)


class Kernel:
    def __init__(self, cubin, per_multiprocessor=8):
        module, pointer, size, self.function = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_size_t(), ctypes.c_void_p()
        ok(cuda.cuModuleLoadData(ctypes.byref(module), cubin)); ok(cuda.cuModuleGetFunction(ctypes.byref(self.function), module, b"test"))
        ok(cuda.cuModuleGetGlobal_v2(ctypes.byref(pointer), ctypes.byref(size), module, b"fp8lm_launch"))
        traits = (ctypes.c_uint32 * 5)(); ok(cuda.cuMemcpyDtoH_v2(traits, pointer, 20)); self.threads = traits[0]; self.blocks = traits[4] or MULTIPROCESSORS * per_multiprocessor

    def __call__(self, *arguments):
        values = [ctypes.c_uint64(a.data_ptr() if isinstance(a, torch.Tensor) else a) for a in arguments]
        ok(cuda.cuLaunchKernel(self.function, self.blocks, 1, 1, self.threads, 1, 1, 0, ctypes.c_void_p(torch.cuda.current_stream().cuda_stream),
                               (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values]), None))


class Layout:
    """Parameters (elements, linear, decays) in the four arenas, as MemoryPlan places them."""

    def __init__(self, formats, parameters):
        self.formats, self.parameters, self.count = formats, parameters, len(parameters)
        self.table, self.bytes, self.tiles = (Segment * self.count)(), [0, 0, 0, 0], 0
        for i, (n, linear, decays) in enumerate(parameters):
            n = -(-n // 64) * 64
            self.table[i] = Segment(*self.bytes, self.tiles, n, -1, int(decays) | (2 if linear else 0), 0)
            self.bytes = [b + n * BYTES[f] for b, f in zip(self.bytes, self.of(i))]; self.tiles += -(-n // TILE)
        self.segments = upload(self.table)

    def of(self, i): return self.formats if self.parameters[i][1] else ("f32", "f32") + self.formats[2:]

    def part(self, arenas, row, i):
        start, f = (self.table[i].master, self.table[i].gradient, self.table[i].first, self.table[i].second)[row], self.of(i)[row]
        return arenas[row][start:start + self.table[i].elements * BYTES[f]].view(DTYPES[f])

    def traffic(self, kernel):
        """Bytes that must move; amax passes leave out what no amax of this recipe depends on."""
        read = sum(self.bytes) if kernel != "amax" or any(MAXIMUM[f] for f in self.formats[2:]) else sum(self.table[i].elements * sum(BYTES[f] for f in self.of(i)) for i in range(self.count) if self.parameters[i][1])
        return self.bytes[1] if "norm" in kernel else read if kernel == "amax" else read + self.bytes[0] + self.bytes[2] + self.bytes[3]


STEP = dict(LearningRate=1e-3, Beta1=0.9, Beta2=0.95, Epsilon=1e-8, WeightDecay=0.1, BiasCorrection1=0.271, BiasCorrection2=0.142625, ClipFactor=0.5, LossSum=1.0)
ROUNDING = {"f32": (1e-6, 0), "bf16": (2 ** -8, 0), "f16": (2 ** -11, 2 ** -25), "e4m3": (2 ** -4, 2 ** -10), "e5m2": (2 ** -3, 2 ** -17)}
ROWS = {0: 1, 1: 0, 2: 2, 3: 3}    # arenas are master, gradient, m, v; tables have the gradient first


def check(pool):
    sizes = [(64, True, True), (2048, False, False), (4096 + 64, True, False), (128, False, True), (10048, True, True), (700000, True, True), (300032, False, True), (64, True, False)]
    work, failures, cases = [(r, {k: pool.submit(compile, options.library, k, r) for k in kernels(r)}) for r in RECIPES], 0, 0
    for recipe, cubins in work:
        for blocks in (3, None):
            layout = Layout(RECIPES[recipe], sizes); count = layout.count; run = {k: Kernel(c.result()) for k, c in cubins.items()}
            arenas = [torch.zeros(b, dtype=torch.uint8, device=dev) for b in layout.bytes]; scale = torch.ones(4, count, device=dev); amax = torch.zeros(4, count, device=dev)
            value, draw = {}, [0.1, 1.0, 0.05, 0.005]
            for i in range(count):
                for row in range(4):
                    x = torch.randn(layout.table[i].elements, device=dev) * draw[row]; f = layout.of(i)[row]
                    if row == 3: x = x.abs()
                    s = 2.0 ** torch.floor(torch.log2(MAXIMUM[f] / x.abs().max())).item() if MAXIMUM[f] else 1.0
                    layout.part(arenas, row, i).copy_((x * s).to(DTYPES[f])); scale[ROWS[row], i] = s; value[row, i] = layout.part(arenas, row, i).double() / s
            inverse = 1 / scale; scratch = torch.zeros(65536, dtype=torch.uint8, device=dev); tables = (layout.segments, count, layout.tiles)
            wrong = []
            # The norm, and one that is not finite.
            exact = torch.sqrt(sum((value[1, i] ** 2).sum() for i in range(count))).item(); name = kernels(recipe)[0]
            for poison in (False, True):
                state = upload(StepState(MaxGradientNorm=1.0)); taken = amax.clone(); gradient = arenas[1].clone()
                if poison and name == "scaled norm": taken[0, 4] = float("inf")
                if poison and name == "norm": layout.part([None, gradient], 1, 5)[12345] = float("inf")
                run[name](gradient, *tables, *((inverse, taken) if name == "scaled norm" else ()), state, scratch)
                got = StepState.from_buffer_copy(state.cpu().numpy().tobytes())
                good = got.SkipStep == 1 if poison else abs(got.GradientNorm / exact - 1) < 1e-6 and abs(got.ClipFactor * (exact + 1e-6) - min(1, exact)) < 1e-5 and got.SkipStep == 0
                if not good: wrong.append(f"norm {got.GradientNorm} for {exact}, skip {got.SkipStep}")
            if blocks:
                for k in run: run[k].blocks = run[k].blocks if "norm" in k else blocks
            before = [a.clone() for a in arenas]
            for skip in (1, 0):
                state = upload(StepState(SkipStep=skip, **STEP))
                if scaled(recipe):
                    run["amax"](*arenas, *tables, inverse, amax, state); run["store"](*arenas, *tables, scale, inverse, amax, state)
                else: run["update"](*arenas, *tables, state)
                torch.cuda.synchronize()
                if skip and (any(not torch.equal(a, b) for a, b in zip(arenas, before)) or amax.any().item()): wrong.append("a skipped step wrote")
            if not torch.equal(arenas[1], before[1]): wrong.append("gradients were written")
            f32 = lambda x: torch.tensor(x, dtype=torch.float32).item(); s = {k: f32(v) for k, v in STEP.items()}
            for i in range(count):
                g = value[1, i] * s["ClipFactor"]; m = s["Beta1"] * value[2, i] + (1 - s["Beta1"]) * g; v = s["Beta2"] * value[3, i] + (1 - s["Beta2"]) * g * g
                step = m / s["BiasCorrection1"] / (torch.sqrt(v / s["BiasCorrection2"]) + s["Epsilon"])
                w = value[0, i] - s["LearningRate"] * (step + (s["WeightDecay"] if sizes[i][2] else 0) * value[0, i])
                for row, want, noise in ((0, w, 1e-8), (2, m, 1e-8), (3, v, 1e-9)):
                    f = layout.of(i)[row]; slot = ROWS[row], i; now = 1.0
                    if MAXIMUM[f]:
                        if abs(amax[slot].item() / want.abs().max().item() - 1) > 1e-6: wrong.append(f"amax {slot}: {amax[slot].item()} for {want.abs().max().item()}")
                        now = 2.0 ** torch.floor(torch.log2(torch.tensor(MAXIMUM[f]) / amax[slot].cpu())).item()
                    relative, least = ROUNDING[f]; error = (layout.part(arenas, row, i).double() / now - want).abs() - torch.maximum(want.abs() * (relative + 2e-6), torch.tensor(least / now, dtype=torch.float64, device=dev)) - want.abs() * 1e-6 - noise
                    if not (error <= 0).all(): wrong.append(f"row {row} of segment {i} ({f}): {error.max().item():.2e} too far off")
            cases += 1; failures += len(wrong) > 0
            if wrong: say(what="check", recipe=recipe, blocks=blocks, wrong=wrong[:4])
    say(what="check", cases=cases, failed=failures)
    return failures


def gpt(vocabulary=50304, context=2048, width=2048, layers=24):
    """TinyGpt's parameters, those with weight decay first."""
    matrices = [(f * width * width, True, True) for f in (3, 1, 4, 4) for _ in range(layers)]
    vectors = [(f * width, False, False) for f in (1, 1, 3, 1, 1, 1, 4, 1) for _ in range(layers)] + [(width, False, False)] * 2
    return [(vocabulary * width, False, True), (context * width, False, True)] + matrices + vectors


def speed(pool):
    libraries = [options.library] + [o for o in options.other.split(",") if o]; grids = [8] + [int(g) for g in options.grids.split(",") if g]
    named = lambda l: "" if l == options.library else os.path.basename(l.rstrip("/"))
    cubins = {(r, k, l): pool.submit(compile, l, k, r) for r in RECIPES for k in kernels(r) for l in libraries} | {(None, k, options.library): pool.submit(compile, options.library, k, None) for k in ("flat norm", "flat")}
    elements = sum(-(-n // 64) * 64 for n, _, _ in gpt()); say(what="model", parameters=elements)
    # Bytes that are ordinary numbers in every format.
    arenas = [torch.empty(4 * elements, dtype=torch.uint8, device=dev).random_(0x30, 0x40) for _ in range(4)]
    layouts = {r: Layout(f, gpt()) for r, f in RECIPES.items()}; count = len(gpt()); scratch = torch.zeros(65536, dtype=torch.uint8, device=dev)
    ones, amax, state = torch.ones(4, count, device=dev), torch.ones(4, count, device=dev), upload(StepState(**(STEP | dict(LearningRate=0.0))))
    runs, bytes = {"copy": lambda: arenas[0].copy_(arenas[3])}, {"copy": 8 * elements}
    for (recipe, kernel, library), cubin in cubins.items():
        for grid in grids if recipe else grids[:1]:
            run = Kernel(cubin.result(), grid); name = f"{recipe or 'Fp32'} {kernel}" + (f" {named(library)}" if named(library) else "") + (f" x{grid}" if grid != 8 else "")
            if grid != 8 and "norm" in kernel: continue
            if recipe is None:
                arguments = (arenas[1], elements, state, scratch) if kernel == "flat norm" else (arenas[0], arenas[1], arenas[2], arenas[3], elements, 1, state)
                bytes[name] = (4 if kernel == "flat norm" else 28) * elements
            else:
                x = layouts[recipe]; tables = (x.segments, count, x.tiles); bytes[name] = x.traffic(kernel)
                arguments = {"norm": (arenas[1], *tables, state, scratch), "scaled norm": (arenas[1], *tables, ones, amax, state, scratch), "update": (*arenas, *tables, state),
                             "amax": (*arenas, *tables, ones, amax, state), "store": (*arenas, *tables, ones, ones, amax, state)}[kernel]
            runs[name] = lambda run=run, arguments=arguments: run(*arguments)
    times = {name: [] for name in runs}
    for run in runs.values(): run()
    for _ in range(5):
        for name, run in runs.items():
            # Norms end a step and find it good or bad; the next kernel must not skip.
            state.copy_(upload(StepState(**(STEP | dict(LearningRate=0.0))))); a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            a.record(); run(); b.record(); b.synchronize(); times[name].append(a.elapsed_time(b))
    copy = bytes["copy"] / statistics.median(times["copy"]) / 1e6
    for name in runs:
        ms = statistics.median(times[name]); rate = bytes[name] / ms / 1e6
        say(what="speed", kernel=name, ms=round(ms, 3), gigabytes=round(bytes[name] / 1e9, 2), gb_s=round(rate), of_copy=round(rate / copy, 3))


with ThreadPoolExecutor() as pool:
    say(what="device", gpu=torch.cuda.get_device_name(), torch=torch.__version__, cuda=torch.version.cuda, nvrtc=nvrtc._name, date=time.strftime("%Y-%m-%d"))
    failures = 0 if options.speed else check(pool)
    if not options.check: speed(pool)
sys.exit(failures != 0)
