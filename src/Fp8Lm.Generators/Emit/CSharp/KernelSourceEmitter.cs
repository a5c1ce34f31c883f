using System.Linq;
using Fp8Lm.Generators.Emit.Cuda;
using Fp8Lm.Generators.Kernels;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>
/// Model.Recipe.Kernels.g.cs and Model.Recipe.Cpu.g.cs: the two renderings of every kernel program, and the printed IR. Texts are UTF-8 data: an
/// assembly may hold no more than 16 MiB of string literals, which a few dozen programs would exceed (CS8103).
/// </summary>
internal static class KernelSourceEmitter
{
    private const string Decode = "global::System.Text.Encoding.UTF8.GetString(";

    public static string Cuda(CompiledProgram compiled)
    {
        SourceWriter w = new();
        ProgramText.Header(w);
        int depth = ProgramText.OpenType(w, compiled.Graph.Spec.Type);
        w.Open($"private sealed unsafe partial class {ModelEmitter.ProgramName(compiled.Recipe)}").Open("private static class Cuda");
        foreach (KernelProgram kernel in compiled.Kernels)
        {
            ProgramText.Raw(w, $"public static string {kernel.Name} => {Decode}", CudaRenderer.Render(kernel, [.. compiled.Graph.Spec.Dims], compiled.Graph.Logits.Type.Columns, compiled.Recipe.Name), "u8);");
            w.Line();
        }

        foreach (LibraryKernel kernel in LibraryKernels.Of(compiled.States))
        {
            ProgramText.Raw(w, $"public static string {kernel.Name} => {Decode}", kernel.Cuda(), "u8);");
            w.Line();
        }

        w.Close().Close();
        ProgramText.CloseType(w, depth);
        return w.ToString();
    }

    public static string Cpu(CompiledProgram compiled)
    {
        SourceWriter w = new();
        ProgramText.Header(w, "System", "System.Runtime.CompilerServices", "System.Runtime.Intrinsics", "Fp8Lm.Cpu", "Fp8Lm.Execution", "Fp8Lm.Numerics");
        int depth = ProgramText.OpenType(w, compiled.Graph.Spec.Type);
        w.Open($"private sealed unsafe partial class {ModelEmitter.ProgramName(compiled.Recipe)}");
        foreach (KernelProgram kernel in compiled.Kernels)
        {
            w.Lines(CSharp.CpuRenderer.Render(kernel, [.. compiled.Graph.Spec.Dims])).Line();
        }

        w.Close();
        ProgramText.CloseType(w, depth);
        return w.ToString();
    }

    public static string Ir(CompiledProgram compiled)
    {
        SourceWriter w = new();
        ProgramText.Header(w);
        int depth = ProgramText.OpenType(w, compiled.Graph.Spec.Type);
        w.Open($"private sealed unsafe partial class {ModelEmitter.ProgramName(compiled.Recipe)}");
        ProgramText.Raw(w, "public override string PrintedIr => " + Decode, string.Join("\n", compiled.Printed.Select(p => $"==== {p.Pass} ====\n{p.Text}")), "u8);");
        w.Close();
        ProgramText.CloseType(w, depth);
        return w.ToString();
    }
}
