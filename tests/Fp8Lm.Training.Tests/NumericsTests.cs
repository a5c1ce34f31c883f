using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using System.Xml.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Numerics of casts in a compiled model: what is counted is true, changes nothing, and can be looked at.</summary>
public sealed class NumericsTests : IDisposable
{
    private static readonly TrainerOptions Options = new()
    {
        Steps = 9, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 2, NumericsInterval = 3,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>
    /// Every launch that casts, with scales that fit, that are far too small and far too large: elements, saturation and NaN as the bytes show them; where the kernel has the value
    /// in its sources, everything as a look at each value and its byte gives it; in products, whose results are hardly ever exactly zero, a zero byte is an underflow.
    /// </summary>
    [Theory]
    [InlineData("TransformerEngine", 1f)]
    [InlineData("TransformerEngine", 1f / 16384)]
    [InlineData("TransformerEngine", 16384f)]
    [InlineData("TransformerEngineCurrent", 1f)]
    [InlineData("Fp8LmO2", 1f)]
    [InlineData("Fp8LmO2", 16384f)]
    [InlineData("CurrentGradients", 1f)]
    [InlineData("CurrentGradients", 16384f)]
    [InlineData("BlockScaled", 1f)]
    [InlineData("Rowwise", 1f)]
    public void CountsAreThoseOfTheBytes(string recipe, float factor)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        var counting = new CountingSession(session);
        Prepare(session);
        float[] scales = session.Read<float>(session.ScaleArena, session.ScaleSlots);
        session.Write<float>([.. scales.Select(s => s * factor)], session.ScaleArena);
        session.Write<float>([.. scales.Select(s => 1 / (s * factor))], session.ScaleInverseArena);
        using (CastCounting.Begin(session, counts: true))
        {
            session.Plan.Program.CastWeights(counting);
            session.ClearGradients();
            session.Plan.Program.TrainMicroBatch(counting);
        }

        int products = 0, known = 0;
        foreach (CountedLaunch launch in counting.Launches)
        {
            byte largest = launch.Format == ElementFormat.E4M3 ? (byte)0x7E : (byte)0x7B;
            TensorNumerics counted = launch.Counted;
            bool whole = counted.Elements + counted.NonFinite == launch.Codes.Length;
            Assert.True(whole || launch.Codes.Length % (counted.Elements + counted.NonFinite) == 0, $"{launch.Kernel.Name}: {counted.Elements} of {launch.Codes.Length} elements");
            if (!whole)
            {
                continue;
            }

            Assert.Equal(launch.Codes.Count(c => (c & 0x7F) == largest), counted.Saturated);
            Assert.InRange(counted.Underflow, 0, launch.Codes.Count(c => (c & 0x7F) == 0));
            if (launch.Source is { } values && launch.Scale > 0)
            {
                TensorNumerics expected = TensorNumerics.Measure(values, launch.Codes, launch.Format, launch.Scale);
                Assert.Equal((expected.Elements, expected.NonFinite, expected.Underflow, expected.Saturated, expected.Amax), (counted.Elements, counted.NonFinite, counted.Underflow, counted.Saturated, launch.Amax));
                Assert.InRange(counted.Signal, expected.Signal * (1 - 1e-5), expected.Signal * (1 + 1e-5));
                Assert.InRange(counted.Noise, expected.Noise * (1 - 1e-5), expected.Noise * (1 + 1e-5));
                known++;
            }

            if (launch.Kernel.Kind == KernelKind.Gemm)
            {
                // With scales that fit hardly a sum is exactly zero; with others operands have so few values that many are.
                Assert.InRange(launch.Codes.Count(c => (c & 0x7F) == 0) - counted.Underflow, 0, factor == 1f ? launch.Codes.Length / 500 : launch.Codes.Length);
                products++;
                double stored = launch.Codes.Sum(c => Math.Pow((launch.Format == ElementFormat.E4M3 ? E4M3.ToSingle(c) : E5M2.ToSingle(c)) / launch.Scale, 2));
                Assert.True(factor != 1f || Math.Abs(stored - counted.Signal) < 0.02 * counted.Signal, $"{launch.Kernel.Name}: {stored} and {counted.Signal}");
                Assert.True(factor != 1f || counted.SignalToNoise is > 20 and < 40, $"{launch.Kernel.Name}: {counted.SignalToNoise} dB");
            }
        }

        // Casts of these are in epilogues, or read masters that are not F32.
        bool grouped = session.ScaleSlots == 0, current = recipe == "TransformerEngineCurrent", hidden = recipe == "Fp8LmO2";
        Assert.True(counting.Launches.Count >= 20, $"{counting.Launches.Count} launches");
        Assert.True(grouped || current || products >= (hidden ? 10 : 2), $"{products} casts in epilogues of products");
        Assert.True(grouped || hidden || known >= 4, $"{known} casts of known values");
        TensorNumerics all = counting.Launches.Select(l => l.Counted).Aggregate((a, b) => a + b);
        Assert.True(factor >= 1f || all.UnderflowShare > 0.05, $"underflow {all.UnderflowShare}");
        Assert.True(factor <= 1f || all.SaturatedShare > 0.2, $"saturated {all.SaturatedShare}");
    }

    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("BlockScaled")]
    [InlineData("Fp8LmO3")]
    [InlineData("Coat")]
    [InlineData("Bf16States")]
    public void TheNumberOfWorkersDoesNotMatter(string recipe)
    {
        byte[] Statistics(int workers)
        {
            using CpuPool pool = new(workers);
            using CpuSession session = Session(recipe, pool);
            Prepare(session);
            using (CastCounting.Begin(session, counts: true))
            {
                session.ClearGradients();
                session.WriteState(OneStep(session));
                session.Plan.Program.TrainMicroBatch(session);
                session.Plan.Program.Optimize(session);
            }

            return session.Read<byte>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots * System.Runtime.CompilerServices.Unsafe.SizeOf<CastStatistics>());
        }

        byte[] one = Statistics(1);
        Assert.Contains(one, b => b != 0);
        Assert.Equal(one, Statistics(3));
    }

    /// <summary>Every slot of a family that a kernel fills has a report, and what is not finite is in it.</summary>
    [Fact]
    public void AnInfiniteWeightIsCounted()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("TransformerEngine", pool);
        Prepare(session);
        int parameter = Array.FindIndex(Drawn.Definition.Parameters, p => p.Name == "layers.*.up");
        float[] weights = session.ReadParameter(ArenaKind.Master, parameter, 1);
        (weights[3], weights[4], weights[5]) = (float.PositiveInfinity, float.NaN, 1e-30f);
        session.WriteParameter(ArenaKind.Master, parameter, 1, weights);
        using (CastCounting.Begin(session, counts: true))
        {
            session.Plan.Program.CastWeights(session);
        }

        IReadOnlyList<CastReport> reports = CastReport.Of(7, session.Plan, session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots));
        Assert.Equal(8, reports.Count);    // four weights of two layers, nothing else was cast
        CastReport up = reports.Single(r => r.Tensor == "layers.1.up");
        Assert.Equal((7, "weight", 1, ElementFormat.E4M3, 2, weights.Length - 2), (up.Step, up.Role, up.Layer, up.Format, up.Numerics.NonFinite, up.Numerics.Elements));
        Assert.True(up.Numerics.Underflow >= 1);
        Assert.True(double.IsFinite(up.Numerics.SignalToNoise));
        Assert.All(reports.Where(r => r != up), r => Assert.Equal(0, r.Numerics.NonFinite));
    }

    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("TransformerEngineCurrent")]
    [InlineData("Rowwise")]
    [InlineData("BlockScaled")]
    [InlineData("Fp8LmO1")]
    [InlineData("Fp8LmO2")]
    [InlineData("Fp8LmO3")]
    [InlineData("Coat")]
    [InlineData("GroupedO2")]
    [InlineData("Bf16Master")]
    [InlineData("Fp8Master")]
    [InlineData("Fp8SecondMoment")]
    [InlineData("Bf16States")]
    public void CountingChangesNoByte(string recipe)
    {
        RecordingObserver with = Train("with", recipe, Options), without = Train("without", recipe, Options with { NumericsInterval = 0 });

        Assert.Equal(File.ReadAllBytes(Checkpoint("without")), File.ReadAllBytes(Checkpoint("with")));
        Assert.Empty(without.Casts);
        Assert.Equal([3L, 6, 9], with.Casts.Select(r => r.Step).Distinct());
        CastReport[] step = [.. with.Casts.Where(r => r.Step == 3)];
        Assert.Equal(step.Length, step.Select(r => (r.Tensor, r.Role)).Distinct().Count());
        Assert.All(step.Where(r => IsSound(recipe, r)), r => Assert.True(r.Numerics.SignalToNoise is > 15 && r.Numerics.SignalToNoise < (r.Format == ElementFormat.F16 ? 80 : 60), r.ToString()));
        Assert.All(step, r => Assert.True(r.Numerics.Amax > 0 && r.Numerics.NonFinite == 0, r.ToString()));
        Assert.All(step.Where(r => r.Format == ElementFormat.F16), r => Assert.True(StateRoles.Contains(r.Role) && r.Numerics.SignalToNoise > 65, r.ToString()));
        foreach (string role in (string[])["input", "weight", "gradient", .. recipe.StartsWith("Fp8Lm", StringComparison.Ordinal) ? ["weight_gradient"] : Array.Empty<string>()])
        {
            // Two layers of four linears have that many tensors of each role.
            Assert.True(step.Count(r => r.Role == role) >= 8, $"{recipe}: {step.Count(r => r.Role == role)} of role {role}");
        }

        // A weight of 64 x 32, cast once a step; or before each of its two products in each of two micro-batches.
        long casts = step.Single(r => r is { Tensor: "layers.0.up", Role: "weight" }).Numerics.Elements / (64 * 32);
        bool perUse = recipe is "Fp8LmO1" or "Fp8LmO2" or "GroupedO2" or "Bf16Master" or "Fp8Master" or "Fp8SecondMoment";
        Assert.Equal(perUse ? 4 : recipe == "Fp8LmO3" ? 3 : 1, casts);
        bool groupedMoments = recipe is "Coat" or "GroupedO2";
        Assert.All(step, r => Assert.Equal(
            StateRoles.Contains(r.Role) ? groupedMoments && r.Role != "master" : recipe is "Rowwise" or "BlockScaled" && r.Role != "weight_gradient", float.IsNaN(r.Scale)));

        // What the optimizer stores, all of it and once; formats without a scale have the scale 1.
        Assert.Equal(States(recipe).Order(), step.Where(r => StateRoles.Contains(r.Role)).Select(r => (r.Tensor, r.Role, r.Format)).Order());
        Assert.All(step.Where(r => StateRoles.Contains(r.Role)), r => Assert.Equal(Elements(r.Name), r.Numerics.Elements));
        Assert.All(step.Where(r => r.Format == ElementFormat.BF16), r => Assert.Equal(1f, r.Scale));
    }

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

    private static long Elements(string parameter) => Drawn.Definition.Parameters.Single(p => p.Name == parameter).Elements(new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]));

    /// <summary>States that a recipe stores in fewer than 32 bits: masters of the layers' linears, and moments of every parameter.</summary>
    private static IEnumerable<(string Tensor, string Role, ElementFormat Format)> States(string recipe)
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

    /// <summary>With two steps on their way, reports belong to their steps.</summary>
    [Fact]
    public void QueuedStepsReportTheSame()
    {
        RecordingObserver once = Train("once", "TransformerEngine", Options with { NumericsInterval = 1 }), queued = Train("queued", "TransformerEngine", Options with { NumericsInterval = 1 }, queued: true);
        RecordingObserver some = Train("some", "TransformerEngine", Options with { NumericsInterval = 4 }, queued: true);

        Assert.NotEmpty(once.Casts);
        Assert.Equal(once.Casts, queued.Casts);
        Assert.Equal(once.Casts.Where(r => r.Step % 4 == 0), some.Casts);
    }

    /// <summary>A recipe without FP8 has nothing to count.</summary>
    [Fact]
    public void WithoutFp8NothingIsReported() => Assert.Empty(Train("bf16", "Bf16", Options).Casts);

    // ---- File and picture -------------------------------------------------------------------------------------------------------------

    [Fact]
    public void AResumedHistoryHasEveryStepOnceAndNoCutLine()
    {
        IReadOnlyList<CastReport> reports = Train("run", "TransformerEngine", Options with { NumericsInterval = 1 }).Casts;
        string straight = Folder("straight"), broken = Folder("broken");
        Write(straight, 0, reports);
        Write(broken, 0, reports.Where(r => r.Step <= 5));
        File.AppendAllText(Path.Combine(broken, "numerics.csv"), "6,layers.*.up,0,weight,E4");    // a kill in the middle of a line
        Write(broken, 3, reports.Where(r => r.Step > 3));

        Assert.Equal(File.ReadAllText(Path.Combine(straight, "numerics.csv")), File.ReadAllText(Path.Combine(broken, "numerics.csv")));
        Assert.Equal(1 + reports.Count, File.ReadAllLines(Path.Combine(straight, "numerics.csv")).Length);
        Assert.Equal(File.ReadAllText(Path.Combine(straight, "numerics.svg")), File.ReadAllText(Path.Combine(broken, "numerics.svg")));
    }

    /// <summary>Processes that die at random moments leave, together, the file of one that does not.</summary>
    [Fact]
    public async Task AKilledRunWritesTheSameFile()
    {
        string data = temporary["text.txt"];
        var words = new Random(5);
        await File.WriteAllTextAsync(data, string.Concat(Enumerable.Range(0, 4000).Select(_ => words.Next(1000) + " ")), TestContext.Current.CancellationToken);
        string Arguments(string run, int save) => string.Join(
            '\n', "--data", data, "--out", temporary[run], "--steps", "120", "--save-every", $"{save}", "--eval-every", "0", "--length", "0", "--device", "cpu", "--recipe", "TransformerEngine", "--numerics", "2", "--resume");
        async Task<string> Finish(string run, int save)
        {
            using Process child = KilledChild.Launch(KilledChild.ModelVariable, Arguments(run, save));
            string output = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            await child.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.Equal(0, child.ExitCode);
            return output;
        }

        string straight = await Finish("straight", save: 0);
        Assert.Contains("step 120  numerics: lowest SNR ", straight, StringComparison.Ordinal);
        var random = new Random(9);
        for (int life = 0; life < 3; life++)
        {
            using Process child = KilledChild.Launch(KilledChild.ModelVariable, Arguments("killed", save: 1));
            string? line;
            do
            {
                line = await child.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            }
            while (line is not null && !line.Contains("numerics:", StringComparison.Ordinal));

            await Task.Delay(random.Next(60), TestContext.Current.CancellationToken);
            Assert.False(child.HasExited, "the run ended before it could be killed");
            child.Kill();
            await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        await Finish("killed", save: 1);
        Assert.Equal(File.ReadAllText(Path.Combine(temporary["straight"], "numerics.csv")), File.ReadAllText(Path.Combine(temporary["killed"], "numerics.csv")));
        Assert.Equal(File.ReadAllText(Path.Combine(temporary["straight"], "numerics.svg")), File.ReadAllText(Path.Combine(temporary["killed"], "numerics.svg")));
        Assert.Equal(File.ReadAllBytes(Checkpoint("straight")), File.ReadAllBytes(Checkpoint("killed")));
    }

    [Fact]
    public void ARewoundHistoryDropsWhatLiesBehind()
    {
        IReadOnlyList<CastReport> reports = Train("run", "TransformerEngine", Options with { NumericsInterval = 1 }).Casts;
        using var history = new NumericsHistory(Folder("rewound"), "title", 0);
        history.Add([.. reports.Where(r => r.Step <= 2)]);
        history.Rewind(1);
        Assert.Equal([1L], history.Reports.Select(r => r.Step).Distinct());
        history.Add([.. reports.Where(r => r.Step == 2)]);
        Assert.Equal([1L, 2], history.Reports.Select(r => r.Step).Distinct());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(5000)]
    public void ThePictureHasACellForEveryLayerAndSample(int samples)
    {
        const int Layers = 12, Families = 2, Measures = 3;
        CastReport Report(int step, string name, string role, int layer) => new(
            step * 10, name, role, layer, ElementFormat.E4M3, new TensorNumerics(1000, 0, layer, step % 3, 1, 1, layer == 0 ? 0 : 1e-3), 1);
        CastReport[] reports =
        [
            .. from step in Enumerable.Range(1, samples) from layer in Enumerable.Range(0, Layers) select Report(step, "blocks.*.a<b", "input", layer),
            .. from step in Enumerable.Range(1, samples) select Report(step, "head", "weight", -1),
        ];
        XDocument picture = XDocument.Parse(NumericsChart.Svg("a & b", reports));
        XElement[] cells = [.. picture.Descendants().Where(e => e.Attribute("class")?.Value == "cell")];
        int rows = Measures * (Layers + 1), columns = Math.Min(samples, NumericsChart.MostCells / rows);

        Assert.Equal(rows * columns, cells.Length);
        Assert.Equal(Families * Measures, cells.Select(c => c.Parent).Distinct().Count());
        Assert.Contains(picture.Descendants(), e => e.Value == "blocks.*.a<b");

        // More underflow is darker; a layer without any is as light as it gets, and every colour is one.
        XElement[] first = [.. cells.Where(c => c.Parent == cells[0].Parent && c.Attribute("x")!.Value == "0")];
        Assert.Equal("#fafafa", first[0].Attribute("fill")!.Value);
        Assert.True(Red(first[11]) < Red(first[1]) && Red(first[1]) < Red(first[0]));
        Assert.All(cells, c => Assert.Matches("^#[0-9a-f]{6}$", c.Attribute("fill")!.Value));

        static int Red(XElement cell) => Convert.ToInt32(cell.Attribute("fill")!.Value[1..3], 16);
    }

    [Fact]
    public void APictureOfNothingIsAPicture() => Assert.DoesNotContain("cell", NumericsChart.Svg("title", []), StringComparison.Ordinal);

    // ---- Metrics ----------------------------------------------------------------------------------------------------------------------

    [Fact]
    public void ListenersGetWhatIsReported()
    {
        List<(string Instrument, double Value, Dictionary<string, object?> Tags)> heard = [];
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Meter.Name == NumericsMetrics.MeterName)
            {
                l.EnableMeasurementEvents(instrument);
            }
        };
        void Hear(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            // Other tests train at the same time; this run alone has a tensor that is called so.
            lock (heard)
            {
                heard.Add((instrument.Name, value, new Dictionary<string, object?>(tags.ToArray())));
            }
        }

        listener.SetMeasurementEventCallback<double>((i, v, t, _) => Hear(i, v, t));
        listener.SetMeasurementEventCallback<long>((i, v, t, _) => Hear(i, v, t));
        listener.Start();
        var report = new CastReport(3, "metrics.*.test", "gradient", 4, ElementFormat.E5M2, new TensorNumerics(100, 2, 25, 10, 0.5, 1, 0.01), 64f);
        NumericsMetrics.Publish(report);
        NumericsMetrics.Publish(report with { Layer = -1, Scale = float.NaN });
        NumericsMetrics.Publish(new Collectives.ReductionNumerics("metrics.*.test", 100, 0.5, 0.25, 0.25, 3f, 0.75f, 8f, null));
        var mine = heard.Where(h => (string?)h.Tags["tensor"] == report.Name).ToList();

        Dictionary<string, double> cast = mine.Where(h => h.Tags.TryGetValue("layer", out object? layer) && (int)layer! == 4).ToDictionary(h => h.Instrument, h => h.Value);
        Assert.Equal(
            new Dictionary<string, double>
            {
                ["fp8lm.numerics.samples"] = 1, ["fp8lm.numerics.underflow"] = 0.25, ["fp8lm.numerics.saturated"] = 0.1, ["fp8lm.numerics.non_finite"] = 2,
                ["fp8lm.numerics.amax"] = 0.5, ["fp8lm.numerics.snr"] = 20, ["fp8lm.numerics.scale"] = 64,
            },
            cast);
        Assert.All(mine.Where(h => h.Tags.ContainsKey("layer")), h => Assert.Equal(("gradient", "E5M2"), ((string?)h.Tags["role"], (string?)h.Tags["format"])));
        Assert.DoesNotContain(mine, h => h.Instrument == "fp8lm.numerics.scale" && !h.Tags.ContainsKey("layer") && (string?)h.Tags["role"] == "gradient");
        Dictionary<string, double> reduction = mine.Where(h => (string?)h.Tags["role"] == NumericsMetrics.ReductionRole).ToDictionary(h => h.Instrument, h => h.Value);
        Assert.Equal((0.5, 0.25, 0.75, 8, 3), (reduction["fp8lm.numerics.underflow"], reduction["fp8lm.numerics.saturated"], reduction["fp8lm.numerics.mu"], reduction["fp8lm.numerics.scale"], reduction["fp8lm.numerics.amax"]));
    }

    // ---- Helpers ----------------------------------------------------------------------------------------------------------------------

    private string Folder(string name) => Directory.CreateDirectory(temporary[name]).FullName;

    private static void Write(string folder, long completed, IEnumerable<CastReport> reports)
    {
        using var history = new NumericsHistory(folder, "title", completed);
        foreach (IGrouping<long, CastReport> step in reports.GroupBy(r => r.Step))
        {
            history.Add([.. step]);
        }

        history.WriteChart();
    }

    private string Checkpoint(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    /// <summary>Weights, a batch, and scales that fit it.</summary>
    private static void Prepare(CpuSession session)
    {
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        int tokens = (int)session.Dims.Tokens;
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(i => i * 7 % 256)], session.Tokens);
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(i => i * 11 % 256)], session.Labels);
        session.Write<float>([.. Enumerable.Repeat(1f, tokens)], session.LabelWeights);
        session.WriteState(new StepState { LossScale = 1f / tokens, Training = 1 });
        session.Plan.Program.CastWeights(session);
        for (int pass = 0; pass < 2; pass++)
        {
            session.ClearGradients();
            session.Plan.Program.TrainMicroBatch(session);
            session.Plan.Program.UpdateScales(session);
            session.Plan.Program.CastWeights(session);
        }
    }

    /// <summary>A step that changes weights.</summary>
    private static StepState OneStep(Session session) => new()
    {
        LossScale = 1f / session.Dims.Tokens, Training = 1, LearningRate = 1e-2f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f,
        BiasCorrection2 = 0.142625f, MaxGradientNorm = 1f,
    };

    private static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);

    private RecordingObserver Train(string run, string recipe, TrainerOptions options, bool queued = false)
    {
        RecordingObserver observer = new();
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        using RunFolder folder = RunFolder.Open(temporary[run]);
        var trainer = new Trainer(
            Drawn.Definition, session.Plan.Program, queued ? new QueueingSession(session) : session, options, FakeModel.Data(sequence: 32), null, folder, observer);
        trainer.Start();
        trainer.Run(TestContext.Current.CancellationToken);
        return observer;
    }
}
