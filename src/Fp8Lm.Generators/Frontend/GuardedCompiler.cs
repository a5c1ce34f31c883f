using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>
/// Front end and compiler behind a guard: a bug of ours becomes one diagnostic that names the place, instead of a generator that the
/// compiler disables and a project full of follow-up errors.
/// </summary>
internal static class GuardedCompiler
{
    // Compilation is a pure function of the spec, so remembering results changes nothing but time. A few, since they hold whole programs.
    private const int RecentModels = 4;
    private static readonly Queue<(ModelSpec Spec, CompileResult Result)> recent = new();

    public static ReadResult Read(INamedTypeSymbol model, Compilation compilation, CancellationToken cancellation)
    {
        try
        {
            return ModelReader.Read(model, compilation, cancellation);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            return new ReadResult(null, [Bug(exception)], new SiteMap());
        }
    }

    /// <summary>The generator asks first and the analyzer a moment later, for the same model; the second gets the first's result.</summary>
    public static CompileResult Compile(ModelSpec spec)
    {
        lock (recent)
        {
            if (recent.FirstOrDefault(r => r.Spec.Equals(spec)) is { Result: { } known })
            {
                return known;
            }
        }

        CompileResult result = CompileAnew(spec);
        lock (recent)
        {
            if (recent.Count >= RecentModels)
            {
                recent.Dequeue();
            }

            recent.Enqueue((spec, result));
        }

        return result;
    }

    private static CompileResult CompileAnew(ModelSpec spec)
    {
        try
        {
            return ModelCompiler.Compile(spec);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            return new CompileResult(EquatableArray<GeneratedSource>.Empty, new EquatableArray<CompileError>([Bug(exception)]));
        }
    }

    /// <summary>The pass is the innermost type of ours on the stack; a pass may also say its name through the exception's data.</summary>
    private static CompileError Bug(Exception exception)
    {
        string? pass = exception.Data["Pass"] as string;
        if (pass is null)
        {
            IEnumerable<string> frames = (exception.StackTrace ?? "").Split('\n').Select(l => l.Trim()).Where(l => l.IndexOf("Fp8Lm.Generators.", StringComparison.Ordinal) >= 0);
            string frame = frames.FirstOrDefault() ?? "";
            int start = frame.IndexOf("Fp8Lm.Generators.", StringComparison.Ordinal), end = frame.IndexOf('(');
            pass = start >= 0 && end > start ? frame.Substring(start + "Fp8Lm.Generators.".Length, end - start - "Fp8Lm.Generators.".Length) : "the compiler";
        }

        string message = exception.Message.Split('\r', '\n')[0];
        return new CompileError(DiagnosticDescriptors.CompilerBug.Id, -1, pass, exception.GetType().Name + ": " + message);
    }
}
