using System;

namespace Fp8Lm.Generators.Ir.Language;

internal static class ElementwiseRules
{
    /// <summary>0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).</summary>
    public static Value GeluTanh(GraphBuilder b, Value x)
    {
        // (1 + tanh u) / 2 is the sigmoid of 2u: one exponential, no cancellation where the result is small, and a shorter gradient.
        double k = 2 * Math.Sqrt(2 / Math.PI);
        Value inner = b.Mul(x, b.Add(b.Mul(b.Mul(x, x), k * 0.044715), b.Constant(k)));
        return b.Mul(x, b.Unary(OpCode.Sigmoid, inner));
    }

    public static Value[]? Pow(OpContext c)
    {
        double exponent = c.Number("exponent", 1);
        return c.Unary((b, x) => exponent switch
        {
            0 => b.Constant(1),
            1 => x,
            2 => b.Mul(x, x),
            3 => b.Mul(b.Mul(x, x), x),
            0.5 => b.Unary(OpCode.Sqrt, x),
            -0.5 => b.Unary(OpCode.Rsqrt, x),
            -1 => b.Div(b.Constant(1), x),
            _ => b.Unary(OpCode.Pow, x, new NodeData { Number = exponent }),
        });
    }

    public static Value[]? Select(OpContext c)
    {
        if (!c[0].Type.Mask || c[1].Type.Mask || c[2].Type.Mask)
        {
            return c.Fail("FP8L0315", "select");
        }

        TensorType? values = GraphBuilder.Broadcast(c[1].Type, c[2].Type);
        return values is null || GraphBuilder.Broadcast(c[0].Type.AsMask(false), values) is null
            ? c.Fail("FP8L0301", "select", c[0].Type.Features(), (values ?? c[1].Type).Features())
            : [c.Builder.Select(c[0], c[1], c[2])];
    }

    /// <summary>
    /// Inverted dropout. The mask is a pure function of seed, micro-step, site, layer and element, so backward and recomputation see the
    /// same one and nothing is saved.
    /// </summary>
    public static Value[]? Dropout(OpContext c)
    {
        double rate = c.Number("rate", 0);
        if (rate <= 0)
        {
            return [c[0]];
        }

        GraphBuilder b = c.Builder;
        Value x = c[0];
        Value keep = b.Node(OpCode.Uniform, [], x.Type, new NodeData { Index = b.Graph.RandomSites++, Number = rate });
        return [b.Mul(x, keep)];
    }
}
