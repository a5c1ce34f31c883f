using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Gemma-like: norms on queries and keys, sliding and full attention in turns, gains around one, norms on both sides, soft-capped logits.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent])]
public partial class Gemma
{
    const double FinalCap = 5;
    static readonly Dim Vocab = new(), Width = new(), Hidden = new(), Heads = new(), HeadSize = new(), Window = new(), Pairs = new();

    [ModelSize] static readonly Size Small = new()
    {
        [Vocab] = 64, [Width] = 48, [Hidden] = 64, [Heads] = 4, [HeadSize] = 16, [Window] = 5, [Pairs] = 2,
    };
    [ModelSize] static readonly Size Golden = new()
    {
        [Vocab] = 64, [Width] = 32, [Hidden] = 32, [Heads] = 4, [HeadSize] = 16, [Window] = 5, [Pairs] = 1,
    };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<GemmaPair> pairs = new(Pairs, () => new GemmaPair(Width, Hidden, Heads, HeadSize, Window));
    readonly OneCentredNorm norm = new(Width);

    Tensor Forward(Tokens ids)
    {
        Tensor x = 3.5 * Embed(tokens, ids);
        foreach (GemmaPair pair in pairs) x = pair.Forward(x);
        Tensor logits = Linear(norm.Forward(x), tokens);
        return FinalCap * Tanh(logits / FinalCap);
    }
}

[Fp8Module]
public partial class GemmaPair(Dim width, Dim hidden, Dim heads, Dim headSize, Dim window)
{
    readonly GemmaBlock local = new(width, hidden, heads, headSize, window), global = new(width, hidden, heads, headSize, null);

    public Tensor Forward(Tensor x) => global.Forward(local.Forward(x));
}

[Fp8Module]
public partial class GemmaBlock(Dim width, Dim hidden, Dim heads, Dim headSize, Dim? window)
{
    readonly OneCentredNorm before = new(width), after = new(width), beforeMlp = new(width), afterMlp = new(width);
    readonly OneCentredNorm queryNorm = new(headSize), keyNorm = new(headSize);
    readonly Weight q = new(heads * headSize, width), kv = new(4 * headSize, width), o = new(width, heads * headSize);
    readonly Weight gateUp = new(2 * hidden, width), down = new(width, hidden);

    public Tensor Forward(Tensor x)
    {
        x += after.Forward(Attend(before.Forward(x)));
        var (gate, up) = Split2(Linear(beforeMlp.Forward(x), gateUp));
        return x + afterMlp.Forward(Linear(Gelu(gate) * up, down));
    }

    Tensor Attend(Tensor x)
    {
        (Tensor k, Tensor v) = Split(Linear(x, kv), 2 * headSize, 2 * headSize);
        Tensor query = Rotary(queryNorm.Forward(SplitHeads(Linear(x, q), heads)), 100);
        Tensor key = Rotary(keyNorm.Forward(SplitHeads(k, 2)), 100);
        return Linear(MergeHeads(Attention(query, key, SplitHeads(v, 2), window, scale: 0.3)), o);
    }
}

[Fp8Module]
public partial class OneCentredNorm(Dim width)
{
    readonly Weight gain = new(width);

    public Tensor Forward(Tensor x) => RmsNorm(x, epsilon: 1e-6) * (1 + gain);
}
