using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Every element-wise function and comparison of the language, in the epilogues of two products and on the stream.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine])]
public partial class ElementwiseOps
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 32, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<ElementwiseLayer> layers = new(Layers, () => new ElementwiseLayer(Width));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (ElementwiseLayer layer in layers) x = layer.Forward(x);
        return Linear(x * 0.25, tokens);
    }
}

[Fp8Module]
public partial class ElementwiseLayer(Dim width)
{
    readonly Weight a = new(width, width), b = new(width, width), c = new(width, width), bias = new(width);

    public Tensor Forward(Tensor x)
    {
        Tensor u = Linear(x, a, bias);
        Tensor v = Linear(Tanh(u) + Sigmoid(u) * 0.5, b);
        return x + Linear(Powers(u) + Comparisons(u, v), c) * 0.5 + Activations(v) / 2;
    }

    static Tensor Powers(Tensor u)
    {
        Tensor positive = Square(u) + 0.5;
        Tensor roots = Sqrt(positive) + Rsqrt(positive) + Pow(positive, 1.7) * 0.1 + Pow(u, 3) * 0.02 + Pow(positive, -0.7);
        return roots + Log(positive) - Exp(-Abs(u)) + 1 / positive + u / positive;
    }

    static Tensor Comparisons(Tensor u, Tensor v)
    {
        Tensor extremes = Min(u, v) + 2 * Max(u, v) + Min(u, 0.3) - Max(-0.2, v) + Max(Min(1, u), v * 0.1);
        Tensor chosen = Select(u < v, u, 2 * v) + Select(u <= 0.1, 0.5, u) + Select(v > u, v * u, 0.25) + Select(v >= -0.3, v, -u);
        return extremes + chosen + Select(u == 0, u, v * 3) + Select(0 != v, u * 0.3, v);
    }

    static Tensor Activations(Tensor v) => Gelu(v) + GeluErf(v) - Silu(v) + Relu(v) + SquaredRelu(v) * 0.5 - (-v);
}
