using System;
using System.Text;

namespace Fp8Lm.Generators.Frontend;

/// <summary>
/// What the signature of an op's method does not say. Everything else (which parameters are operands, what attributes are called) follows
/// from the signature, so a new op needs an entry here only if it is special.
/// </summary>
internal static class KnownOps
{
    /// <summary>Ops whose number arguments are operands like tensors.</summary>
    public static bool TakesNumbers(string op) => op is "add" or "sub" or "mul" or "div" or "min" or "max" or "select" || MakesMask(op);

    public static bool MakesMask(string op) => op is "lt" or "le" or "gt" or "ge" or "eq" or "ne";

    /// <summary>Ops whose gain multiplies all that they let through.</summary>
    public static bool IsNorm(string op) => op is "layer_norm" or "rms_norm";

    /// <summary>The compiler's name of an attribute, from that of the parameter.</summary>
    public static string AttributeName(string parameter)
    {
        if (parameter == "theta")
        {
            return "base";
        }

        StringBuilder name = new();
        foreach (char c in parameter)
        {
            if (char.IsUpper(c))
            {
                name.Append('_');
            }

            name.Append(char.ToLowerInvariant(c));
        }

        return name.ToString();
    }

    /// <summary>What a constant argument must be, when it is not.</summary>
    public static string? OutOfRange(string op, string parameter, double value) => (op, parameter) switch
    {
        ("dropout", "rate") when !(value >= 0 && value < 1) => "at least 0 and below 1",
        (_, "epsilon") when !(value > 0) => "positive",
        ("rotary", "theta") when !(value > 1) => "greater than 1",
        ("attention", "scale") when !(value >= 0) => "positive, or 0 for 1 / sqrt(head size)",
        ("cross_entropy", "zLoss") when !(value >= 0) => "at least 0",
        _ when double.IsNaN(value) || double.IsInfinity(value) => "finite",
        _ => null,
    };
}
