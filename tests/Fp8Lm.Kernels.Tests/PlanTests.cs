using System;
using System.IO;
using System.Text.Json;
using Fp8Lm.CommandLine;
using Fp8Lm.Execution;
using Spectre.Console;
using TinyGpt;
using Xunit;

namespace Fp8Lm.Kernels.Tests;

/// <summary>What <c>plan</c> says about linears.</summary>
public sealed class PlanTests
{
    [Fact]
    public void ASizeHasATableOfItsLinears()
    {
        string text = Run(Gpt.Definition, "plan", "gpt1b3", "--recipe", "TransformerEngine", "--micro-batch", "8", "--sequence", "2048");

        Assert.Contains("Linears of TransformerEngine: predicted microseconds of a layer, forward and backward, on an H100 or H200", text, StringComparison.Ordinal);
        foreach (string weight in new[] { "qkv", "project", "up", "down" })
        {
            Assert.Matches(@"blocks\.\*\." + weight + @" +24 +[\d.]+ +[\d.]+ +[\d.]+ FP8", text);
        }

        Assert.DoesNotContain("slower", text, StringComparison.Ordinal);
        Assert.DoesNotContain("Linears of", Run(Gpt.Definition, "plan", "gpt1b3", "--recipe", "Bf16"), StringComparison.Ordinal);
    }

    [Fact]
    public void LinearsThatAreKeptSayBf16AndThoseThatLoseAreNamed()
    {
        string text = Run(Parity.Models.KeptLinears.Definition, "plan", "small", "--recipe", "TransformerEngineCurrent", "--micro-batch", "2", "--sequence", "32");

        Assert.Matches(@"layers\.\*\.project +2 +[\d.]+ +[\d.]+ +[\d.]+ BF16", text);
        Assert.Contains("TransformerEngineCurrent: FP8 is predicted slower than BF16 for the linear of layers.*.kv at micro-batch 2 x 32", text, StringComparison.Ordinal);
        Assert.DoesNotContain("linear of layers.*.project", text, StringComparison.Ordinal);
    }

    [Fact]
    public void TheJsonHasTheSameFigures()
    {
        using JsonDocument plans = JsonDocument.Parse(Run(Gpt.Definition, "plan", "gpt125m", "--json", "--recipe", "TransformerEngine"));
        JsonElement linears = plans.RootElement[0].GetProperty("linears");

        Assert.Equal(4, linears.GetArrayLength());
        Assert.Equal("blocks.*.qkv", linears[0].GetProperty("weight").GetString());
        Assert.True(linears[0].GetProperty("fp8").GetBoolean());
        Assert.InRange(linears[0].GetProperty("fp8_us").GetDouble(), 1, linears[0].GetProperty("bf16_us").GetDouble());
    }

    private static string Run(ModelDefinition definition, params string[] arguments)
    {
        using StringWriter output = new(), errors = new();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output), Ansi = AnsiSupport.No, Interactive = InteractionSupport.No });
        console.Profile.Width = 400;
        Assert.True(Fp8App.Run(definition, arguments, new AppDefaults(), console, errors) == 0, errors.ToString());
        return output.ToString();
    }
}
