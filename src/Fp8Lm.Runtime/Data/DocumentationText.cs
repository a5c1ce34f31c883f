using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Xml;

namespace Fp8Lm.Data;

/// <summary>Reads the prose out of API documentation XML: references become names, markup disappears, white space collapses.</summary>
internal static class DocumentationText
{
    private const int ShortestParagraph = 20;

    /// <summary>Paragraphs of a documentation file with the full name of the type each belongs to.</summary>
    public static IEnumerable<(string Type, string Paragraph)> Read(string path)
    {
        var settings = new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null, IgnoreComments = true };
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        using var reader = XmlReader.Create(stream, settings);
        string type = "";
        var text = new StringBuilder();
        while (MoveOn(reader))
        {
            if (reader.NodeType != XmlNodeType.Element)
            {
                continue;
            }

            if (reader.Name == "member")
            {
                type = TypeOf(reader.GetAttribute("name") ?? "");
            }
            else if (reader.Name is "summary" or "remarks" or "returns" or "param" or "typeparam" or "value" or "exception")
            {
                string paragraph = Collect(reader, text);
                if (paragraph.Length >= ShortestParagraph)
                {
                    yield return (type, paragraph);
                }
            }
        }
    }

    /// <summary>Text of the element the reader stands on; leaves the reader on its end.</summary>
    private static string Collect(XmlReader reader, StringBuilder text)
    {
        text.Clear();
        if (reader.IsEmptyElement)
        {
            return "";
        }

        int depth = reader.Depth;
        int code = 0;
        while (MoveOn(reader) && !(reader.NodeType == XmlNodeType.EndElement && reader.Depth == depth))
        {
            switch (reader.NodeType)
            {
                case XmlNodeType.Element when reader.Name is "code" or "example" && !reader.IsEmptyElement:
                    code++;
                    break;
                case XmlNodeType.EndElement when reader.Name is "code" or "example":
                    code--;
                    break;
                case XmlNodeType.Element when code == 0:
                    AppendReference(reader, text);
                    break;
                case XmlNodeType.Text or XmlNodeType.CDATA or XmlNodeType.Whitespace or XmlNodeType.SignificantWhitespace when code == 0:
                    text.Append(reader.Value);
                    break;
            }
        }

        return Collapse(text);
    }

    private static void AppendReference(XmlReader reader, StringBuilder text)
    {
        string? name = reader.Name switch
        {
            "see" or "seealso" => reader.GetAttribute("langword") ?? ShortName(reader.GetAttribute("cref")),
            "paramref" or "typeparamref" => reader.GetAttribute("name"),
            "para" or "br" or "item" => " ",
            _ => null,
        };
        if (name is not null && (reader.IsEmptyElement || name == " "))
        {
            text.Append(name);
        }
    }

    /// <summary><c>M:System.String.Concat(System.Object)</c> reads as <c>Concat</c>, <c>T:System.Span`1</c> as <c>Span</c>.</summary>
    private static string? ShortName(string? reference)
    {
        if (reference is null)
        {
            return null;
        }

        int end = reference.AsSpan().IndexOfAny('(', '`', '{');
        ReadOnlySpan<char> name = end < 0 ? reference : reference.AsSpan(0, end);
        return name[(name.LastIndexOfAny('.', ':') + 1)..].ToString();
    }

    private static string TypeOf(string member)
    {
        int end = member.IndexOf('(', StringComparison.Ordinal);
        string name = end < 0 ? member : member[..end];
        int dot = name.StartsWith("T:", StringComparison.Ordinal) ? -1 : name.LastIndexOf('.');
        return name[Math.Min(2, name.Length)..Math.Max(Math.Min(2, name.Length), dot < 0 ? name.Length : dot)];
    }

    private static string Collapse(StringBuilder text)
    {
        var result = new StringBuilder(text.Length);
        bool space = false;
        foreach (char c in text.ToString())
        {
            if (char.IsWhiteSpace(c))
            {
                space = true;
                continue;
            }

            if (space && result.Length > 0)
            {
                result.Append(' ');
            }

            space = false;
            result.Append(c);
        }

        return result.ToString();
    }

    /// <summary>A broken file ends the text of that file; the rest of the corpus is as good as before.</summary>
    private static bool MoveOn(XmlReader reader)
    {
        try
        {
            return reader.Read();
        }
        catch (XmlException)
        {
            return false;
        }
    }
}
