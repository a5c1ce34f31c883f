using System;
using System.Collections;
using System.Collections.Generic;

namespace Fp8Lm;

/// <summary>
/// A stack of modules of one architecture, each with its own weights. <c>foreach</c> over it is the loop over the layers; it is compiled once,
/// whatever their number.
/// </summary>
/// <typeparam name="T">A class with <see cref="Fp8ModuleAttribute"/>.</typeparam>
/// <example>
/// <code>
/// readonly Repeat&lt;Block&gt; blocks = new(Layers, () =&gt; new Block(Width, Heads));
/// ...
/// foreach (Block block in blocks) x = block.Forward(x);
/// </code>
/// </example>
/// <remarks>Layers that alternate between two architectures are a repeated module that holds one of each.</remarks>
public sealed class Repeat<T> : IEnumerable<T>
    where T : class
{
    /// <summary>Declares the stack.</summary>
    /// <param name="count">Number of layers.</param>
    /// <param name="factory">Makes one layer.</param>
    public Repeat(Dim count, Func<T> factory)
    {
        _ = (count, factory);
    }

    /// <summary>Whether the layers' activations are recomputed in the backward pass instead of saved, unless the run says otherwise.</summary>
    public bool Checkpoint { get; init; }

    /// <summary>Never called: the generator replaces the loop.</summary>
    public IEnumerator<T> GetEnumerator() => throw Replaced.ByGenerator();

    IEnumerator IEnumerable.GetEnumerator() => throw Replaced.ByGenerator();
}
