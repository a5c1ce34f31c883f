using System;
using System.Collections.Generic;
using Fp8Lm.Collectives;
using Fp8Lm.Numerics;
using Fp8Lm.Training;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary>Shows training: a live line in a terminal, about twenty plain lines when the output goes to a file.</summary>
internal sealed class ConsoleProgress(IAnsiConsole console, long steps) : ITrainingObserver
{
    private const int PlainLines = 20;

    private ProgressTask? task;
    private long firstStep = -1;

    /// <summary>Where losses are kept.</summary>
    public LossHistory? History { get; set; }

    /// <summary>Where numerics of casts are kept; null: nowhere.</summary>
    public NumericsHistory? Numerics { get; set; }

    /// <summary>Runs training with the display around it.</summary>
    public T Show<T>(Func<T> train)
    {
        if (!console.Profile.Capabilities.Interactive || !console.Profile.Capabilities.Ansi || Console.IsOutputRedirected)
        {
            return train();
        }

        return console.Progress().AutoClear(true).Columns(new ProgressBarColumn(), new TaskDescriptionColumn { Alignment = Justify.Left }).Start(context =>
        {
            task = context.AddTask("starting", maxValue: Math.Max(1, steps));
            try
            {
                return train();
            }
            finally
            {
                task = null;
            }
        });
    }

    public void OnStep(StepReport report)
    {
        History?.Add(report);
        firstStep = firstStep < 0 ? report.Step : firstStep;
        string left = Units.Duration(report.Seconds / (report.Step - firstStep + 1) * (steps - report.Step));
        string scale = report.LossScale is { } value ? FormattableString.Invariant($"loss scale {value}  ") : "";
        string text = FormattableString.Invariant($"step {report.Step}/{steps}  loss {report.Loss:F4}  {scale}{report.TokensPerSecond:F0} tokens/s  {left} left");
        if (task is not null)
        {
            task.Value = report.Step;
            task.Description = text;
        }
        else if (report.Step % Math.Max(1, steps / PlainLines) == 0 || report.Step == steps || report.Step == firstStep)
        {
            console.WriteLine(text);
        }
    }

    public void OnReduction(long step, IReadOnlyList<ReductionNumerics> numerics) => console.WriteLine(ReductionLine.Of(step, numerics));

    public void OnNumerics(IReadOnlyList<CastReport> reports)
    {
        Numerics?.Add(reports);
        console.WriteLine(NumericsLine.Of(reports));
    }

    public void OnEvaluation(long step, double loss)
    {
        History?.AddEvaluation(step, loss);
        console.WriteLine(FormattableString.Invariant($"step {step}/{steps}  held-out loss {loss:F4}"));
    }

    public void OnCheckpoint(string path)
    {
        // The last one is announced at the end; the others would be noise. A run that is killed later leaves the picture up to here.
        Numerics?.WriteChart();
    }

    public void OnRewind(Rewind rewind)
    {
        History?.Rewind(rewind.Checkpoint);
        Numerics?.Rewind(rewind.Checkpoint);
    }

    public void OnMessage(string message) => console.WriteLine(message);
}
