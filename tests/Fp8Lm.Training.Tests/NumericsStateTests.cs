using System;
using System.Collections.Generic;
using System.Diagnostics.Metrics;
using System.IO;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>What the optimizer stores in fewer than 32 bits: its slots, and where its counts are reported.</summary>
public sealed class NumericsStateTests : NumericsRuns
{
    /// <summary>
    /// Whether a cast loses something, and no more than rounding does. An E4M3 master is its own cast to E4M3; a second moment in E4M3 with one scale makes steps so large (#4 of Table 6)
    /// that delayed scales of gradients are behind them.
    /// </summary>
    internal static bool IsSound(string recipe, CastReport report) => recipe switch
    {
        "Fp8Master" => report.Role != "weight",
        "Fp8SecondMoment" => StateRoles.Contains(report.Role),
        _ => true,
    };

    internal static readonly string[] StateRoles = ["master", "first_moment", "second_moment"];

    internal static long Elements(string parameter) => Drawn.Definition.Parameters.Single(p => p.Name == parameter).Elements(new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]));

    /// <summary>States that a recipe stores in fewer than 32 bits: masters of the layers' linears, and moments of every parameter.</summary>
    internal static IEnumerable<(string Tensor, string Role, ElementFormat Format)> States(string recipe)
    {
        (ElementFormat master, ElementFormat first, ElementFormat second) = recipe switch
        {
            "Fp8LmO1" => (ElementFormat.F16, ElementFormat.F32, ElementFormat.F32),
            "Fp8LmO2" or "Fp8LmO3" => (ElementFormat.F16, ElementFormat.E4M3, ElementFormat.F16),
            "Coat" => (ElementFormat.F32, ElementFormat.E4M3, ElementFormat.E4M3),
            "GroupedO2" or "Fp8SecondMoment" => (ElementFormat.F16, ElementFormat.E4M3, ElementFormat.E4M3),
            "Bf16Master" => (ElementFormat.BF16, ElementFormat.E4M3, ElementFormat.F16),
            "Fp8Master" => (ElementFormat.E4M3, ElementFormat.E4M3, ElementFormat.F16),
            "Bf16States" => (ElementFormat.BF16, ElementFormat.BF16, ElementFormat.BF16),
            _ => (ElementFormat.F32, ElementFormat.F32, ElementFormat.F32),
        };
        string[] linear = [.. from name in (string[])["qkv", "o", "up", "down"] from layer in (int[])[0, 1] select $"layers.{layer}.{name}"];
        string[] all = [.. linear, "layers.0.bias", "layers.1.bias", "tokens"];
        return ((string Role, ElementFormat Format, string[] Tensors)[])[("master", master, linear), ("first_moment", first, all), ("second_moment", second, all)] is var roles
            ? from role in roles where role.Format != ElementFormat.F32 from tensor in role.Tensors select (tensor, role.Role, role.Format)
            : [];
    }

    /// <summary>The program lists what the optimizer stores behind all other casts; its slots are a table of states by instances of parameters, which the plan pays for.</summary>
    [Theory]
    [InlineData("Fp8LmO1", 1)]
    [InlineData("Fp8LmO2", 3)]
    [InlineData("Coat", 2)]
    [InlineData("Fp8Master", 3)]
    [InlineData("Bf16States", 3)]
    [InlineData("TransformerEngine", 0)]
    [InlineData("Bf16", 0)]
    public void StatesHaveSlotsByInstance(string recipe, int states)
    {
        using CpuPool pool = new(1);
        using CpuSession session = Session(recipe, pool);
        MemoryPlan plan = session.Plan;
        CastInfo[] listed = [.. plan.Program.Casts.SkipWhile(c => c.State is null)];
        Assert.DoesNotContain(listed, c => c.State is null);
        Assert.Equal(States(recipe).Order(), listed.SelectMany(c => Enumerable.Range(0, (int)c.Layers(plan.Dims)).Select(l => (c.Name.Replace("*", $"{l}", StringComparison.Ordinal), c.Role, c.Format))).Order());
        Assert.Equal(states, listed.Select(c => c.State!.Value.Arena).Distinct().Count());
        Assert.Equal(plan.FirstStateCast + (states * plan.StateInstances), plan.CastSlots);
        long bytes = plan.CastSlots * System.Runtime.CompilerServices.Unsafe.SizeOf<CastStatistics>();
        Assert.InRange(plan.Offset(WorkspacePart.FirstGroups) - plan.Offset(WorkspacePart.CastStatistics), bytes, bytes + 4096);
        Assert.Equal(0, session.StateCasts);
        session.CountsCasts = true;
        Assert.Equal(session.Workspace(WorkspacePart.CastStatistics) + (nint)(plan.FirstStateCast * System.Runtime.CompilerServices.Unsafe.SizeOf<CastStatistics>()), session.StateCasts);
        ArenaKind[] rows = [.. listed.Select(c => c.State!.Value.Arena).Distinct()];
        for (int cast = plan.Program.Casts.Count - listed.Length; cast < plan.Program.Casts.Count; cast++)
        {
            StatePlace place = plan.Program.Casts[cast].State!.Value;
            Assert.Equal(plan.Program.Casts[cast].Name, Drawn.Definition.Parameters[place.Parameter].Name);
            Assert.Equal(plan.Program.Casts[cast].Format, plan.Program.FormatsOf(place.Parameter).Of(place.Arena));
            long instance = plan.FirstInstances[place.Parameter] + (plan.Parameters[place.Parameter].Instances - 1);
            nint slot = session.StateCasts + (nint)(((Array.IndexOf(rows, place.Arena) * plan.StateInstances) + instance) * System.Runtime.CompilerServices.Unsafe.SizeOf<CastStatistics>());
            Assert.Equal(slot, session.CastStatistics(cast, plan.Parameters[place.Parameter].Instances - 1));
        }
    }

    /// <summary>A recipe without FP8 products reports its states alone.</summary>
    [Fact]
    public void StatesAreReportedWithoutFp8Products()
    {
        IReadOnlyList<CastReport> reports = Train("small", "SmallMoments", Options).Casts;
        Assert.Equal(["first_moment", "second_moment"], reports.Select(r => r.Role).Distinct());
        Assert.Equal([ElementFormat.BF16, ElementFormat.E5M2], reports.Select(r => r.Format).Distinct());
    }

    /// <summary>File, picture, line and metrics of states are those of every cast.</summary>
    [Fact]
    public void StatesAreInTheFileThePictureTheLineAndTheMetrics()
    {
        HashSet<(string? Tensor, string? Role, string? Format)> heard = [];
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Meter.Name == NumericsMetrics.MeterName)
            {
                l.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) =>
        {
            var named = new Dictionary<string, object?>(tags.ToArray());
            lock (heard)
            {
                heard.Add(((string?)named["tensor"], (string?)named["role"], (string?)named.GetValueOrDefault("format")));
            }
        });
        listener.Start();
        IReadOnlyList<CastReport> reports = Train("states", "Fp8LmO2", Options).Casts;
        string folder = Folder("written");
        Write(folder, 0, reports);
        string[] lines = File.ReadAllLines(Path.Combine(folder, "numerics.csv"));
        string picture = File.ReadAllText(Path.Combine(folder, "numerics.svg"));
        foreach ((string role, ElementFormat format) in ((string, ElementFormat)[])[("master", ElementFormat.F16), ("first_moment", ElementFormat.E4M3), ("second_moment", ElementFormat.F16)])
        {
            Assert.Contains(lines, l => l.StartsWith($"6,layers.*.up,1,{role},{format},2048,0,", StringComparison.Ordinal));
            Assert.Contains($">{role} {format}</text>", picture, StringComparison.Ordinal);
            Assert.Contains(("layers.*.up", role, format.ToString()), heard);
        }

        CastReport worst = reports.First(r => r.Role == "first_moment") with { Numerics = new TensorNumerics(10, 0, 9, 8, 1, 1, 0.9) };
        string line = CommandLine.NumericsLine.Of([.. reports.Where(r => r.Step == worst.Step), worst]);
        Assert.Contains($"lowest SNR 0.5 dB ({worst.Tensor} first_moment)", line, StringComparison.Ordinal);
        Assert.Contains($"underflow up to 90 % ({worst.Tensor} first_moment)", line, StringComparison.Ordinal);
    }
}
