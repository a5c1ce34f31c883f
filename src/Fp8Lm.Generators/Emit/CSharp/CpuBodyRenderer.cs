using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>
/// Sweeps of kernel programs as C# on <c>Vector256&lt;float&gt;</c>. A sweep prints its body twice: whole vectors, then the tail with
/// partial loads and stores, so that no lane past the row is read, written or counted.
/// </summary>
internal sealed class CpuBodyRenderer(SourceWriter w, KernelProgram program)
{
    private readonly HashSet<string> rowFloats = new(StringComparer.Ordinal);
    private readonly HashSet<string> rowMasks = new(StringComparer.Ordinal);

    public static string Vector(string name) => name + "v";

    /// <summary>Statements before the loops: scales and running maxima.</summary>
    public void Begin(KernelBody body)
    {
        int i = 0;
        for (int a = 0; a < body.Amaxes.Count(); a++)
        {
            w.Line($"Vector256<uint> amax{CpuText.N(a)} = Vector256<uint>.Zero;");
        }

        i = 0;
        foreach (QuantizeOutput cast in body.Final.Outputs.OfType<QuantizeOutput>())
        {
            string number = CpuText.N(i++);
            if (cast.CurrentScale)
            {
                string kept = cast.KeepsScale ? $", *{cast.Scale.Name}" : "";
                w.Line($"float scale{number} = global::Fp8Lm.Cpu.Scaling.{(cast.KeepsScale ? "State" : "Current")}(*{cast.Amax!.Name}, {(cast.Format == Format.E4M3 ? "448f" : "57344f")}{kept});");
            }
            else
            {
                w.Line($"float scale{number} = *{cast.Scale.Name};");
            }

            w.Line($"Vector256<float> scale{number}v = Vector256.Create(scale{number});").Line($"CastCounter counter{number} = default;");
        }
    }

    public void End(KernelBody body)
    {
        int i = 0;
        HashSet<KernelParam> current = [.. body.Final.Outputs.OfType<QuantizeOutput>().Where(q => q.CurrentScale).Select(q => q.Amax!)];
        foreach (KernelParam amax in body.Amaxes)
        {
            if (!current.Contains(amax))
            {
                w.Line($"Simd.MergeAmax({amax.Name}, amax{CpuText.N(i)});");
            }

            i++;
        }

        foreach ((QuantizeOutput cast, int number) in body.Final.Outputs.OfType<QuantizeOutput>().Select((c, n) => (c, n)))
        {
            w.Line($"if (TMode.Counts) counter{CpuText.N(number)}.Flush({cast.Statistics!.Name}, scale{CpuText.N(number)});");
        }
    }

    /// <summary>
    /// All sweeps for the row in <c>row</c>. <paramref name="columns"/> is the number of columns, <paramref name="first"/> the first one. Sweeps
    /// share names, so each has a scope; results of reductions are declared outside of it.
    /// </summary>
    public void Row(KernelBody body, string columns, string first, string? accumulator)
    {
        foreach (Stage stage in body.Stages)
        {
            bool last = stage == body.Final;
            if (!last)
            {
                foreach (Reduction reduction in stage.Reductions)
                {
                    w.Line($"Vector256<float> {reduction.Result}_lanes;");
                }
            }

            SweepScoped(body, stage, columns, first, accumulator);
        }
    }

    private void SweepScoped(KernelBody body, Stage stage, string columns, string first, string? accumulator)
    {
        foreach (Statement statement in stage.Row)
        {
            Row(statement);
        }

        foreach (RowOutput output in stage.Outputs.OfType<RowOutput>())
        {
            w.Line($"{output.Param.Name}[{CpuText.Base(output.Access, program, null)}] = {CpuText.Stored(output.Param, output.Operand)};");
        }

        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line($"{reduction.Result}_lanes = {(reduction.Max ? "Vector256.Create(float.NegativeInfinity)" : "Vector256<float>.Zero")};");
        }

        if (stage.Reductions.Count > 0 || stage.Outputs.Any(o => o is not RowOutput))
        {
            w.Open();
            Broadcasts(stage);
            Pointers(body, stage, first);
            w.Line("long j = 0;").Open($"for (; j + 8 <= {columns}; j += 8)");
            Columns(body, stage, first, accumulator, "");
            w.Close().Open($"if (j < {columns})").Line($"int n = (int)({columns} - j);");
            Columns(body, stage, first, accumulator, "Partial");
            w.Close().Close();
        }

        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line($"float {reduction.Result} = Simd.{(reduction.Max ? "HorizontalMax" : "HorizontalSum")}({reduction.Result}_lanes);");
            rowFloats.Add(reduction.Result);
        }
    }

    /// <summary>Row values that the sweep uses, as vectors.</summary>
    private void Broadcasts(Stage stage)
    {
        IEnumerable<string> used = stage.Columns.OfType<OpStatement>().SelectMany(s => s.Operands)
            .Concat(stage.Reductions.Select(r => r.Operand)).Concat(stage.Outputs.Where(o => o is not RowOutput).Select(o => o.Operand));
        foreach (string name in used.Distinct())
        {
            if (rowFloats.Contains(name))
            {
                w.Line($"Vector256<float> {Vector(name)} = Vector256.Create({name});");
            }
            else if (rowMasks.Contains(name))
            {
                w.Line($"Vector256<float> {Vector(name)} = Vector256.Create({name} ? -1 : 0).AsSingle();");
            }
        }
    }

    private string Use(string name) => rowFloats.Contains(name) || rowMasks.Contains(name) ? Vector(name) : name;

    /// <summary>Row pointers, so that the loop adds the column only.</summary>
    private void Pointers(KernelBody body, Stage stage, string first)
    {
        string Shift(string start) => first == "0" ? start : start == "0" ? first : $"{start} + {first}";
        foreach (LoadStatement load in stage.Columns.OfType<LoadStatement>())
        {
            string start = CpuText.Base(load.Access, program, load.Ids);
            w.Line($"{CpuText.Type(load.Param)} {load.Result}p = {load.Param.Name} + ({(load.Access is { Column: true, Period: null } && load.Swap is null ? Shift(start) : start)});");
        }

        if (stage != body.Final)
        {
            return;
        }

        int i = 0;
        foreach (Output output in stage.Outputs)
        {
            string name = "o" + CpuText.N(i++);
            switch (output)
            {
                case StoreOutput store:
                    w.Line($"{CpuText.Type(store.Param)} {name}p = {store.Param.Name} + ({Shift(CpuText.Base(store.Access, program, null))});");
                    break;
                case QuantizeOutput cast:
                    if (cast.Row is not null)
                    {
                        w.Line($"byte* {name}p = {cast.Row.Name} + ({Shift(CpuText.Base(cast.RowAccess!, program, null))});");
                    }

                    if (cast.Transposed is not null)
                    {
                        // Transposed copies keep the row-major order here: the CPU's GEMM reads any strides.
                        w.Line($"byte* {name}t = {cast.Transposed.Name} + ({Shift(CpuText.Base(cast.TransposedRowMajor!, program, null))});");
                    }

                    break;
                case SumOutput sum:
                    string offset = sum.Offset.Equals(DimExpr.Zero) ? "" : " + " + sum.Offset.PrintFactor(ReservedNames.Dimension);
                    w.Line($"float* {name}p = {sum.Partial.Name} + ({Shift($"row / 16 * {sum.Pitch.PrintFactor(ReservedNames.Dimension)}{offset}")});");
                    break;
            }
        }
    }

    private void Row(Statement statement)
    {
        switch (statement)
        {
            case LoadStatement load:
                string pointer = $"{load.Param.Name}[{CpuText.Base(load.Access, program, load.Ids)}]";
                w.Line($"float {load.Result} = {CpuText.Value(load.Param, pointer)};");
                break;
            case ConstantStatement constant:
                w.Line($"float {constant.Result} = {CpuText.Constant(constant.Data)};");
                break;
            case OpStatement op:
                bool mask = OpTable.IsMask(op.Node.Op);
                string text = OpTable.Text(mask ? OpTable.Of(op.Node.Op).Cuda : OpTable.Of(op.Node.Op).CSharp, op.Operands, CpuText.Number(op.Node.Data.Number));
                w.Line($"{(mask ? "bool" : "float")} {op.Result} = {text};");
                if (mask)
                {
                    rowMasks.Add(op.Result);
                    return;
                }

                break;
            case SpecialStatement special:
                w.Line($"float {special.Result} = {Scalar(special)};");
                break;
        }

        rowFloats.Add(statement.Result);
    }

    private string Scalar(SpecialStatement special) => special.Node.Op switch
    {
        OpCode.LossScale => "state->LossScale",
        OpCode.MasterInverse or OpCode.GradientInverse or OpCode.DynamicLossScale => "*" + special.Param!.Name,
        OpCode.LabelWeight => "labels[row] < 0 ? 0f : label_weights[row]",
        OpCode.Position => "(float)(row % Sequence)",
        OpCode.Uniform => $"Dropout.Factor(state, {CpuText.N(special.Node.Data.Index)}u, (uint)layer, (uint)row, {CpuText.Number(special.Node.Data.Number)})[0]",
        _ => throw new InvalidOperationException($"{special.Node.Op} per row"),
    };

    private void Columns(KernelBody body, Stage stage, string first, string? accumulator, string partial)
    {
        string n = partial.Length > 0 ? ", n" : "";
        string column = first == "0" ? "j" : $"({first} + j)";
        if (accumulator is not null)
        {
            w.Line($"Vector256<float> acc = {accumulator};");
        }

        foreach (Statement statement in stage.Columns)
        {
            w.Line($"Vector256<float> {statement.Result} = {Column(statement, column, partial, n)};");
        }

        foreach (Reduction reduction in stage.Reductions)
        {
            string operand = Use(reduction.Operand);
            string kept = partial.Length == 0 ? operand : $"Simd.Keep({operand}, n{(reduction.Max ? ", float.NegativeInfinity" : "")})";
            w.Line(reduction.Max ? $"{reduction.Result}_lanes = VectorMath.Max({reduction.Result}_lanes, {kept});" : $"{reduction.Result}_lanes += {kept};");
        }

        if (stage == body.Final)
        {
            Outputs(body, stage, partial, n);
        }
    }

    private string Column(Statement statement, string column, string partial, string n)
    {
        switch (statement)
        {
            case LoadStatement { Swap: not null } load:
                return $"PairLanes.Load{CpuText.Suffix(load.Param.Type)}({load.Result}p, {column}, {CpuText.Print(load.Swap.Rotated)}, {CpuText.Print(load.Swap.Size)}, {(load.Swap.Interleaved ? "true" : "false")}, {(partial.Length > 0 ? "n" : "8")})";
            case LoadStatement { Access.Period: DimExpr period } load:
                return $"PairLanes.LoadTiled{CpuText.Suffix(load.Param.Type)}({load.Result}p, {column}, {CpuText.Print(period)}, {(partial.Length > 0 ? "n" : "8")})";
            case LoadStatement { Access.Column: false } load:
                return $"Vector256.Create({CpuText.Value(load.Param, $"*{load.Result}p")})";
            case LoadStatement load:
                return When(load.When, $"Simd.Load{CpuText.Suffix(load.Param.Type)}{partial}({load.Result}p + j{n}{CpuText.Arguments(load.Param)})");
            case ConstantStatement constant:
                return $"Vector256.Create({CpuText.Constant(constant.Data)})";
            case OpStatement op:
                return OpTable.Text(OpTable.Of(op.Node.Op).CSharp, [.. op.Operands.Select(Use)], CpuText.Number(op.Node.Data.Number));
        }

        SpecialStatement special = (SpecialStatement)statement;
        return special.Node.Op switch
        {
            OpCode.Column => $"PairLanes.Columns({column})",
            OpCode.IsLabel => $"PairLanes.ColumnEquals({column}, labels[row])",
            OpCode.Uniform => $"Dropout.Factor(state, {CpuText.N(special.Node.Data.Index)}u, (uint)layer, (uint)((row * {program.Space.Columns.PrintFactor(ReservedNames.Dimension)}) + {column}), {CpuText.Number(special.Node.Data.Number)})",
            _ => $"Vector256.Create({Scalar(special)})",
        };
    }

    /// <summary>A load of what may not have been stored yet.</summary>
    private static string When(KernelParam? when, string load) => when is null ? load : $"({when.Name} != 0 ? {load} : Vector256<float>.Zero)";

    private void Outputs(KernelBody body, Stage stage, string partial, string n)
    {
        List<KernelParam> amaxes = [.. body.Amaxes];
        int i = 0, casts = 0;
        foreach (Output output in stage.Outputs)
        {
            string name = "o" + CpuText.N(i++);
            string operand = Use(output.Operand);
            switch (output)
            {
                case StoreOutput store:
                    string suffix = CpuText.Suffix(store.Param.Type);
                    string value = store.Accumulate ? $"{When(store.When, $"Simd.Load{suffix}{partial}({name}p + j{n})")} + {operand}" : operand;
                    w.Line($"Simd.Store{suffix}{partial}({name}p + j, {value}{n}{CpuText.Arguments(store.Param)});");
                    break;
                case QuantizeOutput cast:
                    string counter = "counter" + CpuText.N(casts);
                    string scale = "scale" + CpuText.N(casts++) + "v";
                    string format = CpuText.Suffix(cast.Format);
                    if (cast.Row is not null && cast.Transposed is not null && partial.Length == 0)
                    {
                        w.Line($"Simd.Store{format}({name}p + j, {name}t + j, {operand} * {scale});");
                    }
                    else
                    {
                        foreach (string target in new[] { cast.Row is null ? "" : "p", cast.Transposed is null ? "" : "t" }.Where(t => t.Length > 0))
                        {
                            w.Line($"Simd.Store{format}{partial}({name}{target} + j, {operand} * {scale}{n});");
                        }
                    }

                    w.Line($"if (TMode.Counts) {counter}.Add{format}{partial}({operand}, {scale}{n});");
                    if (!cast.CurrentScale && cast.Amax is not null)
                    {
                        Amax(amaxes.IndexOf(cast.Amax), operand, partial, n);
                    }

                    break;
                case AmaxOutput amax:
                    Amax(amaxes.IndexOf(amax.Amax), operand, partial, n);
                    break;
                case SumOutput:
                    w.Line($"Simd.Store{partial}({name}p + j, row % 16 == 0 ? {operand} : Simd.Load{partial}({name}p + j{n}) + {operand}{n});");
                    break;
            }
        }
    }

    private void Amax(int index, string operand, string partial, string n)
    {
        string name = "amax" + CpuText.N(index);
        w.Line($"{name} = Simd.AmaxBits{partial}({name}, {operand}{n});");
    }
}
