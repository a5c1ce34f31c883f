using System;
using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Ordinary C#: inheritance, generics, records, switch expressions, local functions, loops over counts, arrays and tuples of modules, properties, optional and named arguments.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine])]
public partial class OrdinaryCSharp
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new();
    const int Extra = 2;
    const bool Residual = true;
    enum Kind { Plain, Gated }

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 48, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<OrdinaryCSharpLayer> layers = new(Layers, () => new OrdinaryCSharpLayer(width: Width, eps: 1e-3));
    readonly OrdinaryCSharpMlp plain = new(Width, false), gated = new(Width, gated: true);

    Tensor Act(Tensor x, Kind kind) => kind switch { Kind.Plain => Relu(x), Kind.Gated => Silu(x), _ => x };
    static Tensor Scale(Tensor x, double by = 0.5) => x * by;
    static float Depth(int n) => 1f / MathF.Sqrt(n);

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        Tensor Add(Tensor a, Tensor b) { return Residual ? a + b : b; }
        for (int i = 0; i < Extra; i++)
        {
            x = i % 2 == 0 ? Add(x, plain.Forward(x)) : Add(Act(x, Kind.Gated), gated.Forward(x));
            if (i == 1) x *= 0.5;
        }
        foreach (var layer in layers)
        {
            var (a, b) = layer.Both(x);
            x = Add(a, Scale(b, by: 0.25));
        }
        x -= Scale(x) / (2 * 3);
        x = -x + 2 * x - x * 0.125;
        return Linear(RmsNorm(x) * Depth(4), tokens);
    }
}

[Fp8Module]
public partial class OrdinaryCSharpMlp(Dim width, bool gated)
{
    readonly Weight up = new(gated ? 2 * width : width, width), down = new(width, width);

    public Tensor Forward(Tensor x)
    {
        Tensor h = Linear(x, up);
        if (gated)
        {
            var (l, r) = Split2(h);
            h = l * Sigmoid(r);
        }
        else
            h = Gelu(h);
        return Linear(h, down);
    }
}

[Fp8Module]
public partial class OrdinaryCSharpLayer(Dim width, double eps, bool twice = true)
{
    readonly OrdinaryCSharpMlp mlp = new(width, true);
    public (Tensor, Tensor) Both(Tensor x)
    {
        Tensor n = RmsNorm(x, epsilon: eps), y = mlp.Forward(n);
        if (twice) y = mlp.Forward(y);
        return (x, y);
    }
}
