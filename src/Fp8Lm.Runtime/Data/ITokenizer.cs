using System;
using System.Text;

namespace Fp8Lm.Data;

/// <summary>Turns text into tokens and back.</summary>
public interface ITokenizer
{
    /// <summary>Tokens are below this number; a model's vocabulary must hold them.</summary>
    int VocabularySize { get; }

    /// <summary>Tokens of a text.</summary>
    int[] Encode(string text);

    /// <summary>Text of tokens; bytes that are not UTF-8 become replacement characters.</summary>
    string Decode(ReadOnlySpan<int> tokens);
}

/// <summary>One token per byte of UTF-8.</summary>
public sealed class ByteTokenizer : ITokenizer
{
    /// <inheritdoc/>
    public int VocabularySize => 256;

    /// <inheritdoc/>
    public int[] Encode(string text) => Array.ConvertAll(Encoding.UTF8.GetBytes(text), b => (int)b);

    /// <inheritdoc/>
    public string Decode(ReadOnlySpan<int> tokens)
    {
        byte[] bytes = new byte[tokens.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            // A model with a padded vocabulary may name tokens that no byte has.
            bytes[i] = tokens[i] is >= 0 and < 256 ? (byte)tokens[i] : (byte)'?';
        }

        return Encoding.UTF8.GetString(bytes);
    }
}
