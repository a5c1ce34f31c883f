using System;
using System.Text;

namespace Fp8Lm.Checkpoints;

/// <summary>A checkpoint or safetensors file that cannot be used; the message says what was found, what was expected, and where.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>Creates an exception without a message.</summary>
    public CheckpointException()
    {
    }

    /// <summary>Creates an exception.</summary>
    public CheckpointException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception with a cause.</summary>
    public CheckpointException(string message, Exception innerException) : base(message, innerException)
    {
    }

    /// <summary>A name from a file, fit for a message: files may hold megabytes of text or control characters where a name should be.</summary>
    internal static string Quote(string name)
    {
        const int longest = 80;
        var text = new StringBuilder("'");
        foreach (char c in name.AsSpan(0, Math.Min(name.Length, longest)))
        {
            text.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        }

        return text.Append(name.Length > longest ? "...'" : "'").ToString();
    }
}
