using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using Fp8Lm.Cuda;
using Fp8Lm.Training;

namespace Fp8Lm.GpuBench;

/// <summary>
/// <c>Fp8Lm.GpuBench [-n 20] [--profile] case:part:recipe:micro_batch ...</c>: speed of the sample GPT on a GPU, one JSON line per case with the fields of
/// <c>peers/gpt_peer.py</c>; with <c>--profile</c> one more per kernel. An earlier measurement in a process warms nothing for a later one but the disk cache.
/// </summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        int steps = 20;
        bool profile = false;
        List<BenchCase> cases = [];
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "-n":
                    steps = int.Parse(args[++i], CultureInfo.InvariantCulture);
                    break;
                case "--profile":
                    profile = true;
                    break;
                default:
                    cases.Add(BenchCase.Parse(args[i]));
                    break;
            }
        }

        if (CudaDevice.Find(out string problem) is not { } device)
        {
            Console.Error.WriteLine(problem);
            return 1;
        }

        int failures = 0;
        foreach (BenchCase bench in cases)
        {
            try
            {
                Run(bench, device, steps, profile);
            }
            catch (Exception failure) when (failure is CudaException or InsufficientMemoryException or TrainingException)
            {
                // One case's failure must not hide the others.
                failures++;
                Print(w => Head(w, bench, "error", failure.Message));
            }
        }

        return failures;
    }

    private static void Run(BenchCase bench, CudaDevice device, int steps, bool profile)
    {
        using var measurement = new Measurement(bench, device);
        double start = (DateTime.Now - Process.GetCurrentProcess().StartTime).TotalSeconds;
        IReadOnlyList<double> times = measurement.Time(steps);
        double median = times[times.Count / 2];
        double tokens = bench.MicroBatch * bench.Shape.Sequence;
        double trainer = bench.Trains ? measurement.TrainerRate(steps) : 0;
        Print(w =>
        {
            Head(w, bench, "gpu", measurement.Gpu);
            w.WriteNumber("layers", bench.Shape.Layers);
            w.WriteNumber("d", bench.Shape.Width);
            w.WriteNumber("heads", bench.Shape.Heads);
            w.WriteNumber("seq", bench.Shape.Sequence);
            w.WriteNumber("micro_batch", bench.MicroBatch);
            w.WriteNumber("params", bench.Parameters);
            w.WriteNumber("ms", Math.Round(median, 3));
            w.WriteNumber("ms_min", Math.Round(times[0], 3));
            w.WriteNumber("ms_max", Math.Round(times[^1], 3));
            w.WriteNumber("tokens_per_s", Math.Round(tokens / median * 1e3));
            w.WriteNumber("tflops", Math.Round(bench.FlopsPerToken * tokens / median / 1e9, 1));
            w.WriteNumber("peak_gib", Gibibytes(measurement.UsedBytes));
            w.WriteNumber("plan_gib", Gibibytes(measurement.Plan.TotalBytes));
            w.WriteNumber("context_s", Math.Round(measurement.ContextSeconds, 2));
            w.WriteNumber("session_s", Math.Round(measurement.SessionSeconds, 2));
            w.WriteNumber("start_s", Math.Round(measurement.StartSeconds, 2));
            w.WriteNumber("first_step_s", Math.Round(measurement.FirstStepSeconds, 2));
            w.WriteNumber("since_process_start_s", Math.Round(start, 2));
            if (trainer > 0)
            {
                w.WriteNumber("trainer_tokens_per_s", Math.Round(trainer));
            }

            w.WriteString("fp8lm", typeof(CudaDevice).Assembly.GetName().Version!.ToString(3));
        });
        if (profile)
        {
            foreach (KernelCost cost in measurement.Profile())
            {
                Print(w => Profile(w, bench, cost));
            }
        }
    }

    private static void Profile(Utf8JsonWriter w, BenchCase bench, KernelCost cost)
    {
        Head(w, bench, "kernel", cost.Name);
        w.WriteNumber("calls", Math.Round(cost.Calls, 1));
        w.WriteNumber("step_ms", Math.Round(cost.StepSeconds * 1e3, 3));
        w.WriteNumber("us", Math.Round(cost.CallSeconds * 1e6, 1));
        if (cost.Flops > 0)
        {
            w.WriteNumber("gflop", Math.Round(cost.Flops * 1e-9, 2));
            w.WriteNumber("tflops", Math.Round(cost.Flops / cost.CallSeconds * 1e-12, 1));
        }

        if (cost.Bytes > 0)
        {
            w.WriteNumber("mb", Math.Round(cost.Bytes * 1e-6, 2));
            w.WriteNumber("gb_per_s", Math.Round(cost.Bytes / cost.CallSeconds * 1e-9));
        }
    }

    private static double Gibibytes(long bytes) => Math.Round(bytes / (double)(1 << 30), 2);

    private static void Head(Utf8JsonWriter w, BenchCase bench, string key, string value)
    {
        w.WriteString("case", bench.Name);
        w.WriteString("part", bench.Part);
        w.WriteString("mode", bench.Recipe);
        w.WriteString(key, value);
    }

    private static void Print(Action<Utf8JsonWriter> write)
    {
        using var line = new MemoryStream();
        using (var w = new Utf8JsonWriter(line))
        {
            w.WriteStartObject();
            write(w);
            w.WriteEndObject();
        }

        Console.WriteLine(System.Text.Encoding.UTF8.GetString(line.ToArray()));
    }
}
