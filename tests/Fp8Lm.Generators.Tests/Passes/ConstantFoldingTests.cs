using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>Which constants meet when nodes are built: numbers, and none of those over a size that only a run knows.</summary>
public sealed class ConstantFoldingTests
{
    private static readonly DimExpr Width = DimExpr.Symbol("Width");

    private readonly GraphBuilder build;
    private readonly Value x;

    public ConstantFoldingTests()
    {
        Graph graph = new(FrontendTest.Spec(FrontendTest.Model("return x;")));
        build = new GraphBuilder(graph, graph.AddBlock(Phase.Forward, loop: null, "block"));
        x = build.Parameter(0, new TensorType(RowKind.Token, [Width]));
    }

    [Fact]
    public void NumbersMeet()
    {
        Value product = build.Mul(build.Mul(x, 2), 3);

        Assert.Equal(x, product.Node.Inputs[0]);
        Assert.Equal(6, product.Node.Inputs[1].Node.Data.Number);
        Assert.Equal(x, build.Mul(build.Mul(x, 2), 0.5));
    }

    /// <summary>As in the gradient of a hand-written norm, where 1 / columns of the mean meets the 2 of the square.</summary>
    [Fact]
    public void AFactorOverASizeStays()
    {
        Value product = build.Mul(build.Mul(x, build.Reciprocal(Width)), 2);

        Assert.Equal(2, product.Node.Inputs[1].Node.Data.Number);
        Assert.Equal(Width, product.Node.Inputs[0].Node.Inputs[1].Node.Data.Divisor);
        Assert.Equal(x, product.Node.Inputs[0].Node.Inputs[0]);
    }

    [Fact]
    public void AFactorOverASizeIsNotOne()
    {
        Value mean = build.Mul(x, build.Reciprocal(Width));

        Assert.NotEqual(x, mean);
        Assert.False(GraphBuilder.IsNumber(build.Reciprocal(Width), out _));
        Assert.True(GraphBuilder.IsNumber(build.Reciprocal(DimExpr.Constant(4)), out double quarter) && quarter == 0.25);
    }
}
