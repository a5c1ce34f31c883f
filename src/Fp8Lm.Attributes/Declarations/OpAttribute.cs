using System;

namespace Fp8Lm;

/// <summary>
/// The op of the compiler that a method or operator stands for. The table of known calls is read from these attributes; parameters of
/// tensor-like types are operands, all others attributes of the op under their name in snake_case.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OpAttribute : Attribute
{
    /// <summary>Names the op.</summary>
    /// <param name="key">Key in the compiler's op table, for example <c>layer_norm</c>.</param>
    public OpAttribute(string key) => Key = key;

    /// <summary>Key in the compiler's op table.</summary>
    public string Key { get; }
}
