using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Text.Json;
using Fp8Lm.Training;

namespace Fp8Lm.LossCurves;

/// <summary>Keeps loss and gradient norm of every step and writes them with the fields of <c>peers/curve_peer.py</c>.</summary>
internal sealed class CurveRecorder(string who) : ITrainingObserver
{
    private const int MessageInterval = 50;
    private readonly List<StepReport> steps = [];
    private readonly long began = Stopwatch.GetTimestamp();

    public void OnStep(StepReport report)
    {
        steps.Add(report);
        if (report.Step == 1 || report.Step % MessageInterval == 0)
        {
            OnMessage(FormattableString.Invariant($"step {report.Step}: {report.Loss:F4}, norm {report.GradientNorm:F3}"));
        }
    }

    public void OnEvaluation(long step, double loss)
    {
    }

    public void OnCheckpoint(string path)
    {
    }

    public void OnMessage(string message) => Console.Error.WriteLine(FormattableString.Invariant($"{who}: {message} ({Stopwatch.GetElapsedTime(began).TotalSeconds:F0} s)"));

    /// <summary>Writes the file in which the comparison looks for the run.</summary>
    public void Save(string folder, string mode, ulong seed, string device)
    {
        using FileStream file = File.Create(Path.Combine(folder, FormattableString.Invariant($"run-fp8lm-{mode}-{seed}.json")));
        using var w = new Utf8JsonWriter(file);
        w.WriteStartObject();
        w.WriteString("who", "fp8lm");
        w.WriteString("mode", mode);
        w.WriteNumber("seed", seed);
        w.WriteNumber("batches", seed);
        w.WriteString("device", device);
        w.WriteString("version", typeof(Trainer).Assembly.GetName().Version!.ToString(3));
        w.WriteNumber("seconds", Math.Round(Stopwatch.GetElapsedTime(began).TotalSeconds, 1));
        Array(w, "loss", r => r.Loss);
        Array(w, "norm", r => r.GradientNorm);
        w.WriteEndObject();
    }

    private void Array(Utf8JsonWriter w, string name, Func<StepReport, double> value)
    {
        w.WriteStartArray(name);
        foreach (StepReport step in steps)
        {
            w.WriteNumberValue(Math.Round(value(step), 6));
        }

        w.WriteEndArray();
    }
}
