using System;

namespace Fp8Lm.Execution;

/// <summary>
/// Values of all dimensions of a bound model: index 0 is the micro-batch, 1 the sequence length, 2 and up the model's own
/// dimensions in the order of <see cref="ModelDefinition.Dims"/>.
/// </summary>
public sealed class DimBinding
{
    /// <summary>Index of the micro-batch (sequences per launch).</summary>
    public const int MicroBatch = 0;
    /// <summary>Index of the sequence length (tokens per sequence).</summary>
    public const int Sequence = 1;
    /// <summary>Index of the first dimension that the model declares.</summary>
    public const int FirstModelDim = 2;

    private readonly long[] values;

    /// <summary>Binds the given values; all must be positive.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is zero or negative.</exception>
    public DimBinding(params ReadOnlySpan<long> values)
    {
        foreach (long value in values)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value, nameof(values));
        }

        this.values = values.ToArray();
    }

    /// <summary>The value of one dimension.</summary>
    public long this[int index] => values[index];

    /// <summary>Number of values, the two leading ones included.</summary>
    public int Count => values.Length;

    /// <summary>Tokens in one micro-batch: micro-batch times sequence length.</summary>
    public long Tokens => values[MicroBatch] * values[Sequence];
}
