using System.Collections.Generic;

namespace Fp8Lm;

/// <summary>
/// A declared size of a model: one value for every dimension. Mark the field with <see cref="ModelSizeAttribute"/>; its name is
/// the name of the size (<c>Gpt7B</c> is <c>gpt-7b</c> on the command line).
/// </summary>
/// <example>
/// <code>
/// [ModelSize] static readonly Size Gpt7B = new() { [Vocab] = 50304, [Width] = 4096, [Heads] = 32, [Layers] = 32 };
/// </code>
/// </example>
public sealed class Size
{
    private readonly Dictionary<Dim, long> values = [];

    /// <summary>The value of a dimension at this size.</summary>
    /// <exception cref="KeyNotFoundException">The size does not give the dimension a value.</exception>
    public long this[Dim dimension]
    {
        get => values[dimension];
        set => values[dimension] = value;
    }
}
