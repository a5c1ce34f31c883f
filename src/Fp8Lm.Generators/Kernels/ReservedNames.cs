using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Generators.Kernels;

/// <summary>Names that users may give to weights and dimensions but that mean something else in emitted code.</summary>
internal static class ReservedNames
{
    private static readonly HashSet<string> Words = new(StringComparer.Ordinal)
    {
        // Of the renderers.
        "acc", "ask", "batch", "block", "chunk", "column", "columns", "count", "data", "dims", "end", "epilogue", "finish", "first", "firstColumn", "firstRow", "kernel", "label", "lane", "layer",
        "label_weights", "labels", "loss_scale", "line", "operands", "pack", "part", "pool", "row", "rows", "session", "slab", "start", "state", "step", "store", "sums", "thread", "tile", "warp", "worker",
        "accs", "alpha", "apply", "begin", "begin_grid", "columns", "copy", "load", "prefetch", "read", "read_columns", "sum", "sum_row", "transposed", "turned", "fp8lm",

        // Of C#, with @ a legal field name.
        "abstract", "as", "base", "bool", "break", "byte", "case", "catch", "char", "checked", "class", "const", "continue", "decimal", "default", "delegate", "do", "double",
        "else", "enum", "event", "explicit", "extern", "false", "finally", "fixed", "float", "for", "foreach", "goto", "if", "implicit", "in", "int", "interface", "internal",
        "is", "lock", "long", "namespace", "new", "null", "object", "operator", "out", "override", "params", "private", "protected", "public", "readonly", "ref", "return",
        "sbyte", "sealed", "short", "sizeof", "stackalloc", "static", "string", "struct", "switch", "this", "throw", "true", "try", "typeof", "uint", "ulong", "unchecked",
        "unsafe", "ushort", "using", "virtual", "void", "volatile", "while",

        // Of C++ and CUDA, legal in C#.
        "alignas", "alignof", "and", "asm", "auto", "bf16", "concept", "const_cast", "constexpr", "decltype", "delete", "export", "f16", "friend", "half", "inline", "mutable",
        "noexcept", "not", "nullptr", "or", "register", "requires", "restrict", "signed", "template", "typedef", "typeid", "typename", "union", "unsigned", "warpSize", "xor",
    };

    /// <summary>Locals of emitted kernels of which there are several, with a number behind them.</summary>
    private static readonly HashSet<string> Numbered = new(StringComparer.Ordinal) { "ahead", "amax", "counter", "early", "held", "kept", "old", "out", "reduced", "scale", "total", "turned" };

    /// <summary>Types and constants that emitted code names beside dimensions, which users spell like types too.</summary>
    private static readonly HashSet<string> Types = new(StringComparer.Ordinal)
    {
        // Of emitted kernels and programs.
        "B", "D", "K", "P", "S", "Cast", "CastCounter", "CastStatistics", "Config", "Epilogue", "EpilogueKey", "EpilogueValue", "Inputs", "Kernel", "Octet", "Shape", "TensorMap", "Rows", "kColumns", "kRows",

        // Of the runtime.
        "BFloat16", "CastsOnly", "CountsCasts", "DimBinding", "Dropout", "Float16", "Math", "PairLanes", "RowMath", "Scaling", "Simd", "StepState", "TMode", "Vector256", "VectorMath",
    };

    /// <summary>How emitted code spells a dimension: its name, or with an ending.</summary>
    public static string Dimension(string name) =>
        Words.Contains(name) || Types.Contains(name) || (char.IsLower(name[0]) && IsTemporary(name)) ? name + "Dim" : name;

    /// <summary>A name as a constant of an emitted class.</summary>
    public static string Constant(string name, string type) => Words.Contains(name) || name == type ? name + "_" : name;

    /// <summary>The name itself, or with a trailing underscore.</summary>
    public static string Avoid(string name) => IsTemporary(name) || char.IsUpper(name[0]) || Words.Contains(name) || IsNumbered(name) ? name + "_" : name;

    private static bool IsNumbered(string name) => char.IsDigit(name[name.Length - 1]) && Numbered.Contains(name.TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'));

    /// <summary>One or two letters, digits, at most one letter more: what the renderers call their locals (d, x0, k12, x0p).</summary>
    private static bool IsTemporary(string name)
    {
        int letters = name.TakeWhile(char.IsLetter).Count();
        int digits = name.Skip(letters).TakeWhile(char.IsDigit).Count();
        return letters <= 2 && name.Length - letters - digits <= (digits > 0 ? 1 : 0);
    }
}
