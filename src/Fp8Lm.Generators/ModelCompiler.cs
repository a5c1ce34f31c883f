using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators;

/// <summary>A file for the user's compilation.</summary>
internal sealed record GeneratedSource(string Name, string Text);

/// <summary>What came of a model.</summary>
internal sealed record CompileResult(EquatableArray<GeneratedSource> Sources, EquatableArray<CompileError> Errors);

/// <summary>ModelSpec to sources.</summary>
internal static class ModelCompiler
{
    public static CompileResult Compile(ModelSpec spec)
    {
        _ = spec;
        return new CompileResult(EquatableArray<GeneratedSource>.Empty, EquatableArray<CompileError>.Empty);
    }
}
