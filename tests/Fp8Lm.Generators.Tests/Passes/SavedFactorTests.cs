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
    /// <summary>The gradient of a GELU is one multiplication in its product's epilogue, and what is saved is as large as before.</summary>
    [Theory]
    [InlineData("Fp32")]
    [InlineData("Bf16")]
    [InlineData("TransformerEngine")]
    [InlineData("TransformerEngineCurrent")]
    [InlineData("Fp8LmO2")]
    public void AGeluSavesItsSlope(string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models["Gpt"], CompilerTest.Recipe(recipe));
        KernelProgram gradient = program.Kernels.Single(k => k.Name.EndsWith("down_dgrad", System.StringComparison.Ordinal));

        OpStatement op = Assert.Single(gradient.Bodies.Single().Final.Columns.OfType<OpStatement>());
        Assert.Equal(OpCode.Mul, op.Node.Op);
        BufferSpec slope = Assert.Single(program.Buffers.Buffers, b => b.Name == "blocks.gelu_slope");
        Assert.Equal(program.Recipe.Compute, slope.Format);
        Assert.Equal(BufferScope.PerLayer, slope.Scope);
        Assert.DoesNotContain(program.Buffers.Buffers, b => b.Name == "blocks.up" && b.Scope == BufferScope.PerLayer);
    }

    [Fact]
    public void SoDoesASiluOfOneProduct() => Assert.Contains(Layers("Silu(Linear(x, a))", "TransformerEngine").Buffers.Buffers, b => b.Name == "layers.silu_slope");

    /// <summary>No slope: cheap as it is, of two products, of a product that someone else reads, or of a value that backward needs for itself.</summary>
    [Theory]
    [InlineData("SquaredRelu(Linear(x, a))", "TransformerEngine")]
    [InlineData("Silu(Linear(x, a)) * Linear(x, b)", "TransformerEngine")]
    [InlineData("Gelu(h = Linear(x, a)) + Linear(h, c)", "Bf16")]
    [InlineData("Linear(Gelu(h = Linear(x, a)), c) * h", "TransformerEngine")]
    [InlineData("Linear(Gelu(x), a)", "TransformerEngine")]
    public void WhereItWouldCostMemoryOrSaveNothingTheInputStays(string forward, string recipe) =>
        Assert.DoesNotContain(Layers(forward, recipe).Buffers.Buffers, b => b.Name.Contains("_slope", System.StringComparison.Ordinal));

    private static CompiledProgram Layers(string forward, string recipe)
    {
        string source = $$"""
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
                readonly Weight a = new(width, width), b = new(width, width), c = new(width, width);

                public Tensor Forward(Tensor x)
                {
                    Tensor h = x;
                    return x + {{forward}} + Linear(x, b) + Linear(x, c);
                }
            }
            """;
        return CompilerTest.Compile(source, CompilerTest.Recipe(recipe));
    }
}
