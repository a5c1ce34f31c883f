using System;

namespace Fp8Lm.Data;

/// <summary>Training data that cannot be used; the message says what was looked at and what to change.</summary>
public sealed class DataException : Exception
{
    /// <summary>Creates an exception without a message.</summary>
    public DataException()
    {
    }

    /// <summary>Creates an exception.</summary>
    public DataException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with a cause.</summary>
    public DataException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
