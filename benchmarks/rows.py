#!/usr/bin/env python3
"""Emitted row kernels on one GPU: checked against float64 and timed next to a device copy, in bytes that must move.

usage: rows.py NAME=KERNELS[,LIBRARY[,MACRO=VALUE...]]... [--check | --speed | --compile] [--cases WORD,WORD]
KERNELS is a folder that `TinyGpt kernels --recipe TransformerEngine --out` wrote, LIBRARY the device library that goes with it. Several are timed in turns. Kinds: LayerNorm forward
(FP8 in both layouts), its backward (gradient added to a residual's, bf16 and FP8 in both layouts, three column sums), casts of weights, cross-entropy over its logits.
--compile: registers, spills and shared memory by ptxas; needs no GPU. Inputs of a case come in sets that together exceed L2. Prints JSON lines.
"""
import argparse, ctypes, glob, json, os, re, statistics, sys, time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
KERNELS = {"forward": "gpt_forward_blocks_attentionnorm", "backward": "gpt_backward_blocks_mlpnorm", "cast-up": "gpt_setup_blocks_up", "cast-down": "gpt_setup_blocks_down",
           "loss": "gpt_forward_head_cross_entropy"}
SIZES = [(16384, 2048), (8192, 4096), (32768, 768), (4096, 12288)]
SPEED = [(k, t, w, 256) for k in ("backward", "forward") for t, w in SIZES] + [(k, 16, w, 256) for k in ("cast-up", "cast-down") for _, w in SIZES] + [("loss", 4096, 768, 50304), ("loss", 4096, 768, 32000)]
# Rows that fill no slab, no tile; columns that fill no pack of 8, 4 or 2, no warp, no block; more packs than lanes.
CHECK = [(k, t, w, v) for k in KERNELS for t, w, v in [(37, 190, 1003), (48, 1000, 1000), (2048, 768, 8192), (16, 36, 36), (1000, 3072, 6000), (528, 2056, 50304), (80, 4104, 151936), (64, 12288, 300), (33, 16384, 257)]
         if not (k.startswith("cast") and w > 5000)]

options = argparse.ArgumentParser()
options.add_argument("sources", nargs="+"); options.add_argument("--check", action="store_true"); options.add_argument("--speed", action="store_true"); options.add_argument("--compile", action="store_true")
options.add_argument("--cases", default=""); options.add_argument("--seconds", type=float, default=1e9, help="starts no timing after so many")
options = options.parse_args()
begun = time.time()
places = glob.glob("/usr/local/cuda*/lib64/libnvrtc.so.1[23]") + glob.glob("/usr/local/cuda*/targets/*/lib/libnvrtc.so.1[23]")
nvrtc = ctypes.CDLL(os.environ.get("NVRTC") or places[0])
say = lambda **k: print(json.dumps(k), flush=True)


class Source:
    def __init__(self, text):
        self.name, rest = text.split("=", 1); parts = rest.split(",")
        self.kernels = parts[0] if os.path.exists(os.path.join(parts[0], KERNELS["forward"] + ".cu")) else glob.glob(parts[0] + "/*/")[0]
        library = parts[1] if len(parts) > 1 and parts[1] else os.path.join(HERE, "../src/Fp8Lm.Runtime/DeviceLibrary")
        self.macros = parts[2:]; self.headers = []
        for folder, _, files in os.walk(library):
            for file in files:
                if file.endswith(".cuh"):
                    path = os.path.join(folder, file); self.headers.append((("fp8lm/" + os.path.relpath(path, library)).encode(), open(path, "rb").read()))


def chunk_rows(tokens, vocabulary):
    """common/chunk_rows.cuh"""
    if tokens * vocabulary <= 1 << 28 or tokens % 16: return tokens
    rows = tokens & -tokens
    while rows > 16 and rows * vocabulary > 1 << 28: rows //= 2
    return rows


class Compiled:
    """A kernel at given dimensions: machine code, what ptxas says, arguments as (type, name), extents."""
    def __init__(self, source, kind, tokens, width, vocabulary):
        self.kernel = KERNELS[kind]; text = open(f"{source.kernels}/{self.kernel}.cu").read()
        dims = dict(MicroBatch=1, Sequence=tokens, Width=width, Vocab=vocabulary, Heads=1, Layers=1, Context=tokens)
        names, bodies = zip(*source.headers); strings = ctypes.c_char_p * len(names); program = ctypes.c_void_p()
        assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"k.cu", len(names), strings(*bodies), strings(*names)) == 0
        flags = ["--gpu-architecture=sm_90a", "--std=c++17", "-Xptxas=-v", "-default-device"] + [f"-DD_{a}={b}" for a, b in dims.items()] + [f"-D{m}" for m in source.macros]
        start = time.time(); failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*[f.encode() for f in flags])); size = ctypes.c_size_t()
        self.seconds = time.time() - start
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)); log = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetProgramLog(program, log); self.log = log.value.decode()
        if failed: raise RuntimeError(f"{source.name} {kind} {dims}: {self.log}")
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)); cubin = ctypes.create_string_buffer(size.value); nvrtc.nvrtcGetCUBIN(program, cubin); self.cubin = cubin.raw
        numbers = re.findall(r"Used (\d+) registers", self.log), re.findall(r"(\d+) bytes spill stores", self.log), re.findall(r"(\d+) bytes smem", self.log)
        self.registers, self.spills, self.static = [max(map(int, n), default=0) for n in numbers]
        self.parameters = [re.fullmatch(r"(?:const )?(\w+)\* (\w+)", p.strip()).groups() for p in re.search(self.kernel + r"\(([^)]*)\)", text).group(1).split(",")]
        extents = dims | dict(ChunkRows=chunk_rows(tokens, vocabulary))
        self.rows, self.columns = [eval(re.search(rf"constexpr long long {n} = (.*);", text).group(1), {}, extents) for n in ("kRows", "kColumns")]


sources = [Source(s) for s in options.sources]
words = [w for w in options.cases.split(",") if w]
chosen = lambda cases: [c for c in cases if not words or any(w in c[0] or w == str(c[2]) for w in words)]
if options.compile:
    with ThreadPoolExecutor(2) as pool:
        for case, source, done in [(c, s, pool.submit(Compiled, s, *c)) for c in chosen(SPEED if not options.check else CHECK) for s in sources]:
            k = done.result(); warnings = [l for l in k.log.split("\n") if "warning" in l or "C75" in l]
            say(what="compile", source=source.name, kind=case[0], rows=k.rows, columns=k.columns, registers=k.registers, spills=k.spills, static=k.static, seconds=round(k.seconds, 2), **(dict(warnings=warnings) if warnings else {}))
    sys.exit()

import torch
cuda = ctypes.CDLL("libcuda.so.1"); dev = "cuda"; torch.manual_seed(0); torch.zeros(1, device=dev)
FP8 = dict(e4m3=(torch.float8_e4m3fn, 448.0, 3), e5m2=(torch.float8_e5m2, 57344.0, 2))


def ok(result):
    if result: raise RuntimeError(f"CUDA error {result}")


class Kernel:
    def __init__(self, compiled):
        self.compiled = compiled; module, pointer, size, self.function = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_size_t(), ctypes.c_void_p()
        ok(cuda.cuModuleLoadData(ctypes.byref(module), compiled.cubin)); ok(cuda.cuModuleGetFunction(ctypes.byref(self.function), module, compiled.kernel.encode()))
        ok(cuda.cuModuleGetGlobal_v2(ctypes.byref(pointer), ctypes.byref(size), module, b"fp8lm_launch"))
        traits = (ctypes.c_uint32 * 5)(); ok(cuda.cuMemcpyDtoH_v2(traits, pointer, 20)); self.threads, self.shared, self.tile_m, self.tile_n = traits[:4]
        if self.shared: ok(cuda.cuFuncSetAttribute(self.function, 8, ctypes.c_int(self.shared)))
        # As Cuda/LaunchGrid.cs has it.
        self.grid = -(-compiled.rows // self.tile_m), 1 if self.tile_n == 0 else -(-compiled.columns // self.tile_n)
        blocks = ctypes.c_int(); ok(cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(ctypes.byref(blocks), self.function, self.threads, ctypes.c_size_t(self.shared))); self.blocks = blocks.value

    def bind(self, buffers):
        values = [ctypes.c_uint64(b.data_ptr()) for b in buffers]
        return values, (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])

    def launch(self, bound):
        ok(cuda.cuLaunchKernel(self.function, self.grid[0], self.grid[1], 1, self.threads, 1, 1, self.shared, ctypes.c_void_p(torch.cuda.current_stream().cuda_stream), bound[1], None))


def buffers(k, kind):
    """Arguments by type and name; outputs are filled with what no kernel writes."""
    r, c = k.rows, k.columns; x = []; stats = {}
    for type, name in k.parameters:
        if kind == "loss":
            x.append({"tokens": lambda: (torch.randn(r, c, device=dev) * 3).bfloat16(), "labels": lambda: torch.randint(-1, c, (r,), device=dev, dtype=torch.int32), "label_weights": lambda: torch.full((r,), 1.0 / r, device=dev),
                      "state": lambda: torch.full((32,), 2.0, device=dev)}.get(name, lambda: torch.full((r,), -7.0, device=dev))()); continue
        if type == "bf16": x.append(((torch.randn(r, c, device=dev) + 0.25) * (torch.rand(r, 1, device=dev) + 0.5)).bfloat16())
        elif type in FP8: x.append(torch.full((r, c) if "transposed" not in name else (c, r), 0x7F, device=dev, dtype=torch.uint8))
        elif type == "unsigned": x.append(torch.zeros(1, device=dev, dtype=torch.int32))
        elif "scale" in name: x.append(torch.full((1,), 24.0 if kind != "backward" else 4096.0, device=dev))
        elif "rowsum" in name: x.append(torch.full((r,), -7.0, device=dev))
        elif "sums" in name: x.append(torch.full((-(-r // 16), c), -7.0, device=dev))
        elif kind.startswith("cast"): x.append(torch.randn(r, c, device=dev) * 0.02)
        else: x.append(torch.rand(c, device=dev) + 0.5)
    if kind == "backward":    # statistics of the row that was normalised
        n = [p[1] for p in k.parameters]; row = x[n.index("add")].double()
        x[n.index("mlpNorm_rowsum")].copy_(row.sum(1)); x[n.index("mlpNorm_rowsum_2")].copy_((row - row.mean(1, keepdim=True)).square().sum(1))
    return x


def must_move(k, kind):
    r, c = k.rows, k.columns
    return r * c * {"forward": 4, "backward": 10, "cast-up": 6, "cast-down": 6, "loss": 4}[kind] + (12 * c * -(-r // 16) if kind == "backward" else 0)


def check(kernel, kind):
    """Problems, as texts."""
    k = kernel.compiled; x = buffers(k, kind); names = [p[1] for p in k.parameters]; types = [p[0] for p in k.parameters]; before = [t.clone() for t in x]
    kernel.launch(kernel.bind(x)); torch.cuda.synchronize(); got = dict(zip(names, x)); was = dict(zip(names, before)); wrong = []

    def near(what, value, want, bound, floor=0.0):
        error = ((value.double() - want).abs() / (want.abs() + floor)).max().item()
        if not error <= bound: wrong.append(f"{what} is off by {error:.2e}, {bound:.0e} allowed")

    def fp8(value, exact):
        i, j = next(i for i, t in enumerate(types) if t in FP8), next(i for i, n in enumerate(names) if "transposed" in n); dtype, largest, bits = FP8[types[i]]
        scale = next(t for n, t in got.items() if "scale" in n).item(); want = (value * scale).clamp(-largest, largest); bytes_ = x[i]
        if not torch.equal(x[j], bytes_.t()): wrong.append(f"{(x[j] != bytes_.t()).sum().item()} bytes of the transposed copy differ from the row-major one")
        if exact:
            if not torch.equal(bytes_, want.float().to(dtype).view(torch.uint8)): wrong.append("bytes differ")
        else:
            code = bytes_.view(dtype).double(); step = torch.exp2(torch.floor(torch.log2(want.abs().clamp(min=2.0 ** (-6 if bits == 3 else -14)))) - bits)
            # Half a step, and what single precision leaves of a value that is a difference of others.
            near("FP8", ((code - want).abs() - step / 2).clamp(min=0) / scale, torch.zeros_like(want), 1e-5, 1.0)
        near("amax", next(t for t, y in zip(x, types) if y == "unsigned").view(torch.float32), value.abs().max(), 1e-5)
    if kind == "forward":
        row = got["carried"].double(); mean = row.mean(1, keepdim=True); squares = (row - mean).square().sum(1, keepdim=True)
        near("sum", got["attentionNorm_rowsum"], row.sum(1), 1e-5, 1.0); near("squares", got["attentionNorm_rowsum_2"], squares[:, 0], 1e-5)
        fp8((row - mean) * torch.rsqrt(squares / k.columns + 1e-5) * got["gain"] + got["bias"], False)
    elif kind == "backward":
        row, d, gain = got["add"].double(), got["d_up"].double(), got["gain"].double(); mean = row.mean(1, keepdim=True)
        inverse = torch.rsqrt((row - mean).square().mean(1, keepdim=True) + 1e-5); hat = (row - mean) * inverse; dg = d * gain
        out = was["carried_2"].double() + (dg - dg.mean(1, keepdim=True) - hat * (dg * hat).mean(1, keepdim=True)) * inverse
        near("bf16", got["d_mlpNorm"], out, 2 ** -8, 1e-2); fp8(out, False)
        for name, value in [("d_mlpNorm_sums", d), ("d_mlpNorm_sums_2", d * hat), ("d_project_sums", out)]:
            padded = torch.zeros(-(-k.rows // 16) * 16, k.columns, device=dev, dtype=torch.float64); padded[:k.rows] = value
            near(name, got[name], padded.view(-1, 16, k.columns).sum(1), 1e-5, 16.0)
    elif kind == "loss":
        logits, labels = was["tokens"].double(), got["labels"].long(); weight = torch.where(labels < 0, 0, got["label_weights"].double()); log = torch.log_softmax(logits, 1)
        near("loss", got["row_loss"], torch.where(labels < 0, 0, -log.gather(1, labels.clamp(min=0)[:, None])[:, 0]) * weight, 1e-4, 1e-6); near("weight", got["row_weight"], weight, 0, 1.0)
        gradient = log.exp(); gradient[torch.arange(k.rows, device=dev), labels.clamp(min=0)] -= 1; near("gradient", got["tokens"], gradient * weight[:, None] * 2, 2 ** -7, 1e-9)
    else: fp8(got[names[0]].double(), True)
    return wrong


def replayed(run):
    """A graph of some launches: what the host needs for one does not count."""
    graph = torch.cuda.CUDAGraph(); run(); torch.cuda.synchronize()
    with torch.cuda.graph(graph): run()
    return graph


def timed(graph, times):
    a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    a.record(); graph.replay(); b.record(); b.synchronize(); return a.elapsed_time(b) * 1e3 / times


with ThreadPoolExecutor() as pool:
    say(what="device", gpu=torch.cuda.get_device_name(), torch=torch.__version__, nvrtc=nvrtc._name, date=time.strftime("%Y-%m-%d"))
    failures = 0
    if not options.speed:
        for case, source, done in [(c, s, pool.submit(Compiled, s, *c)) for c in chosen(CHECK) for s in sources]:
            try: wrong = check(Kernel(done.result()), case[0])
            except RuntimeError as error: wrong = [str(error)[:300]]
            failures += len(wrong) > 0
            if wrong: say(what="check", source=source.name, case=case, wrong=wrong)
        say(what="check", cases=len(chosen(CHECK)) * len(sources), failed=failures, seconds=round(time.time() - begun))
    if not options.check:
        work = [(c, [(s, pool.submit(Compiled, s, *c)) for s in sources]) for c in chosen(SPEED)]
        def copies(bytes_, sets):
            a = torch.empty(sets, bytes_ // 2, dtype=torch.uint8, device=dev).random_(); b = torch.empty_like(a)
            graph = replayed(lambda: [y.copy_(x) for x, y in zip(a, b)])
            return round(bytes_ / statistics.median(timed(graph, sets) for _ in range(9)) / 1e3)
        copy = copies(2 << 30, 2); say(what="copy", gb_s=copy)
        for case, compiled in work:
            if time.time() - begun > options.seconds: say(what="skipped", case=case); continue
            for s, c in compiled:
                if c.exception(): say(what="failed", source=s.name, case=case, error=str(c.exception())[:200])
            kernels = [(s, Kernel(c.result())) for s, c in compiled if not c.exception()]; k = kernels[0][1].compiled; moved = must_move(k, case[0]); sets = max(2, min(8, (400 << 20) // moved))
            data = [buffers(k, case[0]) for _ in range(sets)]; bound = [[q.bind(d) for d in data] for _, q in kernels]; times = [[] for _ in kernels]; graphs = []
            for i, (s, q) in enumerate(kernels):
                try: graphs.append(replayed(lambda: [q.launch(y) for y in bound[i]]))
                except RuntimeError as error: graphs.append(None); say(what="failed", source=s.name, case=case, error=str(error)[:200])
            for turn in range(9):
                for i, graph in enumerate(graphs): times[i].append(timed(graph, sets) if graph else float("inf"))
            say(what="copy", case=case, gb_s=copies(moved, sets))
            for i, (s, q) in enumerate(kernels):
                us = statistics.median(times[i]); c = q.compiled
                say(what="row", source=s.name, kind=case[0], rows=k.rows, columns=k.columns, us=round(us, 1), gb_s=round(moved / us / 1e3), of_copy=round(moved / us / 1e3 / copy, 3), registers=c.registers, spills=c.spills,
                    threads=q.threads, shared=q.shared, tile=[q.tile_m, q.tile_n], grid=q.grid, blocks=q.blocks)
            del data, bound; torch.cuda.empty_cache()
sys.exit(failures != 0)
