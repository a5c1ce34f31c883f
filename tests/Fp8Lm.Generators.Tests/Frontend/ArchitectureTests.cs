using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Frontend;

public sealed class ArchitectureTests
{
    [Fact]
    public void ParallelResidualWithPartialInterleavedRotary()
    {
        OpSpec[] ops = Ops(FrontendTest.Spec(MoreModelSources.GptJ));

        OpSpec rotary = ops.First(o => o.Op == "rotary");
        Assert.Equal(1, rotary.Attributes.Single(a => a.Name == "interleaved").Number);
        Assert.Equal("Turned", rotary.Attributes.Single(a => a.Name == "dims").Dims[0].ToString());
        Assert.Equal(1, ops.Count(o => o.Op == "layer_norm" && o.Results[0] < 20));
    }

    [Fact]
    public void LocalAndGlobalLayersInTurns()
    {
        ModelSpec spec = FrontendTest.Spec(MoreModelSources.Gemma);

        OpSpec[] attention = [.. Ops(spec).Where(o => o.Op == "attention")];
        Assert.Equal(["Window"], attention[0].Attributes.Single(a => a.Name == "window").Dims.Select(d => d.ToString()));
        Assert.DoesNotContain(attention[1].Attributes, a => a.Name == "window");
        Assert.Contains("pairs.*.global.gateUp", spec.Parameters.Select(p => p.Path));
        Assert.Equal(7, spec.Dims.Count);
    }

    [Fact]
    public void FirstLayersValuesReachTheOthers()
    {
        ModelSpec spec = FrontendTest.Spec(MoreModelSources.SpeedRun);

        LoopSpec loop = spec.Forward.OfType<LoopSpec>().Single();
        Assert.Single(loop.Carried);
        Assert.Equal("Research.Models", spec.Type.Namespace);
        Assert.Equal("public partial class SpeedRun", spec.Type.Declaration);
        Assert.DoesNotContain("first.mix", spec.Parameters.Select(p => p.Path));
        ParameterSpec mix = spec.Parameters.Single(p => p.Path == "rest.*.mix");
        Assert.Equal(new InitSpec("Constant", 0.5), mix.Init);
        ParameterSpec tokens = spec.Parameters.Single(p => p.Path == "Tokens");
        Assert.False(tokens.Decay);
        Assert.Equal(0.005, tokens.Init.Value);
        Assert.Equal("cross_entropy", Assert.IsType<OpSpec>(spec.Forward[^1]).Op);
    }

    [Fact]
    public void EqualSourcesGiveEqualSpecs()
    {
        Assert.Equal(FrontendTest.Spec(ModelSources.Llama), FrontendTest.Spec("\n// A comment moves every position.\n" + ModelSources.Llama));
        Assert.NotEqual(FrontendTest.Spec(ModelSources.Llama), FrontendTest.Spec(ModelSources.Llama.Replace("Silu", "Gelu", System.StringComparison.Ordinal)));
    }

    private static OpSpec[] Ops(ModelSpec spec) => [.. Flatten(spec.Forward)];

    private static IEnumerable<OpSpec> Flatten(IEnumerable<StatementSpec> statements) =>
        statements.SelectMany(s => s is LoopSpec loop ? Flatten(loop.Body) : [(OpSpec)s]);
}
