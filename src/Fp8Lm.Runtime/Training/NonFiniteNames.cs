using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>What tensors of a program are called in messages: the path with the layer in brackets, as <c>blocks[3].up</c>, and the role.</summary>
internal static class NonFiniteNames
{
    private const string Gradient = "grad.";
    private const string WeightFamily = "/weight";
    private static readonly string[] Copies = [".fp8", ".transposed"];

    /// <summary>Roles of the two operands of a linear's products, by the ending of the kernel's name.</summary>
    private static readonly (string Ending, string First, string Second)[] Products =
    [
        ("_fprop", "input", "weight"),
        ("_dgrad", "output gradient", "weight"),
        ("_wgrad", "output gradient", "input"),
    ];

    /// <summary>A parameter's instance.</summary>
    public static string Parameter(ParameterInfo parameter, long layer) => Layered(parameter.Name, layer);

    /// <summary>A buffer's instance: path, role, format.</summary>
    public static string Buffer(BufferInfo buffer, long layer, DimBinding dims)
    {
        string path = Plain(buffer.Name);
        int dot = path.IndexOf('.', StringComparison.Ordinal);
        (string block, string value) = dot < 0 ? ("", path) : (path[..dot], path[(dot + 1)..]);
        bool gradient = value.StartsWith(Gradient, StringComparison.Ordinal);
        value = gradient ? value[Gradient.Length..] : value;
        string instance = buffer.Layers(dims) == 1 && buffer.Scope == BufferScope.Single ? "" : FormattableString.Invariant($"[{layer}]");
        string role = buffer.Category == BufferCategory.Weights ? "copy of the weight" : gradient ? "gradient" : "activation";
        return $"{(block.Length == 0 ? value + instance : $"{block}{instance}.{value}")} ({role}, {buffer.Format})";
    }

    /// <summary>A slot of a scale family.</summary>
    public static string Scale(ScaleInfo scale, long layer)
    {
        string[] parts = Plain(scale.Name).Split('/');
        return $"{Layered(parts[0], layer)} ({parts[^1]}, before the cast to {scale.Format})";
    }

    /// <summary>The path of a weight by the name of a buffer that holds a copy of it.</summary>
    public static string WeightOf(BufferInfo copy, long layer, DimBinding dims)
    {
        string path = Plain(copy.Name);
        int dot = path.IndexOf('.', StringComparison.Ordinal);
        return (copy.Layers(dims) == 1 && copy.Scope == BufferScope.Single) || dot < 0 ? path : FormattableString.Invariant($"{path[..dot]}[{layer}]{path[dot..]}");
    }

    /// <summary>The path of a weight by the family of its FP8 copies; null when the family is of something else.</summary>
    public static string? WeightOf(ScaleInfo scale, long layer) =>
        Plain(scale.Name) is { } name && name.EndsWith(WeightFamily, StringComparison.Ordinal) ? Layered(name[..^WeightFamily.Length], layer) : null;

    /// <summary>The role of operand 0 or 1 of a product; null when the kernel is none of a linear's.</summary>
    public static string? Operand(KernelInfo kernel, int operand)
    {
        (string Ending, string First, string Second) product = Array.Find(Products, p => kernel.Name.EndsWith(p.Ending, StringComparison.Ordinal));
        return product.Ending is null ? null : operand == 0 ? product.First : product.Second;
    }

    private static string Layered(string name, long layer) => name.Replace(".*", FormattableString.Invariant($"[{layer}]"), StringComparison.Ordinal);

    /// <summary>Without the ending of a copy, and without the number that makes names of buffers differ.</summary>
    private static string Plain(string name)
    {
        int number = name.IndexOf('~', StringComparison.Ordinal);
        string plain = number < 0 ? name : name[..number];
        foreach (string ending in Copies)
        {
            plain = plain.EndsWith(ending, StringComparison.Ordinal) ? plain[..^ending.Length] : plain;
        }

        return plain;
    }
}
