using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Names that mean something in C#, in CUDA or in emitted code, and paths that differ only by where the dot stands.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Rowwise, Recipe.BlockScaled, Recipe.TransformerEngine])]
public partial class OddNames
{
    static readonly Dim @int = new(), Shape = new(), Config = new(), row = new(), D = new(), Epilogue = new();

    [ModelSize] static readonly Size @base = new() { [@int] = 48, [Shape] = 32, [Config] = 2, [row] = 2, [D] = 64, [Epilogue] = 32 };

    readonly Weight @in = new(@int, Shape), P = new(D, Shape), B = new(Shape, D), K = new(D), S = new(Shape), template = new(Shape);
    readonly OddPart up = new(Shape, D), up_gate = new(Shape, D);
    readonly Weight up_gate_in = new(Shape) { Init = Init.Ones };
    readonly Repeat<OddLayer> blocks = new(row, () => new OddLayer(Shape, Config));

    Tensor Forward(Tokens tokens)
    {
        Tensor x = Embed(@in, tokens) * (1 + template) + S;
        x += Linear(Gelu(Linear(RmsNorm(x), P, K)), B);
        x += up.Forward(x) + up_gate.Forward(RmsNorm(x, up_gate_in));
        foreach (OddLayer @this in blocks) x = @this.Forward(x);
        return Linear(RmsNorm(x), @in);
    }
}

[Fp8Module]
public partial class OddPart(Dim @short, Dim D)
{
    readonly Weight gate_in = new(D, @short), gate = new(D, @short), @out = new(@short, D);
    readonly OddGate gate_ = new(D);

    public Tensor Forward(Tensor row) => Linear(gate_.Forward(Silu(Linear(row, gate)) * Linear(row, gate_in)), @out);
}

[Fp8Module]
public partial class OddGate(Dim @long)
{
    readonly Weight @in = new(@long) { Init = Init.Ones };

    public Tensor Forward(Tensor acc) => acc * @in;
}

[Fp8Module]
public partial class OddLayer(Dim half, Dim warp)
{
    readonly Weight q = new(3 * half, half), layer = new(half, half), x = new(half) { Init = Init.Ones };

    public Tensor Forward(Tensor c)
    {
        var (e, acc, float2) = Split3(Linear(RmsNorm(c, x), q));
        return c + Linear(MergeHeads(Attention(Rotary(SplitHeads(e, warp)), Rotary(SplitHeads(acc, warp)), SplitHeads(float2, warp))), layer);
    }
}
