using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;
using Fp8Lm.Collectives;
using Fp8Lm.Cpu;
using Fp8Lm.Data;

namespace Fp8Lm.ScalingBench;

/// <summary>
/// Figure 7 of FP8-LM: trains a small GPT on simulated replicas with FP8 gradient reduction and automatic scaling, and when mu has settled measures every
/// way to keep the sum in range on the same gradients. Writes JSON lines and an SVG.
/// </summary>
internal static class Program
{
    private const int MuInterval = 25;

    private static readonly (string Name, GradientSum Sum, ReductionOrder Order)[] sums =
    [
        ("ring", GradientSum.Fp8, ReductionOrder.Ring),
        ("tree", GradientSum.Fp8, ReductionOrder.Tree),
        ("exchange", GradientSum.ExchangeF32, ReductionOrder.Ring),
    ];

    private static readonly JsonSerializerOptions format = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        try
        {
            Options options = Options.Parse(args);
            if (!options.Redraw)
            {
                using StreamWriter results = File.CreateText(options.Results);
                results.AutoFlush = true;
                Run(options, results);
            }

            Draw(options);
            return 0;
        }
        catch (Exception wrong) when (wrong is ArgumentException or DataException or IOException)
        {
            Console.Error.WriteLine(wrong.Message);
            return 1;
        }
    }

    private static void Run(Options options, StreamWriter results)
    {
        using var pool = new CpuPool();
        (string Name, AutomaticScalingOptions Options)[] automatic =
        [
            ("Automatic, 1e-3", new() { DoublingSteps = options.Doubling, Threshold = 1e-3 }),
            ("Automatic", new() { DoublingSteps = options.Doubling }),
        ];
        using var training = new ReplicaTraining(options, new GradientReductionOptions { Automatic = automatic[^1].Options }, pool);
        var statistics = new ScalingStatistics(training.Linears);

        // The last one trains.
        (string Name, GradientReducer Reducer)[] settled =
            [.. options.Replicas.SelectMany(n => automatic.Select(a => (a.Name, Reducer(n, GradientScaling.Automatic, sums[0], a.Options)))).SkipLast(1), (automatic[^1].Name, training.Reducer)];
        long start = Stopwatch.GetTimestamp();
        for (int step = 1; step <= options.Steps; step++)
        {
            double loss = training.ComputeGradients(step);
            if (options.IsMeasured(step))
            {
                Measure();
            }

            foreach ((_, GradientReducer reducer) in settled.SkipLast(1))
            {
                Reduce(reducer);
            }

            training.Optimize();
            if (step % MuInterval == 0 || step == 1)
            {
                foreach ((string name, GradientReducer reducer) in settled)
                {
                    double[] mu = [.. training.Linears.Select((l, t) => (l.Layer, Log: Math.Log2(reducer.Factors[t]))).GroupBy(m => m.Layer).Select(g => Math.Round(Math.Pow(2, g.Average(m => m.Log)), 5))];
                    Write(new JsonObject { ["kind"] = "mu", ["step"] = step, ["loss"] = Math.Round(loss, 4), ["replicas"] = reducer.Layout.Ranks, ["scaling"] = name, ["mu_by_block"] = JsonSerializer.SerializeToNode(mu) });
                }

                Console.Error.WriteLine($"step {step}: loss {loss:F3}, {Stopwatch.GetElapsedTime(start).TotalSeconds:F0} s");
            }
        }

        Write(new JsonObject
        {
            ["kind"] = "run", ["model"] = "TinyGpt", ["recipe"] = "Fp32", ["layers"] = options.Layers, ["width"] = options.Width, ["sequence"] = options.Sequence,
            ["micro_batch"] = 1, ["parameters"] = training.ParameterCount, ["fp8_elements"] = training.Tensors.Sum(t => t.Elements), ["data"] = training.Data, ["seed"] = options.Seed,
            ["steps"] = options.Steps, ["mu_doubling_steps"] = options.Doubling, ["mu_threshold"] = automatic[^1].Options.Threshold, ["measured_steps"] = options.Measured,
            ["seconds"] = Math.Round(Stopwatch.GetElapsedTime(start).TotalSeconds), ["workers"] = pool.Workers,
        });
        foreach (Row row in statistics.Rows())
        {
            JsonObject line = JsonSerializer.SerializeToNode(row, format)!.AsObject();
            line.Insert(0, "kind", "block");
            Write(line);
        }

        // Every way on the gradients of this step; automatic scaling with the mu that training has reached.
        void Measure()
        {
            foreach ((string Name, GradientSum Sum, ReductionOrder Order) sum in sums)
            {
                foreach (int replicas in options.Replicas)
                {
                    foreach (GradientScaling scaling in (ReadOnlySpan<GradientScaling>)[GradientScaling.PreScaling, GradientScaling.PostScaling, GradientScaling.InverseSquareRoot])
                    {
                        Add(scaling.ToString(), Reducer(replicas, scaling, sum, null));
                    }
                }

                foreach ((string name, GradientReducer reached) in settled)
                {
                    GradientReducer reducer = Reducer(reached.Layout.Ranks, GradientScaling.Automatic, sum, null);
                    reducer.Restore(reached.Save());
                    Add(name, reducer);
                }

                void Add(string name, GradientReducer reducer)
                {
                    reducer.Measure = true;
                    statistics.Add(reducer.Layout.Ranks, name, sum.Name, Reduce(reducer));
                }
            }
        }

        GradientReducer Reducer(int replicas, GradientScaling scaling, (string Name, GradientSum Sum, ReductionOrder Order) sum, AutomaticScalingOptions? knobs) => new(
            new GradientLayout(training.Tensors, replicas), new SimulatedReplicas(replicas, sum.Order, pool),
            new GradientReductionOptions { Scaling = scaling, Sum = sum.Sum, Automatic = knobs ?? new() }, pool);

        IReadOnlyList<ReductionNumerics> Reduce(GradientReducer reducer)
        {
            for (int replica = 0; replica < reducer.Layout.Ranks; replica++)
            {
                for (int t = 0; t < training.Linears.Count; t++)
                {
                    reducer.Cast(replica, t, training.Gradient(replica, t));
                }
            }

            return reducer.Reduce();
        }

        void Write(JsonObject line) => results.WriteLine(line.ToJsonString());
    }

    private static void Draw(Options options)
    {
        List<JsonObject> lines = [.. File.ReadLines(options.Results).Select(l => JsonNode.Parse(l)!.AsObject())];
        Row[] rows = [.. lines.Where(l => (string?)l["kind"] == "block").Select(l => l.Deserialize<Row>(format)!)];
        JsonObject run = lines.Find(l => (string?)l["kind"] == "run")
            ?? throw new ArgumentException($"{options.Results} has no line of kind \"run\": the run that wrote it was not finished.");
        string title = $"Gradients of TinyGpt ({run["layers"]} blocks, width {run["width"]}) in E4M3 over N replicas, by transformer block; mean of {run["measured_steps"]} steps up to step {run["steps"]}";
        File.WriteAllText(options.Chart, ScalingChart.Svg(title, rows));
    }
}
