using System;

namespace Fp8Lm.Training;

/// <summary>Training cannot go on; the message says at which step and why.</summary>
public sealed class TrainingException : Exception
{
    /// <summary>Creates an exception without a message.</summary>
    public TrainingException()
    {
    }

    /// <summary>Creates an exception.</summary>
    public TrainingException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with a cause.</summary>
    public TrainingException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
