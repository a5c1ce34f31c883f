using System.Collections.Generic;
using System.Threading;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>What all parts of the front end share while one model is read: the compilation, the sites given out, and the errors found.</summary>
internal sealed class ReadContext(Compilation compilation, KnownTypes types, CancellationToken cancellation)
{
    private readonly Dictionary<SyntaxTree, SemanticModel> models = [];
    private readonly HashSet<CompileError> seen = [];
    private readonly List<CompileError> errors = [];

    public Compilation Compilation { get; } = compilation;

    public KnownTypes Types { get; } = types;

    public CancellationToken Cancellation { get; } = cancellation;

    public SiteMap Sites { get; } = new();

    /// <summary>In the order found; an error in code that is inlined twice is there once.</summary>
    public IReadOnlyList<CompileError> Errors => errors;

    /// <summary>Whether C# itself reports an error where the model was read: there is no model then, and nothing for us to add.</summary>
    public bool Broken { get; set; }

    /// <summary>Whether something was found that leaves no model (a warning does).</summary>
    public bool Failed { get; private set; }

    public int Site(Location location) => Sites.Add(location);

    public void Report(DiagnosticDescriptor descriptor, Location location, params string[] arguments)
    {
        CompileError error = new(descriptor.Id, Site(location), arguments);
        if (seen.Add(error))
        {
            errors.Add(error);
        }

        Failed |= descriptor.DefaultSeverity == DiagnosticSeverity.Error;
    }

    public IOperation? OperationOf(SyntaxNode node)
    {
        Cancellation.ThrowIfCancellationRequested();
        if (!Compilation.ContainsSyntaxTree(node.SyntaxTree))
        {
            return null;
        }

        if (!models.TryGetValue(node.SyntaxTree, out SemanticModel? model))
        {
            models.Add(node.SyntaxTree, model = Compilation.GetSemanticModel(node.SyntaxTree));
        }

        return model.GetOperation(node, Cancellation);
    }
}
