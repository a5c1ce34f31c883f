using System;

namespace Fp8Lm.Execution;

/// <summary>A micro-batch, sequence length or size that a model cannot run with; the message says what can.</summary>
public sealed class DimensionException : ArgumentException
{
    /// <summary>Creates an exception without a message.</summary>
    public DimensionException()
    {
    }

    /// <summary>Creates an exception.</summary>
    public DimensionException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with a cause.</summary>
    public DimensionException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
