using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Scales of a product per 128 of K.</summary>
/// <param name="Squares">B has one per 128 of its rows, otherwise one per row.</param>
/// <param name="Across">Elements from one square to the next along N.</param>
/// <param name="Along">The same along K.</param>
internal sealed record BlockScaling(bool Squares, int Across = 0, int Along = 0);

/// <summary>Kernels as the generator emits them, over the whole device library.</summary>
internal static class KernelTexts
{
    /// <summary>An epilogue with every kind of output: F32, FP8, FP8 transposed, amax and one column sum.</summary>
    private const string FullEpilogue = """
        struct Epilogue
        {
            static constexpr int kSums = 1;
            static constexpr int kTransposed = 1;
            static constexpr bool kWholeTurned = kRows % 16 == 0, kComputes = true;
            float* y;
            e4m3* q;
            e4m3* q_t;
            unsigned* amax_slot;
            float* sums_out;
            float scale;
            unsigned amax = 0;
            struct Inputs {};
            struct Columns {};
            __device__ void begin() {}
            __device__ Columns read_columns(int) const { return {}; }
            __device__ Inputs read(int, int) const { return {}; }
            __device__ void prefetch(int, int, int) const {}
            __device__ void apply(int row, int col, const float (&accs)[8], const Columns&, const Inputs&, float (&sums)[8], uint2 (&turned)[1])
            {
                const int count = octet_count<kColumns>(col);
                const long long at = (long long)row * kColumns + col;
                #pragma unroll
                for (int e = 0; e < 8; ++e)
                    if (e < count)
                    {
                        sums[e] += accs[e];
                        amax = amax_bits(amax, accs[e]);
                    }
                const Octet<e4m3> cast = pack<e4m3>(accs, scale);
                store_octet<whole_octets(kColumns)>(y + at, pack<float>(accs), count);
                store_octet<whole_octets(kColumns)>(q + at, cast, count);
                turned[0] = make_uint2(cast.words[0], cast.words[1]);
            }
            __device__ u8* transposed(int, int col) const { return reinterpret_cast<u8*>(q_t) + (long long)col * kRows; }
            __device__ float* sum_row(int, int slab) const { return sums_out + (long long)slab * kColumns; }
            __device__ void finish() { atomic_amax(amax_slot, amax); }
        };
        """;

    /// <summary>Stores the accumulator, or adds it to what stands there.</summary>
    private const string PlainEpilogue = """
        template <class T, int kPitch, bool kAdds = false> struct Plain
        {
            static constexpr int kSums = 0;
            static constexpr int kTransposed = 0;
            static constexpr bool kWholeTurned = true, kComputes = false;
            T* y;
            template <class Old, bool kReads> struct InputsOf {};
            template <class Old> struct InputsOf<Old, true> { Octet<Old> old; };
            using Inputs = InputsOf<T, kAdds>;
            struct Columns {};
            __device__ void begin() {}
            __device__ Columns read_columns(int) const { return {}; }
            __device__ Inputs read(int row, int col) const
            {
                if constexpr (kAdds)
                    return {load_octet<whole_octets(kPitch)>(y + (long long)row * kPitch + col, octet_count<kPitch>(col))};
                else
                    return {};
            }
            __device__ void prefetch(int row, int col, int columns) const
            {
                if constexpr (kAdds)
                    prefetch_octets<whole_octets(kPitch)>(y + (long long)row * kPitch + col, columns);
            }
            __device__ void apply(int row, int col, const float (&accs)[8], const Columns&, const Inputs& in, float (&)[1], uint2 (&)[1])
            {
                float values[8] = {};
                if constexpr (kAdds)
                    unpack(in.old, values);
                #pragma unroll
                for (int e = 0; e < 8; ++e)
                    values[e] += accs[e];
                store_octet<whole_octets(kPitch)>(y + (long long)row * kPitch + col, pack<T>(values), octet_count<kPitch>(col));
            }
            __device__ u8* transposed(int, int) const { return nullptr; }
            __device__ float* sum_row(int, int) const { return nullptr; }
            __device__ void finish() {}
        };
        """;

    public static string Gemm(
        ElementFormat a, ElementFormat b, bool aKMajor, bool bKMajor, bool promote, long m, long n, long k, long aPitch, long bPitch, bool full = true, bool adds = false,
        BlockScaling? scales = null)
    {
        string type = full ? "Epilogue" : adds ? $"Plain<float, {n}, true>" : $"Plain<bf16, {n}>";
        string fields = full ? "y, q, q_t, amax, sums, 0.25f" : adds ? "y" : "(bf16*)y";
        bool simt = a == ElementFormat.F32;
        string flags = $"{Flag(aKMajor)}, {Flag(bKMajor)}";
        string config = simt ? $"gemm::ConfigF32<{flags}>" : $"gemm::Config<{a.CudaName()}, {b.CudaName()}, {flags}, {Flag(promote)}, {m}, {n}, {k}, {type}{(scales is null ? "" : $", gemm::BlockScales::{(scales.Squares ? "Squares" : "Rows")}")}>";
        string operands = simt ? "const float* a, const float* b" : "const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b" + (scales is null ? "" : ", const float* a_scales, const float* b_scales");
        string bounds = simt ? "Config::kThreads" : "Config::kThreads, 1";
        string run = simt ? $"gemm::run_f32<Config>(a, {aPitch}, b, {bPitch}, {m}, {n}, {k}, e)"
            : scales is null ? "gemm::run<Config>(a, b, e)" : $"gemm::run<Config>(a, b, gemm::ScaleAddresses{{a_scales, b_scales, {scales.Across}, {scales.Along}}}, e)";
        return $$"""
            #include <fp8lm/gemm/gemm.cuh>
            using namespace fp8lm;
            constexpr int kRows = {{m}}, kColumns = {{n}};
            {{FullEpilogue}}
            {{PlainEpilogue}}
            using Config = {{config}};
            FP8LM_LAUNCH(Config);
            extern "C" __global__ void __launch_bounds__({{bounds}})
            test({{operands}}, float* y, e4m3* q, e4m3* q_t, unsigned* amax, float* sums)
            {
                {{type}} e{{{fields}}};
                {{run}};
            }
            """;
    }

    /// <summary>A cast with a scale per row or block, or (no format) the amax before it.</summary>
    public static string GroupedCast(ElementFormat source, long rows, long columns, long pitch, string format, string groups, bool powerOfTwo, bool factor = false)
    {
        string kernel = format.Length == 0 ? "cast::GroupAmax<Source>" : $"cast::GroupedCast<Source, {format}, cast::Groups::{groups}, {Flag(powerOfTwo)}>";
        string outputs = format.Length == 0 ? "float* row_amax, float* column_amax" : $"const float* row_amax, const float* column_amax, {format}* y, {format}* y_t, float* inverse, float* inverse_t";
        string arguments = format.Length == 0 ? "row_amax, column_amax" : "row_amax, column_amax, y, y_t, inverse, inverse_t";
        return $$"""
            #include <fp8lm/cast/grouped.cuh>
            using namespace fp8lm;
            using Source = cast::Source<{{source.CudaName()}}, {{rows}}, {{columns}}, {{pitch}}, whole_octets({{columns}}, {{pitch}})>;
            using Kernel = {{kernel}};
            FP8LM_LAUNCH(Kernel);
            extern "C" __global__ void __launch_bounds__(Kernel::kThreads) test(const {{source.CudaName()}}* x, {{(factor ? "const float* factor, " : "")}}{{outputs}}) { Kernel::run(x, {{(factor ? "factor" : "nullptr")}}, {{arguments}}); }
            """;
    }

    /// <summary>Counts the casts of n numbers, warp by warp and block by block.</summary>
    public static string CastCounter(ElementFormat format, long count) => $$"""
        #define FP8LM_NUMERICS 1
        #include <fp8lm/row/row.cuh>
        using namespace fp8lm;
        extern "C" __global__ void __launch_bounds__(512) test(const float* x, const float* scale, CastStatistics* by_warp, CastStatistics* by_block)
        {
            CastCounter<{{format.CudaName()}}> warp, block;
            for (long long i = (long long)blockIdx.x * 512 + threadIdx.x; i < {{count}}; i += (long long)gridDim.x * 512)
            {
                warp.add(x[i], *scale);
                block.add(x[i], *scale);
            }
            warp.flush(by_warp, *scale);
            block.flush_block<512>(by_block, *scale);
        }
        """;

    public static string AttentionForward(AttentionCase c)
        => Attention(c, "Forward", "float* lse, float* y, e4m3* q8, e4m3* q_t, unsigned* amax, float* sums", c.Sums
            ? $"Epilogue e{{y, q8, q_t, amax, sums, 0.25f}}; Kernel::run({Operands(c)}, lse, {c.ScaleText}, e);"
            : $"Plain<float, kColumns> e{{y}}; Kernel::run({Operands(c)}, lse, {c.ScaleText}, e);");

    public static string AttentionBackwardKeyValue(AttentionCase c)
        => Attention(c, "BackwardKeyValue", $"const {c.Format.CudaName()}* d_o, const float* lse, const float* delta, float* dk, float* dv",
            $"Plain<float, {c.KvHeads * c.HeadSize}> e{{dk}}, f{{dv}}; Kernel::run({Operands(c)}, d_o, {c.Heads * c.HeadSize}, lse, delta, {c.ScaleText}, e, f);");

    public static string AttentionBackwardQuery(AttentionCase c)
        => Attention(c, "BackwardQuery", $"const {c.Format.CudaName()}* d_o, const float* lse, const float* delta, float* dq",
            $"Plain<float, kColumns> e{{dq}}; Kernel::run({Operands(c)}, d_o, {c.Heads * c.HeadSize}, lse, delta, {c.ScaleText}, e);");

    /// <summary>Wraps a library kernel: <c>test(parameters) { type::run(arguments); }</c>.</summary>
    public static string Library(string header, string type, string parameters, string arguments) => $$"""
        #include <fp8lm/{{header}}>
        using namespace fp8lm;
        FP8LM_LAUNCH({{type}});
        extern "C" __global__ void __launch_bounds__({{type}}::kThreads, {{type}}::kLeastBlocks) test({{parameters}}) { {{type}}::run({{arguments}}); }
        """;

    public const string EmbeddingParameters = "const int* tokens, const bf16* d_y, float* grad, long long count, long long vocab, long long columns";

    public static string EmbeddingGradient { get; } = Library(
        "embed/embedding_gradient.cuh", "embed::EmbeddingGradient", EmbeddingParameters, "tokens, d_y, grad, count, vocab, columns");

    public static string PositionGradient { get; } = Library(
        "embed/position_gradient.cuh", "embed::PositionGradient",
        "const bf16* d_y, float* grad, long long batch, long long sequence, long long columns", "d_y, grad, batch, sequence, columns");

    public static string ColumnSumFinish { get; } = Library(
        "reduce/column_sum.cuh", "reduce::ColumnSumFinish", "const float* partial, long long slabs, long long cols, float* grad",
        "partial, slabs, cols, grad");

    public static string LossSum { get; } = Library(
        "loss/loss_sum.cuh", "loss::LossSum", "const float* row_loss, const float* row_weight, long long count, StepState* state",
        "row_loss, row_weight, count, state");

    public static string GradientNorm { get; } = Library(
        "optim/gradient_norm.cuh", "optim::GradientNorm", "const float* grad, long long count, StepState* state, void* scratch",
        "grad, count, state, scratch");

    public static string GradientNormOfScaledLoss { get; } = Library(
        "optim/gradient_norm.cuh", "optim::GradientNorm",
        "const float* grad, long long count, StepState* state, void* scratch, optim::LossScaleState* loss_scale, long long growth_interval",
        "grad, count, state, scratch, loss_scale, growth_interval");

    public static string AdamW { get; } = Library(
        "optim/adamw.cuh", "optim::AdamW",
        "float* master, const float* grad, float* m, float* v, long long count, long long decay, StepState* state",
        "master, grad, m, v, count, decay, state");

    /// <summary>A pass of the optimizer whose states have formats of their own; the one that stores also in its counting form.</summary>
    public static string ScaledAdam(string formats, bool store, bool counts = false) => Adam(
        formats, store ? "Store" : "Amax", store ? "const float* scale, const float* inverse, const unsigned* amax, " : "const float* inverse, unsigned* amax, ", store ? "scale, inverse, amax, " : "inverse, amax, ", counts);

    /// <summary>The optimizer over a table whose states have no scales.</summary>
    public static string SegmentedAdam(string formats, bool counts = false) => Adam(formats, "Update", "", "", counts);

    private static string Adam(string formats, string pass, string parameters, string arguments, bool counts)
    {
        bool groups = formats.Contains("Grouped", StringComparison.Ordinal);
        return (counts ? "#define FP8LM_NUMERICS 1\n" : "") + Library(
            "optim/segmented_adamw.cuh", $"optim::SegmentedAdamW<{formats}>::{pass}",
            $"void* master, const void* grad, void* m, void* v, const optim::Segment* segments, long long count, long long tiles, {(groups ? "float* m_groups, float* v_groups, " : "")}{parameters}const StepState* state{(counts ? ", CastStatistics* casts" : "")}",
            $"master, grad, m, v, segments, count, tiles, {(groups ? "m_groups, v_groups, " : "")}{arguments}state{(counts ? ", casts" : "")}");
    }

    /// <summary>Stores groups of 128 numbers in FP8 with scales and exponents, and reads them back: a warp for each.</summary>
    public static string MomentGroups(string format) => $$"""
        #include <fp8lm/optim/moment_group.cuh>
        #include <fp8lm/row/row.cuh>
        using namespace fp8lm;
        extern "C" __global__ void __launch_bounds__(row::kThreads)
        test(const float* x, float* groups, {{format}}* bytes, float* back)
        {
            constexpr int kWidth = optim::kMomentWidth;
            const int i = (blockIdx.x * row::kThreads + threadIdx.x) * kWidth;
            optim::MomentGroup* group = reinterpret_cast<optim::MomentGroup*>(groups) + i / optim::kMomentGroup;
            packs::Floats<kWidth> values = packs::load<kWidth>(x + i);
            const optim::MomentGroup found = optim::MomentCode<{{format}}>::compress(values, *group);
            if (i % optim::kMomentGroup == 0)
                *group = found;
            const packs::Pack<{{format}}, kWidth> stored = packs::narrow<{{format}}>(values);
            packs::put<kWidth>(bytes + i, stored);
            values = packs::widen(stored);
            optim::MomentCode<{{format}}>::expand(values, found);
            packs::store<kWidth>(back + i, values);
        }
        """;

    /// <summary>The norm of gradients in a format without scale.</summary>
    public static string SegmentedGradientNorm(string format) => Library(
        "optim/gradient_norm.cuh", $"optim::SegmentedGradientNorm<{format}>",
        "const void* grad, const optim::Segment* segments, long long count, long long tiles, StepState* state, void* scratch", "grad, segments, count, tiles, state, scratch");

    public static string ScaledGradientNorm(string format) => Library(
        "optim/gradient_norm.cuh", $"optim::SegmentedGradientNorm<{format}>",
        "const void* grad, const optim::Segment* segments, long long count, long long tiles, const float* inverse, const unsigned* amax, StepState* state, void* scratch",
        "grad, segments, count, tiles, inverse, amax, state, scratch");

    public static string AmaxCheck { get; } = Library(
        "optim/amax_check.cuh", "optim::AmaxCheck", "unsigned* amax, long long slots, long long clears, StepState* state", "amax, slots, clears, state");

    public static string ScaleUpdate { get; } = Library(
        "optim/scale_update.cuh", "optim::ScaleUpdate",
        "float* scale, float* scale_inverse, unsigned* amax, float* history, const float* maximum, long long slots, long long history_length, "
        + "long long power_of_two, long long margin, StepState* state",
        "scale, scale_inverse, amax, history, maximum, slots, history_length, power_of_two, margin, state");

    public static string GradientScales { get; } = Library(
        "optim/scale_update.cuh", "optim::GradientScales",
        "float* scale, float* inverse, const unsigned* amax, float* history, long long count, long long length, long long maximum, StepState* state",
        "scale, inverse, amax, history, count, length, maximum, state");

    /// <summary>A row kernel with a row reduction, an FP8 copy in both layouts, amax and column sums.</summary>
    public static string Row(long rows, long columns) => $$"""
        #include <fp8lm/row/row.cuh>
        using namespace fp8lm;
        constexpr long long kRows = {{rows}}, kColumns = {{columns}};
        constexpr int kWidth = row::pack_width(kColumns);
        using Rows = row::Slabs<kRows, kColumns, kWidth, 2, 1, 2, 2>;
        FP8LM_LAUNCH(Rows);
        extern "C" __global__ void __cluster_dims__(1, Rows::kCluster, 1) __launch_bounds__(Rows::kThreads, Rows::kResident)
        test(const bf16* x, float* norms, float* largest, e4m3* y, e4m3* y_t, unsigned* y_amax, float* partial)
        {
            const Rows::Position at;
            using Turned = row::Turn<Rows, e4m3, 0>;
            using Ahead = row::Ahead<Rows, bf16, kWidth, 0>;
            const auto ask = [&](int batch)
            {
                for (int i = 0; i < row::kBatch && batch < Rows::kBatches; ++i)
                    for (int pack = 0; pack < Rows::kPacks; ++pack)
                        if (const int c0 = at.column(pack); at.inside(c0))
                            Ahead::ask(batch, i, pack, x + at.row(batch, i) * kColumns + c0);
                ptx::cp_async_commit();
            };
            for (int batch = 0; batch < Rows::kStages; ++batch)
                ask(batch);
            Rows::begin();
            unsigned amax = 0;
            row::Floats<kWidth> totals[Rows::kPacks] = {};
            #pragma unroll 1
            for (int batch = 0; batch < Rows::kBatches; ++batch)
            {
                Rows::wait();
                float reduced[2][row::kBatch];
                #pragma unroll
                for (int i = 0; i < row::kBatch; ++i)
                {
                    reduced[0][i] = 0.0f;
                    reduced[1][i] = __int_as_float(0xff800000);
                    #pragma unroll
                    for (int pack = 0; pack < Rows::kPacks; ++pack)
                        if (const int c0 = at.column(pack); at.inside(c0))
                        {
                            const auto v = Ahead::get(batch, i, pack, x + at.row(batch, i) * kColumns + c0);
                            for (int e = 0; e < kWidth; ++e)
                            {
                                reduced[0][i] += v[e] * v[e];
                                reduced[1][i] = max_(reduced[1][i], v[e]);
                            }
                        }
                }
                Rows::reduce<2u>(reduced, batch % 2);
                row::Pack<e4m3, kWidth> turned[Rows::kPacks][row::kBatch] = {};
                #pragma unroll
                for (int i = 0; i < row::kBatch; ++i)
                {
                    const i64 row = at.row(batch, i);
                    if (at.leads && at.active(batch, i))
                    {
                        store(norms + row, reduced[0][i]);
                        store(largest + row, reduced[1][i]);
                    }
                    #pragma unroll
                    for (int pack = 0; pack < Rows::kPacks; ++pack)
                        if (const int c0 = at.column(pack); at.active(batch, i) && at.inside(c0))
                        {
                            const auto v = Ahead::get(batch, i, pack, x + row * kColumns + c0);
                            row::Floats<kWidth> cast;
                            for (int e = 0; e < kWidth; ++e)
                            {
                                amax = amax_bits(amax, v[e]);
                                cast[e] = v[e] * 16.0f;
                                totals[pack][e] += v[e];
                            }
                            turned[pack][i] = row::narrow<e4m3>(cast);
                            row::put<kWidth>(y + row * kColumns + c0, turned[pack][i]);
                        }
                }
                #pragma unroll
                for (int pack = 0; pack < Rows::kPacks; ++pack)
                    if (const int c0 = at.column(pack); at.inside(c0))
                    {
                        Turned::put(at.quad(batch), c0 - at.first, turned[pack]);
                        if (at.ends_slab(batch))
                        {
                            row::store_sums<true>(partial + at.slab(batch) * kColumns + c0, totals[pack]);
                            totals[pack] = {};
                        }
                    }
                ask(batch + Rows::kStages);
            }
            __syncthreads();
            Turned::flush(y_t, kRows, kRows, kColumns, at.first);
            row::block_amax(y_amax, amax);
        }
        """;

    private static string Attention(AttentionCase c, string kernel, string parameters, string body)
    {
        string type = c.Format.CudaName();
        return $$"""
            #include <fp8lm/attention/attention.cuh>
            using namespace fp8lm;
            constexpr int kRows = {{c.Batch * c.Sequence}}, kColumns = {{c.Heads * c.HeadSize}};
            {{FullEpilogue}}
            {{PlainEpilogue}}
            using Shape = attention::Shape<{{type}}, {{c.HeadSize}}, {{c.Heads}}, {{c.KvHeads}}, {{c.Batch}}, {{c.Sequence}}, {{c.Window}}>;
            using Kernel = attention::{{kernel}}<Shape>;
            static_assert(Kernel::kSharedBytes <= 232448, "a block of sm_90 has 227 KiB");
            FP8LM_LAUNCH(Kernel);
            extern "C" __global__ void __launch_bounds__(Kernel::kThreads, 1)
            test(const {{type}}* q, const {{type}}* k, const {{type}}* v, {{parameters}})
            {
                {{body}}
            }
            """;
    }

    private static string Operands(AttentionCase c) => $"q, {c.Heads * c.HeadSize}, k, {c.KvHeads * c.HeadSize}, v, {c.KvHeads * c.HeadSize}";

    private static string Flag(bool value) => value ? "true" : "false";
}
