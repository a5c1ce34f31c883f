using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>LLaMA: RMSNorm, rotary halves, grouped queries, SwiGLU, a head of its own, z-loss (Touvron et al. 2023; PaLM for the z-loss).</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent, Recipe.Rowwise, Recipe.BlockScaled, Recipe.Fp8LmO1, Recipe.Fp8LmO2, Recipe.Fp8LmO3])]
public partial class Llama
{
    static readonly Dim Vocab = new(), Width = new(), Hidden = new(), Heads = new(), KvHeads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 64, [Hidden] = 96, [Heads] = 4, [KvHeads] = 2, [Layers] = 2 };
    [ModelSize] static readonly Size Golden = new() { [Vocab] = 48, [Width] = 32, [Hidden] = 48, [Heads] = 2, [KvHeads] = 1, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width), head = new(Vocab, Width);
    readonly Repeat<LlamaBlock> blocks = new(Layers, () => new(new(Width, Heads, KvHeads), new(Width, Hidden), Width)) { Checkpoint = true };
    readonly Weight finalGain = new(Width) { Init = Init.Ones };

    Loss Forward(Tokens ids, Labels labels)
    {
        Tensor x = Embed(tokens, ids);
        foreach (LlamaBlock block in blocks) x = block.Forward(x);
        return CrossEntropy(Linear(RmsNorm(x, finalGain), head), labels, zLoss: 1e-3);
    }
}

[Fp8Module]
public partial class LlamaBlock(LlamaAttention attention, SwiGlu mlp, Dim width)
{
    readonly Weight attentionGain = new(width) { Init = Init.Ones }, mlpGain = new(width) { Init = Init.Ones };

    public Tensor Forward(Tensor x)
    {
        Tensor h = x + attention.Forward(RmsNorm(x, attentionGain));
        return h + mlp.Forward(RmsNorm(h, mlpGain));
    }
}

[Fp8Module]
public partial class LlamaAttention(Dim width, Dim heads, Dim kvHeads)
{
    readonly Weight query = new(width, width), key = new(width / heads * kvHeads, width), value = new(width / heads * kvHeads, width);
    readonly Weight output = new(width, width) { Init = Init.ScaledNormal() };

    public Tensor Forward(Tensor x)
    {
        Tensor q = Rotary(SplitHeads(Linear(x, query), heads), 500);
        Tensor k = Rotary(SplitHeads(Linear(x, key), kvHeads), 500);
        Tensor v = SplitHeads(Linear(x, value), kvHeads);
        return Linear(MergeHeads(Attention(q, k, v)), output);
    }
}

[Fp8Module]
public partial class SwiGlu(Dim width, Dim hidden)
{
    readonly Weight gate = new(hidden, width), up = new(hidden, width), down = new(width, hidden) { Init = Init.ScaledNormal() };

    public Tensor Forward(Tensor x) => Linear(Silu(Linear(x, gate)) * Linear(x, up), down);
}
