using System;
using System.Runtime.CompilerServices;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>A [tokens, heads * head size] matrix in memory; head h starts at column h * head size.</summary>
/// <param name="Address">First element.</param>
/// <param name="Format">F32, BF16 or F16.</param>
/// <param name="Pitch">Elements from one token to the next.</param>
public readonly record struct AttentionOperand(nint Address, ElementFormat Format, long Pitch);

/// <summary>
/// Causal attention over sequences of equal length. Token b * sequence + t is position t of sequence b; query head h reads key/value head
/// h / (query heads / key/value heads).
/// </summary>
/// <param name="Query">[tokens, query heads * head size].</param>
/// <param name="Key">[tokens, key/value heads * head size].</param>
/// <param name="Value">[tokens, key/value heads * head size].</param>
/// <param name="OutputGradient">[tokens, query heads * head size]; read by the backward kernels only.</param>
/// <param name="Batch">Number of sequences.</param>
/// <param name="Sequence">Tokens of a sequence.</param>
/// <param name="QueryHeads">Heads of the queries; a multiple of <paramref name="KeyValueHeads"/>.</param>
/// <param name="KeyValueHeads">Heads of keys and values.</param>
/// <param name="HeadSize">Elements of a head, at most 256.</param>
/// <param name="Scale">What logits are multiplied with; positive.</param>
/// <param name="Window">How many keys a query sees, itself included: key j is visible to query i iff i - window &lt; j &lt;= i. Zero: all.</param>
public readonly record struct AttentionArgs(
    AttentionOperand Query, AttentionOperand Key, AttentionOperand Value, AttentionOperand OutputGradient,
    long Batch, long Sequence, long QueryHeads, long KeyValueHeads, long HeadSize, float Scale, long Window)
{
    /// <summary>Query heads that share one key/value head.</summary>
    internal int Group => (int)(QueryHeads / KeyValueHeads);

    /// <summary>Window, or the sequence length where there is none.</summary>
    internal int Reach => (int)(Window > 0 ? Math.Min(Window, Sequence) : Sequence);

    /// <summary>Floats of a head in the sums: whole panels.</summary>
    internal int SumPitch => GemmBlocking.AlignUp((int)HeadSize, MicroKernel.Columns);

    /// <summary>First position that a query reads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int FirstKey(int query) => Math.Max(0, query - Reach + 1);

    /// <summary>Position behind the last query that reads a key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int EndQuery(int key) => (int)Math.Min(Sequence, (long)key + Reach);

    internal void Validate(bool backward)
    {
        if (Batch <= 0 || Sequence <= 0 || KeyValueHeads <= 0 || QueryHeads <= 0 || QueryHeads % KeyValueHeads != 0)
        {
            throw new ArgumentException($"Attention over {Batch} x {Sequence} tokens with {QueryHeads} query heads and {KeyValueHeads} key/value heads: the query heads must be a multiple of the others.");
        }

        if (HeadSize is <= 0 or > PackedA.MaxDepth)
        {
            throw new ArgumentException($"Attention takes heads of 1 to {PackedA.MaxDepth} elements; got {HeadSize}.");
        }

        if (!(Scale > 0f) || Window < 0)
        {
            throw new ArgumentException($"Attention takes a positive scale and a window of at least zero; got {Scale} and {Window}.");
        }

        foreach (AttentionOperand operand in (ReadOnlySpan<AttentionOperand>)[Query, Key, Value, backward ? OutputGradient : Query])
        {
            if (operand.Format is not (ElementFormat.F32 or ElementFormat.BF16 or ElementFormat.F16))
            {
                throw new ArgumentException($"Attention reads F32, BF16 or F16; got {operand.Format}.");
            }
        }
    }
}
