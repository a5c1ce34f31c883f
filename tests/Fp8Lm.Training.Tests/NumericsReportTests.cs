using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using System.Xml.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Where numerics can be looked at: the file, through kills and rewinds, the picture, the metrics.</summary>
public sealed class NumericsReportTests : NumericsRuns
{
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
        string data = Temporary["text.txt"];
        var words = new Random(5);
        await File.WriteAllTextAsync(data, string.Concat(Enumerable.Range(0, 4000).Select(_ => words.Next(1000) + " ")), TestContext.Current.CancellationToken);
        string Arguments(string run, int save) => string.Join(
            '\n', "--data", data, "--out", Temporary[run], "--steps", "120", "--save-every", $"{save}", "--eval-every", "0", "--length", "0", "--device", "cpu", "--recipe", "TransformerEngine", "--numerics", "2", "--resume");
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
        Assert.Equal(File.ReadAllText(Path.Combine(Temporary["straight"], "numerics.csv")), File.ReadAllText(Path.Combine(Temporary["killed"], "numerics.csv")));
        Assert.Equal(File.ReadAllText(Path.Combine(Temporary["straight"], "numerics.svg")), File.ReadAllText(Path.Combine(Temporary["killed"], "numerics.svg")));
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
}
