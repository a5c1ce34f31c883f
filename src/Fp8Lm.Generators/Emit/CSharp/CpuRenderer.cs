using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>Kernel programs -> C#: a struct with the arguments and the body, and a static method of the runtime's kernel signature.</summary>
internal static class CpuRenderer
{
    public static string Render(KernelProgram program, IReadOnlyList<string> dims)
    {
        SourceWriter w = new();
        foreach (string line in program.Comment)
        {
            w.Line("//   " + line);
        }

        if (program.Cast is not null)
        {
            GroupedCast(w, program, program.Cast, dims);
            return w.ToString();
        }

        if (program.ColumnSums.Count > 0)
        {
            string calls = string.Join(" ", program.ColumnSums.Select((_, i) => $"CpuKernels.ColumnSumFinish(d, a{(i == 0 ? "" : " + " + ProgramText.N(4 * i))}, pool);"));
            w.Line($"private static void {program.Name}(DimBinding d, nint* a, CpuPool pool) {{ {calls} }}");
            return w.ToString();
        }

        if (program.Group.IsLibrary)
        {
            string method = program.Group.Anchor!.Op switch
            {
                OpCode.EmbedGradient => "EmbeddingGradient",
                _ => "PositionGradient",
            };
            // The element format of the second argument is not in the address.
            KernelParam value = program.Params.First(p => p.Name == "d_y");
            string format = value.Type == ElementType.F32 ? "F32" : CpuText.Suffix(value.Type);
            w.Line($"private static void {program.Name}(DimBinding d, nint* a, CpuPool pool) => CpuKernels.{method}{format}(d, a, pool);");
            return w.ToString();
        }

        if (program.Gemm is not null)
        {
            Gemm(w, program, dims);
        }
        else if (program.Attention is not null)
        {
            Attention(w, program, dims);
        }
        else
        {
            Row(w, program, dims);
        }

        return w.ToString();
    }

    private static IEnumerable<KernelParam> Fields(KernelProgram program) => program.Params.Where(p => !p.Operand);

    private static void Struct(SourceWriter w, KernelProgram program, string name, string contract)
    {
        w.Open($"private readonly struct {name}{Mode(program)}(DimBinding d, nint* a) : {contract}{Constraint(program)}");
        w.Line("private readonly DimBinding d = d;");
        int i = 0;
        foreach (KernelParam param in program.Params)
        {
            if (!param.Operand)
            {
                w.Line($"private readonly {CpuText.Type(param)} {param.Name} = ({CpuText.Type(param)})a[{CpuText.N(i)}];");
            }

            i++;
        }
    }

    private static string Mode(KernelProgram program) => program.Counts ? "<TMode>" : "";

    private static string Constraint(KernelProgram program) => program.Counts ? " where TMode : struct, ICastMode" : "";

    private static void Row(SourceWriter w, KernelProgram program, IReadOnlyList<string> dims)
    {
        string name = program.Name + "_body";
        Struct(w, program, name, "ITileKernel");
        SourceWriter inner = new();
        inner.Line($"long columns = {CpuText.Print(program.Space.Columns)};").Line($"long rows = {CpuText.Print(program.Rows)};");
        KernelBody body = program.Bodies[0];
        CpuBodyRenderer renderer = new(inner, program);
        renderer.Begin(body);
        foreach ((QuantizeOutput cast, int i) in body.Final.Outputs.OfType<QuantizeOutput>().Select((c, i) => (c, i)))
        {
            if (cast.CurrentScale)
            {
                inner.Open("if (tile == 0)").Line($"*{cast.Scale.Name} = scale{CpuText.N(i)};").Line($"*{cast.ScaleInverse!.Name} = 1f / scale{CpuText.N(i)};").Close();
            }
        }

        inner.Line("long end = Math.Min(rows, (tile + 1L) * 16);").Open("for (long row = tile * 16L; row < end; row++)");
        renderer.Row(body, "columns", "0", null);
        inner.Close();
        renderer.End(body);
        w.Line().Line("[MethodImpl(MethodImplOptions.AggressiveOptimization)]").Open("public void Run(int tile, int worker)");
        Locals(w, dims, inner.ToString());
        w.Lines(inner.ToString()).Close().Close().Line();

        SourceWriter run = new();
        run.Line($"{name}{Mode(program)} kernel = new(d, a);").Line($"pool.Run(ref kernel, (int)((({CpuText.Print(program.Rows)}) + 15) / 16));");
        Entry(w, program, dims, run.ToString());
    }

    private static void Gemm(SourceWriter w, KernelProgram program, IReadOnlyList<string> dims)
    {
        GemmProgram gemm = program.Gemm!;
        string name = program.Name + "_epilogue";
        Epilogue(w, program, program.Bodies[0], name, dims);
        SourceWriter run = new();
        run.Line($"{name}{Mode(program)} epilogue = new(d, a);");
        (string a, string b) = gemm.Scales is { PerBlock: true } scales ? BlockScales(scales, gemm) : ("", "");
        run.Line($"CpuGemm.Run(pool, {Operand(gemm.A, 0)}{a}, {Operand(gemm.B, 1)}{b}, {CpuText.Print(gemm.M)}, {CpuText.Print(gemm.N)}, {CpuText.Print(gemm.K)}, ref epilogue);");
        Entry(w, program, dims, run.ToString());
    }

    private static string Operand(GemmOperand operand, int index)
    {
        bool kMajor = operand.TransposedFrom is null ? operand.KMajor : !operand.KMajor;
        string pitch = CpuText.Print(operand.TransposedFrom ?? operand.Pitch);
        return $"new GemmOperand(a[{CpuText.N(index)}], ElementFormat.{operand.Format}, {(kMajor ? "true" : "false")}, {pitch})";
    }

    /// <summary>Scales per 128 of K: address, rows that share one, from one to the next along the rows, along K.</summary>
    private static (string A, string B) BlockScales(GroupScales scales, GemmProgram gemm)
    {
        static string With(string scales) => $" with {{ Scales = new BlockScales({scales}) }}";
        if (scales.Squares is not { } squares)
        {
            return (With($"a[2], 1, 1, {CpuText.Print(gemm.M)}"), With($"a[3], 1, 1, {CpuText.Print(gemm.N)}"));
        }

        string across = $"(({CpuText.Print(squares.Columns)}) + 127) / 128";
        return (With($"a[2], 1, 1, {CpuText.Print(gemm.M)}"), With(squares.Transposed ? $"a[3], 128, 1, {across}" : $"a[3], 128, {across}, 1"));
    }

    /// <summary>A cast with scales per row or block, or the amax before it.</summary>
    private static void GroupedCast(SourceWriter w, KernelProgram program, GroupedCastProgram cast, IReadOnlyList<string> dims)
    {
        string Argument(KernelParam? param) => param is null ? "0" : $"a[{CpuText.N(program.Params.IndexOf(param))}]";
        List<string> arguments = [.. cast.Arguments.Select(Argument)];
        string source = $"new GroupedSource({arguments[0]}, ElementFormat.{cast.Source}, {CpuText.Print(program.Rows)}, {CpuText.Print(program.Space.Columns)}, {CpuText.Print(cast.Pitch)}){(cast.Arguments[1] is null ? "" : $" {{ Factor = {arguments[1]} }}")}";
        string others = string.Join(", ", arguments.Skip(2).Concat(program.Params.Where(p => p.Counts).Select(Argument)));
        Entry(w, program, dims, cast.Format is { } format
            ? $"GroupedCasts.Cast(pool, {source}, ElementFormat.{format}, ScaleGroups.{cast.Granularity}, {(cast.PowerOfTwo ? "true" : "false")}, {others});"
            : $"GroupedCasts.Amax(pool, {source}, {others});");
    }

    private static void Attention(SourceWriter w, KernelProgram program, IReadOnlyList<string> dims)
    {
        AttentionProgram attention = program.Attention!;
        OpCode op = program.Group.Anchor!.Op;
        string method = op == OpCode.Attention ? "Forward" : op == OpCode.AttentionGradKeyValue ? "BackwardKeyValue" : "BackwardQuery";
        string[] names = op == OpCode.AttentionGradKeyValue ? [program.Name + "_key", program.Name + "_value"] : [program.Name + "_epilogue"];
        SourceWriter run = new();
        for (int i = 0; i < names.Length; i++)
        {
            Epilogue(w, program, program.Bodies[i], names[i], dims);
            run.Line($"{names[i]}{Mode(program)} epilogue{CpuText.N(i)} = new(d, a);");
        }

        string scale = attention.Scale != 0 ? CpuText.Number(attention.Scale) : $"1f / MathF.Sqrt({CpuText.Print(attention.HeadSize)})";
        string window = attention.Window is null ? "0" : CpuText.Print(attention.Window);
        string Operand(int index) => $"new(a[{CpuText.N(index)}], ElementFormat.{attention.Format}, {CpuText.Print(attention.Pitches[index])})";
        string gradient = op == OpCode.Attention ? "default" : Operand(3);
        run.Line($"AttentionArgs args = new({Operand(0)}, {Operand(1)}, {Operand(2)}, {gradient}, MicroBatch, Sequence, {CpuText.Print(attention.QueryHeads)}, {CpuText.Print(attention.KeyValueHeads)}, {CpuText.Print(attention.HeadSize)}, {scale}, {window});");
        string lse = op == OpCode.Attention ? "a[3]" : "a[4]";
        string statistics = op == OpCode.Attention ? $"(float*){lse}" : $"(float*){lse}, (float*)a[5]";
        run.Line($"CpuAttention.{method}(pool, args, {statistics}, {string.Join(", ", names.Select((_, i) => "ref epilogue" + CpuText.N(i)))});");
        Entry(w, program, dims, run.ToString());
    }

    private static void Epilogue(SourceWriter w, KernelProgram program, KernelBody body, string name, IReadOnlyList<string> dims)
    {
        Struct(w, program, name, "ITileEpilogue");
        SourceWriter inner = new();
        CpuBodyRenderer renderer = new(inner, program);
        bool scaled = program.Alphas.Count > 0;
        renderer.Begin(body);
        if (scaled)
        {
            inner.Line($"Vector256<float> alpha = Vector256.Create({string.Join(" * ", program.Alphas.Select(p => "*" + p.Name))});");
        }

        inner.Open("for (int i = 0; i < rows; i++)").Line("long row = firstRow + i;").Line("float* line = sums + ((long)i * ld);");
        renderer.Row(body, "columns", "firstColumn", scaled ? "Simd.Load(line + j) * alpha" : "Simd.Load(line + j)");
        inner.Close();
        renderer.End(body);
        w.Line().Line("[MethodImpl(MethodImplOptions.AggressiveOptimization)]").Open("public void Apply(int firstRow, int rows, int firstColumn, int columns, float* sums, int ld)");
        Locals(w, dims, inner.ToString());
        w.Lines(inner.ToString()).Close().Close().Line();
    }

    private static void Entry(SourceWriter w, KernelProgram program, IReadOnlyList<string> dims, string text)
    {
        if (program.Counts && program.Cast is null)
        {
            // Two forms of one text: where the argument is zero, casts are not counted.
            int statistics = program.Params.FindIndex(p => p.Counts);
            w.Open($"private static void {program.Name}(DimBinding d, nint* a, CpuPool pool)")
                .Line($"if (a[{CpuText.N(statistics)}] == 0) {program.Name}<CastsOnly>(d, a, pool); else {program.Name}<CountsCasts>(d, a, pool);").Close().Line();
            w.Open($"private static void {program.Name}<TMode>(DimBinding d, nint* a, CpuPool pool){Constraint(program)}");
        }
        else
        {
            w.Open($"private static void {program.Name}(DimBinding d, nint* a, CpuPool pool)");
        }

        Locals(w, dims, text);
        w.Lines(text).Close();
    }

    private static void Locals(SourceWriter w, IReadOnlyList<string> dims, string text)
    {
        foreach (string local in CpuText.Locals(dims, text))
        {
            w.Line(local);
        }
    }
}
