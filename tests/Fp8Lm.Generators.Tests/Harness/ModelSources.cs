namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>Whole models as users write them.</summary>
internal static class ModelSources
{
    public const string Gpt = """
        [Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.TransformerEngine])]
        public partial class Gpt
        {
            static readonly Dim Vocab = new(), Context = new(), Width = new(), Heads = new(), Layers = new();

            [ModelSize] static readonly Size Tiny = new() { [Vocab] = 256, [Context] = 128, [Width] = 128, [Heads] = 4, [Layers] = 4 };
            [ModelSize] static readonly Size Gpt125M = new() { [Vocab] = 50304, [Context] = 1024, [Width] = 768, [Heads] = 12, [Layers] = 12 };
            [ModelSize] static readonly Size Gpt7B = new() { [Vocab] = 50304, [Context] = 2048, [Width] = 4096, [Heads] = 32, [Layers] = 32 };

            readonly Weight tokens = new(Vocab, Width), positions = new(Context, Width);
            readonly Repeat<Block> blocks = new(Layers, () => new Block(Width, Heads));
            readonly LayerNormalization norm = new(Width);

            Tensor Forward(Tokens ids)
            {
                Tensor x = Embed(tokens, ids) + PositionEmbed(positions, ids);
                foreach (Block block in blocks) x = block.Forward(x);
                return Linear(norm.Forward(x), tokens);                     // tied head
            }
        }

        [Fp8Module]
        public partial class Block(Dim width, Dim heads)
        {
            readonly LayerNormalization attentionNorm = new(width), mlpNorm = new(width);
            readonly Weight qkv = new(3 * width, width), qkvBias = new(3 * width);
            readonly Weight project = new(width, width) { Init = Init.ScaledNormal() }, projectBias = new(width);
            readonly Weight up = new(4 * width, width), upBias = new(4 * width);
            readonly Weight down = new(width, 4 * width) { Init = Init.ScaledNormal() }, downBias = new(width);

            public Tensor Forward(Tensor x)
            {
                x += Attend(attentionNorm.Forward(x));
                return x + Linear(Gelu(Linear(mlpNorm.Forward(x), up, upBias)), down, downBias);
            }

            Tensor Attend(Tensor x)
            {
                var (q, k, v) = Split3(Linear(x, qkv, qkvBias));
                Tensor y = Attention(SplitHeads(q, heads), SplitHeads(k, heads), SplitHeads(v, heads));
                return Linear(MergeHeads(y), project, projectBias);
            }
        }

        [Fp8Module]
        public partial class LayerNormalization(Dim width)
        {
            readonly Weight gain = new(width) { Init = Init.Ones }, bias = new(width);

            public Tensor Forward(Tensor x) => LayerNorm(x, gain, bias);
        }
        """;

    public const string Llama = """
        [Fp8Model(Recipes = [Recipe.Bf16, Recipe.TransformerEngine])]
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
        """;
}
