using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Emit.CSharp;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Passes;
using Fp8Lm.Generators.Passes.Autodiff;
using Fp8Lm.Generators.Passes.Fusion;
using Fp8Lm.Generators.Passes.Memory;
using Fp8Lm.Generators.Passes.Precision;

namespace Fp8Lm.Generators;

/// <summary>One emitted file.</summary>
public sealed record GeneratedSource(string Name, string Text);

/// <summary>Sources, or the errors of the user's model that kept them from being made.</summary>
public sealed record CompileResult(EquatableArray<GeneratedSource> Sources, EquatableArray<CompileError> Errors);

/// <summary>The compiler: a pure function from a model to sources.</summary>
internal static class ModelCompiler
{
    public static CompileResult Compile(ModelSpec spec) => Compile(spec, verify: false);

    public static CompileResult Compile(ModelSpec spec, bool verify)
    {
        List<CompileError> errors = [];
        List<CompiledProgram> programs = [];
        foreach (RecipeSpec recipe in spec.Recipes)
        {
            if (CompileRecipe(spec, recipe, errors, verify) is { } program)
            {
                programs.Add(program);
            }

            if (errors.Count > 0)
            {
                return new CompileResult(EquatableArray<GeneratedSource>.Empty, errors.Distinct().ToEquatable());
            }
        }

        string prefix = string.Join(".", new[] { spec.Type.Namespace }.Where(n => n.Length > 0).Concat([spec.Name]));
        List<GeneratedSource> sources = [new(prefix + ".g.cs", ModelEmitter.Emit(spec, VocabularyParameter(spec)))];
        foreach (CompiledProgram program in programs)
        {
            string name = prefix + "." + LoweringContext.Clean(program.Recipe.Name);
            sources.Add(new GeneratedSource(name + ".g.cs", ProgramEmitter.Emit(program)));
            sources.Add(new GeneratedSource(name + ".Kernels.g.cs", KernelSourceEmitter.Cuda(program)));
            sources.Add(new GeneratedSource(name + ".Cpu.g.cs", KernelSourceEmitter.Cpu(program)));
            sources.Add(new GeneratedSource(name + ".Ir.g.cs", KernelSourceEmitter.Ir(program)));
        }

        return new CompileResult(sources.ToEquatable(), EquatableArray<CompileError>.Empty);
    }

    /// <summary>The pass list.</summary>
    internal static CompiledProgram? CompileRecipe(ModelSpec spec, RecipeSpec recipe, List<CompileError> errors, bool verify)
    {
        List<(string Pass, string Text)> printed = [];
        Graph? graph = GraphConstruction.Run(spec, errors);
        if (graph is null)
        {
            return null;
        }

        SizeCheck.Run(graph, recipe, errors);
        if (errors.Count > 0)
        {
            return null;
        }

        void Done(string pass)
        {
            if (verify)
            {
                Guard(pass, () => GraphVerifier.Verify(graph, pass));
            }

            printed.Add((pass, GraphPrinter.Print(graph)));
        }

        Step("GraphConstruction", () => { });
        Step("ReverseModeAutodiff", () => ReverseModeAutodiff.Run(graph));
        Step("CompositeExpansion", () => CompositeExpansion.Run(graph));          // after autodiff: composites have shorter gradients than their parts
        Step("Canonicalization", () => Canonicalization.Run(graph));              // after expansion: flattens what composites left on heads
        Step("DeadCodeElimination", () => DeadCodeElimination.Run(graph));        // gradients nobody asked for must not be cast
        Step("PrecisionAssignment", () => PrecisionAssignment.Run(graph, recipe));
        Step("CastPlacement", () => CastPlacement.Run(graph));                    // needs all casts; before fusion, which only looks at neighbours
        Step("ViewCopies", () => ViewCopies.Run(graph));                          // casts have been distributed over concatenations by now
        Step("CarryCopies", () => CarryCopies.Run(graph));                        // last: every pass above may change what is carried
        Step("InputRecomputation", () => InputRecomputation.Run(graph, recipe));  // casts and copies stand; it adds casts, which no pass below moves
        Step("SavedFactors", () => Passes.SavedFactors.Run(graph, recipe));       // casts and copies stand: only what a kernel would compute is looked at
        Step("DeadCodeElimination2", () => DeadCodeElimination.Run(graph));

        // From here on texts name nodes by their place in the program.
        int number = 0;
        foreach (Node node in graph.Nodes)
        {
            node.Id = number++;
        }

        FusionPlan fusion = Guard("FusionGrouping", () => FusionGrouping.Run(graph));
        printed.Add(("FusionGrouping", GraphPrinter.Print(graph, fusion)));
        BufferPlan buffers = Guard("StorageAssignment", () => StorageAssignment.Run(graph, fusion, recipe));
        printed.Add(("StorageAssignment", GraphPrinter.Print(buffers)));
        LoweringContext context = new(graph, fusion, buffers, recipe);
        List<KernelProgram> kernels = Guard("KernelLowering", () => KernelLowering.Run(context, spec.Name));
        return new CompiledProgram(recipe, graph, fusion, buffers, context, kernels, printed);

        void Step(string pass, Action run)
        {
            Guard(pass, run);
            Done(pass);
        }
    }

    private static void Guard(string pass, Action run) => Guard(pass, () =>
    {
        run();
        return true;
    });

    /// <summary>A bug in a pass carries the pass's name.</summary>
    private static T Guard<T>(string pass, Func<T> run)
    {
        try
        {
            return run();
        }
        catch (Exception exception) when (exception is not CompilerBugException)
        {
            throw new CompilerBugException(pass, exception);
        }
    }

    /// <summary>The table that token ids index.</summary>
    private static int VocabularyParameter(ModelSpec spec) =>
        spec.Forward.OfType<OpSpec>().Where(o => o.Op == "embed").Select(o => o.Operands[0].Index).DefaultIfEmpty(0).First();
}

/// <summary>An error in the compiler itself, not in the user's model.</summary>
public sealed class CompilerBugException(string pass, Exception inner) : Exception($"{pass}: {inner.Message}", inner)
{
    public string Pass { get; } = pass;
}
