using System;
using System.Collections.Generic;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Passes;
using Fp8Lm.Generators.Passes.Autodiff;
using Fp8Lm.Generators.Passes.Precision;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>The graph passes one at a time, so that the reference can run between them. A test compares the texts with those of ModelCompiler.</summary>
internal static class CompilerPasses
{
    private static readonly (string Name, Action<Graph, RecipeSpec> Run)[] List =
    [
        ("ReverseModeAutodiff", (g, _) => ReverseModeAutodiff.Run(g)),
        ("CompositeExpansion", (g, _) => CompositeExpansion.Run(g)),
        ("Canonicalization", (g, _) => Canonicalization.Run(g)),
        ("DeadCodeElimination", (g, _) => DeadCodeElimination.Run(g)),
        ("PrecisionAssignment", PrecisionAssignment.Run),
        ("CastPlacement", (g, _) => CastPlacement.Run(g)),
        ("ViewCopies", (g, _) => ViewCopies.Run(g)),
        ("CarryCopies", (g, _) => CarryCopies.Run(g)),
        ("InputRecomputation", InputRecomputation.Run),
        ("SavedFactors", Generators.Passes.SavedFactors.Run),
        ("DeadCodeElimination2", (g, _) => DeadCodeElimination.Run(g)),
    ];

    /// <summary>The forward graph.</summary>
    public static Graph Construct(ModelSpec spec)
    {
        List<CompileError> errors = [];
        return GraphConstruction.Run(spec, errors) ?? throw new InvalidOperationException(string.Join("; ", errors));
    }

    /// <summary>The graph after construction and after every pass; it is one object that changes.</summary>
    public static IEnumerable<(string Pass, Graph Graph)> Run(ModelSpec spec, RecipeSpec recipe)
    {
        Graph graph = Construct(spec);
        yield return ("GraphConstruction", graph);
        foreach ((string name, Action<Graph, RecipeSpec> run) in List)
        {
            run(graph, recipe);
            GraphVerifier.Verify(graph, name);
            yield return (name, graph);
        }
    }
}
