using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The dimensions that sizes bind, in the order in which they were met (the model's own come first).</summary>
internal sealed class DimTable(ReadContext context)
{
    // The compiler's own symbols; generated code spells all of them as macros and constants.
    private static readonly string[] Reserved = ["MicroBatch", "Sequence", "ChunkRows"];

    private readonly List<ISymbol> symbols = [];

    public IEnumerable<string> Names => symbols.Select(s => s.Name);

    /// <summary>The position of a dimension by name; -1 for others.</summary>
    public int IndexOf(string name) => symbols.FindIndex(s => s.Name == name);

    /// <summary>The extent that a declared dimension stands for.</summary>
    public Value Declare(ISymbol symbol, Location place)
    {
        if (!symbols.Contains(symbol, SymbolEqualityComparer.Default))
        {
            string? reason = Array.IndexOf(Reserved, symbol.Name) >= 0 ? "the name stands for what a run chooses"
                : IndexOf(symbol.Name) is >= 0 and var other ? "'" + symbols[other].ToDisplayString() + "' has the same name"
                : null;
            if (reason is not null)
            {
                context.Report(DiagnosticDescriptors.DimName, Places.Of(symbol, place), symbol.Name, reason);
                return ErrorValue.Instance;
            }

            symbols.Add(symbol);
        }

        return new DimValue(DimExpr.Symbol(symbol.Name));
    }
}
