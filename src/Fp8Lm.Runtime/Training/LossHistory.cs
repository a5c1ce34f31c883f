using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;

namespace Fp8Lm.Training;

/// <summary>
/// The loss of every step, as <c>loss.csv</c> (one line a step, written as it happens) and <c>loss.svg</c> (for the eye) in the folder of the run;
/// in recipes with loss scaling also <c>loss_scale.csv</c>, the scale of every step.
/// A resumed run keeps the lines up to its first step.
/// </summary>
public sealed class LossHistory : IDisposable
{
    private const string Header = "step,train_loss,learning_rate,gradient_norm,tokens,seconds";
    private const string ValidationHeader = "step,val_loss";
    private const string ScaleHeader = "step,loss_scale";

    private readonly List<(long Step, double Loss)> training = [];
    private readonly List<(long Step, double Loss)> validation = [];
    private readonly string folder;
    private readonly string chart;
    private StreamWriter steps;
    private StreamWriter evaluations;
    private StreamWriter? scales;
    private long scaleSteps;

    /// <summary>Opens the history of a folder.</summary>
    /// <param name="folder">The folder of the run.</param>
    /// <param name="completedSteps">Steps that are done already; later lines are dropped, 0 starts afresh.</param>
    public LossHistory(string folder, long completedSteps)
    {
        this.folder = folder;
        (steps, evaluations) = Open(completedSteps);
        scaleSteps = completedSteps;
        chart = Path.Combine(folder, "loss.svg");
    }

    /// <summary>Loss of the steps, in order.</summary>
    public IReadOnlyList<(long Step, double Loss)> Training => training;

    /// <summary>Path of the picture.</summary>
    public string ChartPath => chart;

    /// <summary>Adds a step.</summary>
    public void Add(StepReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        training.Add((report.Step, report.Loss));
        steps.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Step},{report.Loss:R},{report.LearningRate:R},{report.GradientNorm:R},{report.Tokens},{report.Seconds:F3}"));
        if (report.LossScale is { } scale)
        {
            scales ??= Open(Path.Combine(folder, "loss_scale.csv"), ScaleHeader, scaleSteps, []);
            scales.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{report.Step},{scale:R}"));
        }
    }

    /// <summary>Adds an evaluation.</summary>
    public void AddEvaluation(long step, double loss)
    {
        validation.RemoveAll(v => v.Step == step);
        validation.Add((step, loss));
        evaluations.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{step},{loss:R}"));
    }

    /// <summary>Drops what lies behind a step: training went back to it.</summary>
    public void Rewind(long completedSteps)
    {
        Dispose();
        training.Clear();
        validation.Clear();
        (steps, evaluations) = Open(completedSteps);
        (scales, scaleSteps) = (null, completedSteps);
    }

    /// <summary>Draws <c>loss.svg</c>.</summary>
    public void WriteChart(string title) => Checkpoints.AtomicFile.WriteText(chart, LossChart.Svg(title, training, validation));

    /// <inheritdoc/>
    public void Dispose()
    {
        steps.Dispose();
        evaluations.Dispose();
        scales?.Dispose();
    }

    private (StreamWriter Steps, StreamWriter Evaluations) Open(long completedSteps) =>
        (Open(Path.Combine(folder, "loss.csv"), Header, completedSteps, training), Open(Path.Combine(folder, "val_loss.csv"), ValidationHeader, completedSteps, validation));

    private static StreamWriter Open(string path, string header, long completedSteps, List<(long Step, double Loss)> kept)
    {
        var lines = new List<string> { header };
        if (completedSteps > 0 && File.Exists(path))
        {
            foreach (string line in File.ReadLines(path).Skip(1))
            {
                string[] cells = line.Split(',');
                if (cells.Length == header.Split(',').Length
                    && long.TryParse(cells[0], NumberStyles.None, CultureInfo.InvariantCulture, out long step) && step <= completedSteps
                    && double.TryParse(cells[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double loss))
                {
                    lines.Add(line);
                    kept.Add((step, loss));
                }
            }
        }

        Checkpoints.AtomicFile.WriteText(path, string.Join('\n', lines) + "\n");
        return new StreamWriter(path, append: true) { AutoFlush = true, NewLine = "\n" };
    }
}
