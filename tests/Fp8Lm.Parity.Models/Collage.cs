using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Parts of OLMo 2 (norms behind each part, QK norm), windows in every other layer, a PaLM block, one block used three times, soft-capped logits.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Rowwise, Recipe.BlockScaled, Recipe.TransformerEngine])]
public partial class Collage
{
    static readonly Dim Vocab = new(), D = new(), H = new(), Kv = new(), Pairs = new(), F = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [D] = 64, [H] = 4, [Kv] = 2, [Pairs] = 2, [F] = 96 };

    readonly Weight tokens = new(Vocab, D), head = new(Vocab, D), finalGain = new(D) { Init = Init.Ones };
    readonly Repeat<LocalGlobal> pairs = new(Pairs, () => new LocalGlobal(D, H, Kv, F));
    readonly PalmBlock palm = new(D, H);
    readonly AlbertBlock shared = new(D, F);

    Loss Forward(Tokens ids, Labels labels)
    {
        Tensor x = Embed(tokens, ids) * 8;
        Tensor skip = x;
        foreach (LocalGlobal p in pairs) x = p.Forward(x);
        x = palm.Forward(x) + 0.5f * skip;
        for (int i = 0; i < 3; i++) x = shared.Forward(x);
        return CrossEntropy(30 * Tanh(Linear(RmsNorm(x, finalGain), head) / 30), labels, zLoss: 1e-4f);
    }
}

[Fp8Module]
public partial class LocalGlobal(Dim d, Dim h, Dim kv, Dim f)
{
    readonly OlmoBlock local = new(d, h, kv, f, window: 8), global = new(d, h, kv, f, window: 0);

    public Tensor Forward(Tensor x) => global.Forward(local.Forward(x));
}

[Fp8Module]
public partial class OlmoBlock(Dim d, Dim h, Dim kv, Dim f, int window)
{
    readonly Weight q = new(d, d), k = new(d / h * kv, d), v = new(d / h * kv, d), o = new(d, d);
    readonly Weight qGain = new(d) { Init = Init.Ones }, kGain = new(d / h * kv) { Init = Init.Ones };
    readonly Weight attentionGain = new(d) { Init = Init.Ones }, mlpGain = new(d) { Init = Init.Ones };
    readonly Weight gate = new(f, d), up = new(f, d), down = new(d, f);

    public Tensor Forward(Tensor x)
    {
        Tensor qn = Rotary(SplitHeads(RmsNorm(Linear(x, q), qGain), h)), kn = Rotary(SplitHeads(RmsNorm(Linear(x, k), kGain), kv));
        Tensor vs = SplitHeads(Linear(x, v), kv);
        Tensor y = window > 0 ? Attention(qn, kn, vs, window: window) : Attention(qn, kn, vs);
        x += RmsNorm(Linear(MergeHeads(y), o), attentionGain);
        return x + RmsNorm(Linear(Silu(Linear(x, gate)) * Linear(x, up), down), mlpGain);
    }
}

[Fp8Module]
public partial class PalmBlock(Dim d, Dim h)
{
    readonly Weight qkvff = new(d + 2 * (d / h) + 8 * d, d), outAttention = new(d, d), outMlp = new(d, 4 * d), gain = new(d) { Init = Init.Ones };

    public Tensor Forward(Tensor x)
    {
        Tensor n = LayerNorm(x, gain);
        var (q, k, v, ff) = Split(Linear(n, qkvff), d, d / h, d / h, 8 * d);
        var (gate, up) = Split2(ff);
        Tensor y = Attention(Rotary(SplitHeads(q, h), interleaved: true), Rotary(SplitHeads(k, 1), interleaved: true), SplitHeads(v, 1));
        return x + Linear(MergeHeads(y), outAttention) + Linear(Silu(gate) * up, outMlp);
    }
}

[Fp8Module]
public partial class AlbertBlock(Dim d, Dim f)
{
    readonly Weight up = new(f, d), down = new(d, f), bias = new(f);

    public Tensor Forward(Tensor x) => RmsNorm(x + Linear(Relu(Linear(x, up, bias)), down));
}
