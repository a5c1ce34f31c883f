using System;

namespace Fp8Lm.CommandLine;

/// <summary>The user asked for something that does not exist; the message says what does.</summary>
public sealed class UsageException : Exception
{
    /// <summary>Creates an exception without a message.</summary>
    public UsageException()
    {
    }

    /// <summary>Creates an exception.</summary>
    public UsageException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with a cause.</summary>
    public UsageException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
