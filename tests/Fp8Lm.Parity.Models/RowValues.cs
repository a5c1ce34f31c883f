using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Gated recurrences of the element-wise kind: values of all shapes met by broadcasting, rows reduced and spread again, constants on either side, masks, powers.</summary>
[Fp8Model(Recipes = [Recipe.Fp32])]
public partial class RowValues
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 80, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width), w = new(Width, Width), bias = new(Width), small = new(8, Width);
    readonly Repeat<RowValuesLayer> layers = new(Layers, () => new RowValuesLayer(Width));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        Tensor s = Sum(x * x) / 80, m = ReduceMax(x), n = -Mean(x);
        foreach (var l in layers)
        {
            x = l.Forward(x, m) / (1 + s);
            n = n * 0.5f + Mean(x);
            m = Max(m, ReduceMax(x) * 0.5f);
        }
        Tensor y = Linear(x, w, bias);
        y = y - n * 3 + m / 4;
        Tensor clipped = Select(y > 0.5, y * 0.1, Select(y < -0.5, -0.2, y));
        Tensor t = Pow(Abs(clipped) + 0.5, 1.5) - 1 / (1 + Exp(-clipped)) + Log(1 + Square(x)) * (2.0 / 3) + Sqrt(1 + m * m);
        return Linear(RmsNorm(t + Slice(Linear(x, small), 3, 1)), tokens);
    }
}

[Fp8Module]
public partial class RowValuesLayer(Dim width)
{
    readonly Weight a = new(width, width), b = new(width, width), decay = new(width), bonus = new(width) { Init = Init.Ones };

    public Tensor Forward(Tensor x, Tensor m)
    {
        Tensor z = Sigmoid(Linear(x, a) - decay), k = Linear(x * z + m * bonus, b);
        Tensor soft = Softmax(k * 0.5f) * 80;
        return z * x + (1 - z) * Tanh(k) - 0.25f * soft + Min(Max(k, -1), 1);
    }
}
