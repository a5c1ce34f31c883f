using System.Text;

namespace Fp8Lm.Generators.Emit;

/// <summary>Indented text with <c>\n</c> line ends.</summary>
internal sealed class SourceWriter
{
    private readonly StringBuilder builder = new();
    private int depth;

    public SourceWriter Line(string text = "")
    {
        if (text.Length > 0)
        {
            builder.Append(' ', 4 * depth).Append(text);
        }

        builder.Append('\n');
        return this;
    }

    public SourceWriter Open(string text = "")
    {
        if (text.Length > 0)
        {
            Line(text);
        }

        Line("{");
        depth++;
        return this;
    }

    public SourceWriter Close(string suffix = "")
    {
        depth--;
        return Line("}" + suffix);
    }

    /// <summary>Appends text that has its own lines, each at the current depth.</summary>
    public SourceWriter Lines(string text)
    {
        foreach (string line in text.TrimEnd('\n').Split('\n'))
        {
            Line(line);
        }

        return this;
    }

    public override string ToString() => builder.ToString();
}
