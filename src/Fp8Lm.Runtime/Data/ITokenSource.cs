using System;

namespace Fp8Lm.Data;

/// <summary>A long run of tokens that can be read at any place.</summary>
public interface ITokenSource
{
    /// <summary>Number of tokens.</summary>
    long Count { get; }

    /// <summary>Text that changes when the content does (in practice: names, lengths and samples); a resumed run compares it.</summary>
    string Fingerprint { get; }

    /// <summary>Reads the tokens at <paramref name="start"/> and following.</summary>
    void Read(long start, Span<int> tokens);
}

/// <summary>A part of another source.</summary>
public sealed class TokenRange : ITokenSource
{
    private readonly ITokenSource source;
    private readonly long first;

    /// <summary>Takes <paramref name="count"/> tokens from <paramref name="first"/> on.</summary>
    public TokenRange(ITokenSource source, long first, long count)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, source.Count - first);
        this.source = source;
        this.first = first;
        Count = count;
    }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public string Fingerprint => FormattableString.Invariant($"{source.Fingerprint}[{first}..{first + Count}]");

    /// <inheritdoc/>
    public void Read(long start, Span<int> tokens)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Count - tokens.Length);
        source.Read(first + start, tokens);
    }
}
