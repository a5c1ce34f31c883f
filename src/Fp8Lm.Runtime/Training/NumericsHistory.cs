using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>
/// Numerics of the casts of sampled steps, as <c>numerics.csv</c> (a line a tensor, written when the step is complete) and <c>numerics.svg</c> (for the eye) in the
/// folder of the run. A resumed run keeps the lines up to its first step, so that no step is there twice, and a line that a kill has cut is not kept.
/// </summary>
public sealed class NumericsHistory : IDisposable
{
    private const string Header = "step,tensor,layer,role,format,elements,non_finite,underflow,saturated,amax,snr_db,scale";

    private readonly List<CastReport> reports = [];
    private readonly string path;
    private readonly string title;
    private StreamWriter writer;

    /// <summary>Opens the history of a folder.</summary>
    /// <param name="folder">The folder of the run.</param>
    /// <param name="title">Title of the picture.</param>
    /// <param name="completedSteps">Steps that are done already; later lines are dropped, 0 starts afresh.</param>
    public NumericsHistory(string folder, string title, long completedSteps)
    {
        this.title = title;
        path = Path.Combine(folder, "numerics.csv");
        ChartPath = Path.Combine(folder, "numerics.svg");
        writer = Open(completedSteps);
    }

    /// <summary>Reports in the order of their steps. Of those read from the file, sums of squares have the ratio that they had and a signal of 1.</summary>
    public IReadOnlyList<CastReport> Reports => reports;

    /// <summary>Path of the picture.</summary>
    public string ChartPath { get; }

    /// <summary>Whether <paramref name="folder"/> has a history.</summary>
    public static bool Exists(string folder) => File.Exists(Path.Combine(folder, "numerics.csv"));

    /// <summary>Adds the reports of a step, in one write.</summary>
    public void Add(IReadOnlyList<CastReport> step)
    {
        ArgumentNullException.ThrowIfNull(step);
        reports.AddRange(step);
        var lines = new StringBuilder();
        foreach (CastReport report in step)
        {
            lines.Append(Line(report)).Append('\n');
        }

        writer.Write(lines);
        writer.Flush();
    }

    /// <summary>Drops what lies behind a step: training went back to it.</summary>
    public void Rewind(long completedSteps)
    {
        writer.Dispose();
        reports.Clear();
        writer = Open(completedSteps);
    }

    /// <summary>Draws <c>numerics.svg</c>.</summary>
    public void WriteChart() => Checkpoints.AtomicFile.WriteText(ChartPath, NumericsChart.Svg(title, reports));

    /// <inheritdoc/>
    public void Dispose() => writer.Dispose();

    private static string Line(CastReport report) => string.Create(
        CultureInfo.InvariantCulture,
        $"{report.Step},{report.Name},{(report.Layer < 0 ? "" : report.Layer)},{report.Role},{report.Format},{report.Numerics.Elements},{report.Numerics.NonFinite},{report.Numerics.UnderflowShare:R},{report.Numerics.SaturatedShare:R},{report.Numerics.Amax:R},{Number(report.Numerics.SignalToNoise)},{Number(report.Scale)}");

    /// <summary>What is not known is an empty cell; an exact cast has infinite dB.</summary>
    private static string Number(double value) => double.IsNaN(value) ? "" : double.IsPositiveInfinity(value) ? "inf" : value.ToString("R", CultureInfo.InvariantCulture);

    private StreamWriter Open(long completedSteps)
    {
        var lines = new List<string> { Header };
        if (completedSteps > 0 && File.Exists(path))
        {
            foreach (string line in File.ReadLines(path).Skip(1))
            {
                if (Parse(line) is { } report && report.Step <= completedSteps)
                {
                    lines.Add(line);
                    reports.Add(report);
                }
            }
        }

        Checkpoints.AtomicFile.WriteText(path, string.Join('\n', lines) + "\n");
        return new StreamWriter(path, append: true) { NewLine = "\n" };
    }

    private static CastReport? Parse(string line)
    {
        string[] cells = line.Split(',');
        if (cells.Length != Header.Split(',').Length
            || !long.TryParse(cells[0], NumberStyles.None, CultureInfo.InvariantCulture, out long step)
            || !Enum.TryParse(cells[4], out ElementFormat format)
            || !long.TryParse(cells[5], NumberStyles.None, CultureInfo.InvariantCulture, out long elements)
            || !long.TryParse(cells[6], NumberStyles.None, CultureInfo.InvariantCulture, out long nonFinite)
            || !Float(cells[7], out double underflow) || !Float(cells[8], out double saturated) || !Float(cells[9], out double amax)
            || !Float(cells[10], out double snr) || !Float(cells[11], out double scale))
        {
            return null;
        }

        int layer = int.TryParse(cells[2], NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1;
        var numerics = new TensorNumerics(
            elements, nonFinite, (long)Math.Round(underflow * elements), (long)Math.Round(saturated * elements), amax, double.IsNaN(snr) ? 0 : 1, double.IsNaN(snr) ? 0 : Math.Pow(10, -snr / 10));
        return new CastReport(step, cells[1], cells[3], layer, format, numerics, (float)scale);
    }

    private static bool Float(string cell, out double value)
    {
        value = cell.Length == 0 ? double.NaN : double.PositiveInfinity;
        return cell is "" or "inf" || double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, out value);
    }
}
