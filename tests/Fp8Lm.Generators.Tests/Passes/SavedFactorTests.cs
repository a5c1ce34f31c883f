using System;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>Where the forward pass saves the slope of an activation instead of its input.</summary>
public sealed class SavedFactorTests
{
    /// <summary>The gradient of a GELU is one multiplication in its product's epilogue, and what is saved is as large as before, or half of it.</summary>
    [Theory]
    [InlineData("Fp32", "F32")]
    [InlineData("Bf16", "BF16")]
    [InlineData("Fp16", "F16")]
    [InlineData("TransformerEngine", "U8")]
    [InlineData("TransformerEngineCurrent", "U8")]
    [InlineData("BlockScaled", "U8")]
    [InlineData("Fp8LmO2", "U8")]
    public void AGeluSavesItsSlope(string recipe, string format)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models["Gpt"], CompilerTest.Recipe(recipe));
        KernelProgram gradient = program.Kernels.Single(k => k.Name.EndsWith("down_dgrad", StringComparison.Ordinal));

        OpStatement op = Assert.Single(gradient.Bodies.Single().Final.Columns.OfType<OpStatement>());
        Assert.Equal(OpCode.Mul, op.Node.Op);
        BufferSpec slope = Assert.Single(program.Buffers.Buffers, b => b.Name == "blocks.gelu_slope");
        Assert.Equal(format, slope.Format.ToString());
        Assert.Equal(BufferScope.PerLayer, slope.Scope);
        Assert.DoesNotContain(program.Buffers.Buffers, b => b.Name == "blocks.up" && b.Scope == BufferScope.PerLayer);
    }

    [Fact]
    public void SoDoesASiluOfOneProduct() => Assert.Contains(Layers("Silu(Linear(x, a))", "TransformerEngine").Buffers.Buffers, b => b.Name == "layers.silu_slope");

    /// <summary>
    /// What the language has and what a model composes is bounded alike, by nothing but its ops; extremes from 10^6 points in double precision. Bounds that are too narrow would wrap
    /// around in the byte, bounds that are too wide cost digits.
    /// </summary>
    [Theory]
    [InlineData("Gelu(h = Linear(x, a))", -0.128975, 1.128975)]
    [InlineData("GeluErf(Linear(x, a))", -0.128904, 1.128904)]
    [InlineData("Silu(Linear(x, a))", -0.099839, 1.099839)]
    [InlineData("Tanh(Linear(x, a))", 0, 1)]
    [InlineData("Sigmoid(Linear(x, a))", 0, 0.25)]
    [InlineData("(h = Linear(x, a)) * Sigmoid(1.702f * h)", -0.099839, 1.099839)]
    [InlineData("Exp(Tanh(Linear(x, a)))", 0, 1.253539)]
    public void ABoundedSlopeTakesAByteOfTheFinestSteps(string forward, double low, double high)
    {
        FixedPoint fixedPoint = Slope(Layers(forward, "TransformerEngine"))!;

        Assert.InRange(-low * fixedPoint.PerUnit, 0, fixedPoint.Zero + 0.5);
        Assert.InRange(high * fixedPoint.PerUnit, 0, 255.5 - fixedPoint.Zero);
        // One more step in a unit would not fit, or 1 would not be exact.
        Assert.InRange(fixedPoint.PerUnit * (high - low), 253, 256);
        Assert.True(high < 1 || fixedPoint.PerUnit * (float)(1.0 / fixedPoint.PerUnit) == 1f);
    }

    [Fact]
    public void WhereTheRecipeSaysSoABoundedSlopeStaysInCompute() =>
        Assert.Null(Slope(CompilerTest.Compile(Source("Gelu(Linear(x, a))"), CompilerTest.Recipe("TransformerEngine") with { SavedFactors = Model.SavedFactors.Compute })));

    [Fact]
    public void ARecipeWithoutFp8MaySaveBytesToo() =>
        Assert.NotNull(Slope(CompilerTest.Compile(Source("Gelu(Linear(x, a))"), CompilerTest.Recipe("Bf16") with { SavedFactors = Model.SavedFactors.Byte })));

    /// <summary>Slopes without bounds, wider than what a byte is good for, that overflow on the way, or with a weight in them that can be anything.</summary>
    [Theory]
    [InlineData("Exp(Linear(x, a))")]
    [InlineData("Exp(2 * Tanh(Linear(x, a)))")]
    [InlineData("Log(1 + Exp(Linear(x, a)))")]
    [InlineData("Gelu(Linear(x, a)) * Sigmoid(c0)")]
    [InlineData("Tanh(Linear(x, a) * c0)")]
    public void OtherSlopesStayInCompute(string forward)
    {
        CompiledProgram program = Layers(forward, "TransformerEngine");

        Assert.Null(Slope(program));
        Assert.All(program.Buffers.Buffers.Where(b => b.Name.Contains("_slope", StringComparison.Ordinal)), b => Assert.Equal(Model.Format.BF16, b.Format));
    }

    /// <summary>Every interval holds what the op makes of numbers inside the operands' intervals.</summary>
    [Fact]
    public void IntervalsHoldWhatOpsMakeOfTheirNumbers()
    {
        Random random = new(7);
        double Draw() => (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-2, 3));
        OpCode[] ops = [.. OpTable.All.Where(o => OpTable.Class(o) == OpClass.Elementwise && OpTable.Of(o).Fold is not null)];
        Assert.True(ops.Length > 15);
        foreach (OpCode op in ops)
        {
            OpInfo info = OpTable.Of(op);
            Node node = new(0, op, [], [TensorType.Scalar], NodeData.None, new Block(0, Phase.Forward, null, "b"), -1);
            for (int trial = 0; trial < 500; trial++)
            {
                Interval[] x = [.. Enumerable.Range(0, info.Arity).Select(_ => Of(Draw(), Draw()))];
                double[] inside = [.. x.Select(i => i.Low + (random.NextDouble() * (i.High - i.Low)))];
                if (op == OpCode.Select)
                {
                    (x[0], inside[0]) = trial % 2 == 0 ? (new Interval(0, 1), trial % 3 == 0 ? 1 : 0) : (new Interval(trial % 4 / 3, trial % 4 / 3), trial % 4 / 3);
                }

                Interval result = Interval.Of(node, x, same: false);
                double value = info.Fold!(inside);
                Assert.True(double.IsNaN(value) || (value >= result.Low - 1e-12 && value <= result.High + 1e-12), $"{op} of {string.Join(", ", inside)} is {value}, not in {result}");
            }
        }

        static Interval Of(double a, double b) => new(Math.Min(a, b), Math.Max(a, b));
    }

    private static FixedPoint? Slope(CompiledProgram program) => program.Graph.Nodes.Where(n => n.Label.EndsWith("_slope", StringComparison.Ordinal)).Select(n => n.Data.Fixed).SingleOrDefault(f => f is not null);

    /// <summary>No slope: cheap as it is, of two products, of a product that someone else reads, or of a value that backward needs for itself.</summary>
    [Theory]
    [InlineData("SquaredRelu(Linear(x, a))", "TransformerEngine")]
    [InlineData("Silu(Linear(x, a)) * Linear(x, b)", "TransformerEngine")]
    [InlineData("Gelu(h = Linear(x, a)) + Linear(h, c)", "Bf16")]
    [InlineData("Linear(Gelu(h = Linear(x, a)), c) * h", "TransformerEngine")]
    [InlineData("Linear(Gelu(x), a)", "TransformerEngine")]
    public void WhereItWouldCostMemoryOrSaveNothingTheInputStays(string forward, string recipe) =>
        Assert.DoesNotContain(Layers(forward, recipe).Buffers.Buffers, b => b.Name.Contains("_slope", StringComparison.Ordinal));

    private static CompiledProgram Layers(string forward, string recipe) => CompilerTest.Compile(Source(forward), CompilerTest.Recipe(recipe));

    private static string Source(string forward) => $$"""
            using Fp8Lm;
            using static Fp8Lm.Ops;

            [Fp8Model]
            public partial class Model
            {
                static readonly Dim Vocab = new(), Width = new(), Layers = new();
                [ModelSize] static readonly Size Tiny = new() { [Vocab] = 64, [Width] = 32, [Layers] = 2 };
                readonly Weight tokens = new(Vocab, Width);
                readonly Repeat<Layer> layers = new(Layers, () => new Layer(Width));

                Tensor Forward(Tokens ids)
                {
                    Tensor x = Embed(tokens, ids);
                    foreach (Layer layer in layers) x = layer.Forward(x);
                    return Linear(x, tokens);
                }
            }

            [Fp8Module]
            public partial class Layer(Dim width)
            {
                readonly Weight a = new(width, width), b = new(width, width), c = new(width, width), c0 = new(width);

                public Tensor Forward(Tensor x)
                {
                    Tensor h = x;
                    return x + {{forward}} + Linear(x, b) + Linear(x, c) + c0;
                }
            }
            """;
}
