using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>The struct that turns accumulators into what the graph stores; its contract stands in <c>fp8lm/epilogue/fragment.cuh</c>.</summary>
internal static class CudaEpilogue
{
    /// <summary>What it is made of: every argument but the operands.</summary>
    public static IEnumerable<KernelParam> Fields(KernelProgram program) => program.Params.Where(p => !p.Operand);

    public static void Render(SourceWriter w, KernelProgram program, KernelBody body, string name)
    {
        EpilogueText text = new(program, body);
        w.Line($"struct {name}").Open();
        text.Constants(w);
        text.Begin(w);
        text.Load(w);
        text.Apply(w);
        text.Destinations(w);
        text.Finish(w);
        w.Close(";").Line();
    }

    /// <summary>One body with the names of its parts.</summary>
    private sealed class EpilogueText
    {
        private readonly KernelProgram program;
        private readonly KernelBody body;
        private readonly DimExpr columns;
        private readonly List<SumOutput> sums;
        private readonly List<KernelParam> amaxes;
        private readonly List<QuantizeOutput> casts;
        private readonly List<QuantizeOutput> transposed;
        private readonly List<StoreOutput> accumulated;
        private readonly List<(Output Output, string Array)> arrays;
        private readonly List<LoadStatement> early;
        private readonly List<LoadStatement> late;

        public EpilogueText(KernelProgram program, KernelBody body)
        {
            this.program = program;
            this.body = body;
            columns = program.Gemm?.N ?? program.Space.Columns;
            sums = [.. body.Sums];
            amaxes = [.. body.Amaxes];
            casts = [.. body.Final.Outputs.OfType<QuantizeOutput>()];
            transposed = [.. casts.Where(c => c.Transposed is not null)];
            accumulated = [.. body.Final.Outputs.OfType<StoreOutput>().Where(s => s.Accumulate)];
            arrays = [.. body.Final.Outputs.Where(o => o is StoreOutput or QuantizeOutput).Select((o, i) => (o, "out" + Text(i)))];
            // What does not depend on the row is read once for all rows of a step. Both are read a step ahead.
            List<LoadStatement> adjacent = [.. body.Final.Columns.OfType<LoadStatement>().Where(Adjacent)];
            early = [.. adjacent.Where(DependsOnRow)];
            late = [.. adjacent.Where(l => !DependsOnRow(l))];
        }

        public void Constants(SourceWriter w)
        {
            w.Line($"static constexpr int kSums = {Text(sums.Count)};").Line($"static constexpr int kTransposed = {Text(transposed.Count)};")
                .Line($"static constexpr bool kWholeTurned = {WholeColumns(transposed)};")
                .Line($"static constexpr bool kComputes = {(body.Final.Columns.OfType<OpStatement>().Any() ? "true" : "false")};");
            foreach (KernelParam param in Fields(program))
            {
                w.Line(param.Counts ? CudaText.Counted(CudaText.Declaration(param) + ";") : CudaText.Declaration(param) + ";");
            }

            if (program.Alphas.Count > 0)
            {
                w.Line("float alpha = 1.0f;");
            }

            for (int i = 0; i < casts.Count; i++)
            {
                w.Line($"float scale{Text(i)} = 1.0f;");
            }

            for (int i = 0; i < amaxes.Count; i++)
            {
                w.Line($"unsigned amax{Text(i)} = 0;");
            }

            for (int i = 0; i < casts.Count; i++)
            {
                w.Line(CudaText.Counted($"CastCounter<{CudaText.Type(casts[i].Format)}> counter{Text(i)};"));
            }

            w.Line();
        }

        public void Begin(SourceWriter w)
        {
            w.Open("__device__ void begin()");
            if (program.Alphas.Count > 0)
            {
                w.Line($"alpha = {string.Join(" * ", program.Alphas.Select(p => "*" + p.Name))};");
            }

            for (int i = 0; i < casts.Count; i++)
            {
                w.Line($"scale{Text(i)} = *{casts[i].Scale.Name};");
            }

            w.Close().Line();
        }

        public void Load(SourceWriter w)
        {
            LoadColumns(w);
            List<(string Name, KernelParam Param, Access Access, KernelParam? Ids, KernelParam? When)> inputs =
            [
                .. early.Select(l => (l.Result, l.Param, l.Access, l.Ids, l.When)),
                .. accumulated.Select((s, i) => (Old(i), s.Param, s.Access, (KernelParam?)null, s.When)),
            ];
            if (inputs.Count == 0)
            {
                w.Line("struct Inputs {};").Line().Line("__device__ Inputs read(int, int) const { return {}; }").Line();
                w.Line("__device__ void prefetch(int, int, int) const {}").Line();
                return;
            }

            w.Line($"struct Inputs {{ {string.Join(" ", inputs.Select(i => $"Octet<{CudaText.Type(i.Param)}> {i.Name};"))} }};").Line();
            w.Open("__device__ Inputs read(int row_index, int col) const").Line("const long long row = row_index;").Line(Count()).Line("Inputs in;");
            foreach ((string name, KernelParam param, Access access, KernelParam? ids, KernelParam? when) in inputs)
            {
                string load = LoadOctet(param, access, ids);
                w.Line(when is null ? $"in.{name} = {load};" : $"in.{name} = {when.Name} ? {load} : Octet<{CudaText.Type(param)}>{{}};");
            }

            w.Line("return in;").Close().Line();
            w.Open("__device__ void prefetch(int row_index, int col, int columns) const").Line("const long long row = row_index;");
            foreach ((_, KernelParam param, Access access, KernelParam? ids, KernelParam? when) in inputs)
            {
                w.Line($"{(when is null ? "" : $"if ({when.Name}) ")}prefetch_octets<{Whole(access)}>({param.Name} + {CudaText.Index(access, program, ids, "col")}, columns);");
            }

            w.Close().Line();
        }

        private void LoadColumns(SourceWriter w)
        {
            if (late.Count == 0)
            {
                w.Line("struct Columns {};").Line().Line("__device__ Columns read_columns(int) const { return {}; }").Line();
                return;
            }

            w.Line($"struct Columns {{ {string.Join(" ", late.Select(l => $"Octet<{CudaText.Type(l.Param)}> {l.Result};"))} }};").Line();
            w.Open("__device__ Columns read_columns(int col) const").Line(Count()).Line("Columns columns;");
            foreach (LoadStatement load in late)
            {
                w.Line($"columns.{load.Result} = {LoadOctet(load.Param, load.Access, load.Ids)};");
            }

            w.Line("return columns;").Close().Line();
        }

        public void Apply(SourceWriter w)
        {
            string inputs = early.Count + accumulated.Count > 0 ? " in" : "";
            string columnInputs = late.Count > 0 ? " columns" : "";
            string sumType = $"float (&{(sums.Count > 0 ? "sums" : "")})[{Text(Math.Max(1, 8 * sums.Count))}]";
            string turnedType = $"uint2 (&{(transposed.Count > 0 ? "turned" : "")})[{Text(Math.Max(1, transposed.Count))}]";
            w.Line($"__device__ void apply(int row_index, int col, const float (&accs)[8], const Columns&{columnInputs}, const Inputs&{inputs}, {sumType}, {turnedType})").Open();
            w.Line("const long long row = row_index;").Line(Count());
            foreach (Statement statement in body.Final.Row)
            {
                w.Line(CudaText.Statement(statement, program));
            }

            foreach (LoadStatement load in early)
            {
                Unpack(w, load.Result, $"in.{load.Result}");
            }

            for (int i = 0; i < accumulated.Count; i++)
            {
                Unpack(w, Old(i), $"in.{Old(i)}");
            }

            foreach (LoadStatement load in late)
            {
                Unpack(w, load.Result, $"columns.{load.Result}");
            }

            foreach ((_, string array) in arrays)
            {
                w.Line($"float {array}[8];");
            }

            w.Line("#pragma unroll").Open("for (int e = 0; e < 8; ++e)").Open("if (e < count)");
            Elements(w);
            w.Close().Close();
            foreach ((Output output, string array) in arrays)
            {
                Store(w, output, array);
            }

            w.Close().Line();
        }

        /// <summary>Whether every column of the transposed copies begins at a multiple of sixteen bytes; buffers themselves do.</summary>
        private static string WholeColumns(IEnumerable<QuantizeOutput> copies)
        {
            List<string> extents = [.. copies.SelectMany(c => new[] { c.TransposedPitch!, c.TransposedOffset! }).Where(d => !d.Equals(DimExpr.Zero)).Select(d => d.PrintFactor(CudaText.Symbol)).Distinct()];
            return extents.Count == 0 ? "true" : string.Join(" && ", extents.Select(e => $"{e} % 16 == 0"));
        }

        /// <summary>Where what crosses rows goes.</summary>
        public void Destinations(SourceWriter w)
        {
            string copies = Choose("copy", transposed.Select(c => $"reinterpret_cast<u8*>({c.Transposed!.Name}){Plus(c.TransposedOffset!)} + (long long)col * {c.TransposedPitch!.PrintFactor(CudaText.Symbol)}"));
            string partials = Choose("sum", sums.Select(s => $"{s.Partial.Name}{Plus(s.Offset)} + (long long)slab * {s.Pitch.PrintFactor(CudaText.Symbol)}"));
            w.Line(transposed.Count == 0 ? "__device__ u8* transposed(int, int) const { return nullptr; }"
                : $"__device__ u8* transposed(int{(transposed.Count > 1 ? " copy" : "")}, int col) const {{ return {copies}; }}").Line();
            w.Line(sums.Count == 0 ? "__device__ float* sum_row(int, int) const { return nullptr; }"
                : $"__device__ float* sum_row(int{(sums.Count > 1 ? " sum" : "")}, int slab) const {{ return {partials}; }}").Line();
        }

        public void Finish(SourceWriter w)
        {
            w.Open("__device__ void finish()");
            for (int i = 0; i < amaxes.Count; i++)
            {
                w.Line($"atomic_amax({amaxes[i].Name}, amax{Text(i)});");
            }

            if (casts.Count > 0)
            {
                w.Line(CudaText.Counted("flush();"));
            }

            w.Close();
            if (program.Counts)
            {
                string flushes = string.Concat(casts.Select((c, i) => $"counter{Text(i)}.flush({c.Statistics!.Name}, scale{Text(i)}); "));
                w.Line().Line(CudaText.Counted($"__device__ void flush() {{ {flushes}}}"));
            }
        }

        /// <summary>The statements of one element, its outputs into arrays.</summary>
        private void Elements(SourceWriter w)
        {
            w.Line($"const float acc = accs[e]{(program.Alphas.Count > 0 ? " * alpha" : "")};");
            if (body.Final.Columns.Any(c => c is SpecialStatement || (c is LoadStatement l && !Adjacent(l))))
            {
                w.Line("const long long c = col + e;");
            }

            foreach (Statement statement in body.Final.Columns)
            {
                w.Line(statement is LoadStatement load && Adjacent(load) ? $"const float {load.Result} = {load.Result}_octet[e];" : CudaText.Statement(statement, program));
            }

            foreach ((Output output, string array) in arrays)
            {
                string old = output is StoreOutput { Accumulate: true } store ? $"{Old(accumulated.IndexOf(store))}_octet[e] + " : "";
                w.Line($"{array}[e] = {old}{output.Operand};");
            }

            for (int i = 0; i < sums.Count; i++)
            {
                w.Line($"sums[{Text(8 * i)} + e] += {sums[i].Operand};");
            }

            foreach (Output output in body.Final.Outputs)
            {
                KernelParam? amax = output is QuantizeOutput { CurrentScale: false } q ? q.Amax : output is AmaxOutput a ? a.Amax : null;
                if (amax is not null)
                {
                    string running = "amax" + Text(amaxes.IndexOf(amax));
                    w.Line($"{running} = amax_bits({running}, {output.Operand});");
                }
            }

            for (int i = 0; i < casts.Count; i++)
            {
                w.Line(CudaText.Counted($"counter{Text(i)}.add({casts[i].Operand}, scale{Text(i)});"));
            }
        }

        private void Store(SourceWriter w, Output output, string array)
        {
            if (output is StoreOutput store)
            {
                w.Line($"{StoreOctet(store.Param, store.Access)}, pack<{CudaText.Type(store.Param)}>({array}), count);");
                return;
            }

            QuantizeOutput cast = (QuantizeOutput)output;
            string bytes = "cast" + Text(casts.IndexOf(cast));
            KernelParam typed = cast.Row ?? cast.Transposed!;
            w.Line($"const Octet<{CudaText.Type(typed.Type)}> {bytes} = pack<{CudaText.Type(typed.Type)}>({array}, scale{Text(casts.IndexOf(cast))});");
            if (cast.Row is not null)
            {
                w.Line($"{StoreOctet(cast.Row, cast.RowAccess!)}, {bytes}, count);");
            }

            if (cast.Transposed is not null)
            {
                w.Line($"turned[{Text(transposed.IndexOf(cast))}] = make_uint2({bytes}.words[0], {bytes}.words[1]);");
            }
        }

        private string Count() => $"const int count = octet_count<{CudaText.Print(columns)}>(col);";

        private string LoadOctet(KernelParam param, Access access, KernelParam? ids) =>
            $"load_octet<{Whole(access)}>({param.Name} + {CudaText.Index(access, program, ids, "col")}, count)";

        private string StoreOctet(KernelParam param, Access access) =>
            $"store_octet<{Whole(access)}>({param.Name} + {CudaText.Index(access, program, null, "col")}";

        /// <summary>Whether octets of this access are whole vectors: for the compiler of the kernel, which knows the extents.</summary>
        private string Whole(Access access)
        {
            IEnumerable<DimExpr> strides = new[] { access.Base == AccessBase.None ? DimExpr.Zero : access.Pitch, access.OuterPitch, access.Offset };
            IEnumerable<string> extents = new[] { columns }.Concat(strides.Where(d => !d.Equals(DimExpr.Zero))).Select(d => CudaText.Print(d)).Distinct();
            return $"whole_octets({string.Join(", ", extents)})";
        }

        private static void Unpack(SourceWriter w, string name, string octet) => w.Line($"float {name}_octet[8];").Line($"unpack({octet}, {name}_octet);");

        private static string Choose(string index, IEnumerable<string> pointers)
        {
            List<string> list = [.. pointers];
            return string.Concat(list.Take(list.Count - 1).Select((p, i) => $"{index} == {Text(i)} ? {p} : ")) + list.LastOrDefault();
        }

        private static string Plus(DimExpr offset) => offset.Equals(DimExpr.Zero) ? "" : " + " + offset.PrintFactor(CudaText.Symbol);

        private static string Old(int index) => "old" + Text(index);

        private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

        private static bool Adjacent(LoadStatement load) => load.Access.Column && load.Access.Period is null && load.Swap is null;

        private static bool DependsOnRow(LoadStatement load) => load.Access.Base != AccessBase.None || !load.Access.OuterPitch.Equals(DimExpr.Zero);
    }
}
