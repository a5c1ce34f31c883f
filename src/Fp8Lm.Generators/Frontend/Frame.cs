using System.Collections.Generic;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The locals and parameters of one call that is being inlined; a local function or lambda also sees those of the method around it.</summary>
internal sealed class Frame(ModuleValue? self, Frame? lexical)
{
    private readonly Dictionary<ISymbol, Binding> bindings = new(SymbolEqualityComparer.Default);

    /// <summary>What <c>this</c> is.</summary>
    public ModuleValue? Self { get; } = self;

    /// <summary>What the call returned, once it did.</summary>
    public Value? Result { get; set; }

    /// <summary>The binding of a local or parameter; null when there is none.</summary>
    public Binding? Find(ISymbol symbol) => bindings.TryGetValue(symbol, out Binding? binding) ? binding : lexical?.Find(symbol);

    /// <param name="symbol">A local or parameter of this call.</param>
    /// <param name="value">What it holds; null before its first assignment.</param>
    /// <param name="inLoop">Whether it is declared inside the loop over the layers, so that it lives within one layer.</param>
    public void Declare(ISymbol symbol, Value? value, bool inLoop) => bindings[symbol] = new Binding(value, inLoop);

    internal sealed class Binding(Value? value, bool inLoop)
    {
        public Value? Value { get; set; } = value;

        public bool InLoop { get; } = inLoop;
    }
}
