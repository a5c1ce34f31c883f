namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>Architectures beyond GPT and LLaMA, each in the shortest form that still has what makes it different.</summary>
internal static class MoreModelSources
{
    /// <summary>Attention and MLP read the same norm and are added together; a part of each head turns, in neighbouring pairs.</summary>
    public const string GptJ = """
        [Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16])]
        public partial class GptJ
        {
            static readonly Dim Vocab = new(), Width = new(), Heads = new(), Turned = new(), Layers = new();
            [ModelSize] static readonly Size Tiny = new() { [Vocab] = 256, [Width] = 128, [Heads] = 4, [Turned] = 16, [Layers] = 2 };
            readonly Weight tokens = new(Vocab, Width), head = new(Vocab, Width), headBias = new(Vocab);
            readonly Weight gain = new(Width) { Init = Init.Ones }, bias = new(Width);
            readonly Repeat<GptJBlock> blocks = new(Layers, () => new(Width, Heads, Turned));

            Tensor Forward(Tokens ids)
            {
                Tensor x = Embed(tokens, ids);
                foreach (GptJBlock block in blocks) x = block.Forward(x);
                return Linear(LayerNorm(x, gain, bias), head, headBias);
            }
        }

        [Fp8Module]
        public partial class GptJBlock(Dim width, Dim heads, Dim turned)
        {
            readonly Weight gain = new(width) { Init = Init.Ones }, bias = new(width);
            readonly Weight q = new(width, width), k = new(width, width), v = new(width, width), o = new(width, width);
            readonly Weight up = new(4 * width, width), upBias = new(4 * width), down = new(width, 4 * width), downBias = new(width);

            public Tensor Forward(Tensor x)
            {
                Tensor h = LayerNorm(x, gain, bias);
                Tensor Turn(Tensor t) => Rotary(SplitHeads(t, heads), interleaved: true, dims: turned);
                Tensor attended = MergeHeads(Attention(Turn(Linear(h, q)), Turn(Linear(h, k)), SplitHeads(Linear(h, v), heads)));
                return x + Linear(attended, o) + Linear(Gelu(Linear(h, up, upBias)), down, downBias);
            }
        }
        """;

    /// <summary>Gemma-like: scaled embedding, gains around one, norms on both sides, GeGLU, soft caps, sliding and full attention in turns, multi-query.</summary>
    public const string Gemma = """
        [Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine])]
        public partial class Gemma
        {
            const double FinalCap = 30;
            static readonly Dim Vocab = new(), Width = new(), Hidden = new(), Heads = new(), HeadSize = new(), Window = new(), Pairs = new();
            [ModelSize] static readonly Size Tiny = new()
            {
                [Vocab] = 256, [Width] = 96, [Hidden] = 256, [Heads] = 4, [HeadSize] = 32, [Window] = 32, [Pairs] = 2,
            };
            readonly Weight tokens = new(Vocab, Width);
            readonly Repeat<Pair> pairs = new(Pairs, () => new Pair(new Shape(Width, Hidden, Heads, HeadSize), Window));
            readonly OneCentredNorm norm = new(Width);

            Tensor Forward(Tokens ids)
            {
                Tensor x = 9.8 * Embed(tokens, ids);
                foreach (Pair pair in pairs) x = pair.Forward(x);
                Tensor logits = Linear(norm.Forward(x), tokens);
                return FinalCap * Tanh(logits / FinalCap);
            }
        }

        [Fp8Module]
        public partial class Shape(Dim width, Dim hidden, Dim heads, Dim headSize)
        {
            public Dim Width => width;
            public Dim Hidden => hidden;
            public Dim Heads => heads;
            public Dim HeadSize => headSize;
        }

        [Fp8Module]
        public partial class Pair(Shape shape, Dim window)
        {
            readonly GemmaBlock local = new(shape, window), global = new(shape, null);
            public Tensor Forward(Tensor x) => global.Forward(local.Forward(x));
        }

        [Fp8Module]
        public partial class GemmaBlock(Shape shape, Dim? window)
        {
            readonly OneCentredNorm before = new(shape.Width), after = new(shape.Width), beforeMlp = new(shape.Width), afterMlp = new(shape.Width);
            readonly Weight q = new(shape.Heads * shape.HeadSize, shape.Width), kv = new(2 * shape.HeadSize, shape.Width), o = new(shape.Width, shape.Heads * shape.HeadSize);
            readonly Weight gateUp = new(2 * shape.Hidden, shape.Width), down = new(shape.Width, shape.Hidden);

            public Tensor Forward(Tensor x)
            {
                x += after.Forward(Attend(before.Forward(x)));
                var (gate, up) = Split2(Linear(beforeMlp.Forward(x), gateUp));
                return x + afterMlp.Forward(Linear(GeluErf(gate) * up, down));
            }

            Tensor Attend(Tensor x)
            {
                (Tensor k, Tensor v) = Split(Linear(x, kv), shape.HeadSize, shape.HeadSize);
                Tensor y = Attention(Rotary(SplitHeads(Linear(x, q), shape.Heads)), Rotary(SplitHeads(k, 1)), SplitHeads(v, 1), window);
                return Linear(MergeHeads(y), o);
            }
        }

        [Fp8Module]
        public partial class OneCentredNorm(Dim width)
        {
            readonly Weight gain = new(width);
            public Tensor Forward(Tensor x) => RmsNorm(x, epsilon: 1e-6) * (1 + gain);
        }
        """;

    /// <summary>Norms on queries and keys, squared ReLU, the first layer's values mixed into every layer, learned gates, dropout, soft-capped logits.</summary>
    public const string SpeedRun = """
        namespace Research.Models;

        [Fp8Model(Recipes = [Recipe.Fp32])]
        public sealed partial class SpeedRun
        {
            static readonly Dim Vocab = new(), Width = new(), Heads = new(), Rest = new();
            static readonly Dim HeadSize = Width / Heads;
            [ModelSize] static readonly Size Tiny = new() { [Vocab] = 256, [Width] = 128, [Heads] = 4, [Rest] = 3 };
            Weight Tokens { get; } = new(Vocab, Width) { Init = Init.Normal(0.02 / 4), Decay = false };
            Weight Head { get; } = new(Vocab, Width) { Init = Init.Zeros };
            readonly Layer first = new(Width, Heads, HeadSize, mixes: false);
            readonly Repeat<Layer> rest = new(Rest, () => new Layer(Width, Heads, HeadSize, mixes: true));

            internal Loss Forward(Tokens ids, Labels labels)
            {
                Tensor start = RmsNorm(Embed(Tokens, ids)), x = start;
                (x, Tensor values) = first.Forward(x, start, null);
                foreach (var layer in rest) (x, _) = layer.Forward(x, start, values);
                Tensor logits = Linear(RmsNorm(x), Head);
                return CrossEntropy(logits: 15 * logits * Rsqrt(Square(logits) + 15 * 15), labels);
            }
        }

        [Fp8Module]
        sealed class Layer(Dim width, Dim heads, Dim headSize, bool mixes)
        {
            readonly Weight q = new(width, width), k = new(width, width), v = new(width, width), o = new(width, width) { Init = Init.Zeros };
            readonly Weight queryGain = new(headSize) { Init = Init.Ones }, keyGain = new(headSize) { Init = Init.Ones };
            readonly Weight? mix = mixes ? new(1) { Init = Init.Constant(0.5) } : null;
            readonly Weight keep = new(1) { Init = Init.Ones }, restart = new(1);
            readonly Weight up = new(4 * width, width), down = new(width, 4 * width) { Init = Init.Zeros };

            public (Tensor X, Tensor Values) Forward(Tensor x, Tensor start, Tensor? firstValues)
            {
                x = keep * x + restart * start;
                Tensor h = RmsNorm(x);
                Tensor values = Linear(h, v);
                if (mix is not null && firstValues is not null) values = mix * values + (1 - mix) * firstValues;
                Tensor query = Rotary(RmsNorm(SplitHeads(Linear(h, q), heads), queryGain));
                Tensor key = Rotary(RmsNorm(SplitHeads(Linear(h, k), heads), keyGain));
                x += Linear(MergeHeads(Attention(query, key, SplitHeads(values, heads), scale: 0.12)), o);
                x += Dropout(Linear(SquaredRelu(Linear(RmsNorm(x), up)), down), rate: 0.1);
                return (x, values);
            }
        }
        """;
}
