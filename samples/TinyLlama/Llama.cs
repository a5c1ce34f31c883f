using Fp8Lm;
using static Fp8Lm.Ops;

namespace TinyLlama;

[Fp8Model(Recipes = [Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.Rowwise, Recipe.BlockScaled])]
public partial class Llama
{
    static readonly Dim Vocab = new(), Width = new(), Hidden = new(), Heads = new(), KvHeads = new(), Layers = new();

    [ModelSize] static readonly Size Tiny = new() { [Vocab] = 256, [Width] = 128, [Hidden] = 352, [Heads] = 4, [KvHeads] = 2, [Layers] = 4 };
    [ModelSize] static readonly Size Llama8B = new() { [Vocab] = 128256, [Width] = 4096, [Hidden] = 14336, [Heads] = 32, [KvHeads] = 8, [Layers] = 32 };

    readonly Weight tokens = new(Vocab, Width), head = new(Vocab, Width);
    readonly Repeat<LlamaBlock> blocks = new(Layers, () => new(new(Width, Heads, KvHeads), new(Width, Hidden), Width)) { Checkpoint = true };
    readonly Weight finalGain = new(Width) { Init = Init.Ones };

    Loss Forward(Tokens ids, Labels labels)
    {
        Tensor x = Embed(tokens, ids);
        foreach (LlamaBlock block in blocks) x = block.Forward(x);
        return CrossEntropy(Linear(RmsNorm(x, finalGain), head), labels, zLoss: 1e-4f);
    }
}

[Fp8Module]
public partial class LlamaBlock(GroupedAttention attention, SwiGlu mlp, Dim width)
{
    readonly Weight attentionGain = new(width) { Init = Init.Ones }, mlpGain = new(width) { Init = Init.Ones };

    public Tensor Forward(Tensor x)
    {
        Tensor h = x + attention.Forward(RmsNorm(x, attentionGain));
        return h + mlp.Forward(RmsNorm(h, mlpGain));
    }
}

[Fp8Module]
public partial class GroupedAttention(Dim width, Dim heads, Dim kvHeads, float theta = 500000f)
{
    readonly Weight query = new(width, width), key = new(KvWidth(width, heads, kvHeads), width), value = new(KvWidth(width, heads, kvHeads), width);
    readonly Weight output = new(width, width) { Init = Init.ScaledNormal() };

    static Dim KvWidth(Dim width, Dim heads, Dim kvHeads) => width / heads * kvHeads;

    public Tensor Forward(Tensor x)
    {
        Tensor q = Rotary(SplitHeads(Linear(x, query), heads), theta);
        Tensor k = Rotary(SplitHeads(Linear(x, key), kvHeads), theta);
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
