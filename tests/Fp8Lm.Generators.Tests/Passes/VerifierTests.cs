using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

public sealed class VerifierTests
{
    /// <summary>Compiles with the verifier after every pass; an error carries the pass and the printed graph.</summary>
    [Theory]
    [MemberData(nameof(CompilerTest.ModelsAndRecipes), MemberType = typeof(CompilerTest))]
    public void EveryPassLeavesALegalGraph(string model, string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));

        Assert.NotEmpty(program.Kernels);
        Assert.Equal(program.Kernels.Count, program.Kernels.Select(k => k.Name).Distinct().Count());
    }

    [Fact]
    public void AValueUsedBeforeItsDefinitionIsFound()
    {
        Graph graph = CompilerTest.Compile(FrontendTest.Model("return Silu(x);"), CompilerTest.Recipes[0]).Graph;
        Block block = graph.Blocks.First(b => b.Nodes.Count > 2);
        block.Nodes.Reverse();

        string message = Assert.ThrowsAny<System.InvalidOperationException>(() => GraphVerifier.Verify(graph, "Reversing")).Message;

        Assert.StartsWith("after Reversing: ", message, System.StringComparison.Ordinal);
        Assert.Contains(" before it is defined\n", message, System.StringComparison.Ordinal);
    }
}
