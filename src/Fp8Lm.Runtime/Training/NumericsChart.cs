using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Security;
using System.Text;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>
/// Draws the numerics of casts as heat maps: a panel per tensor and measure, layers from top to bottom, sampled steps from left to right. Where there are more
/// samples than columns, a column shows the worst of its steps.
/// </summary>
public static class NumericsChart
{
    /// <summary>Cells of a picture, about; more would make it slow to open.</summary>
    public const int MostCells = 40000;

    private const int Left = 230, Top = 64, PanelWidth = 300, Gap = 24, LayerHeight = 7, LeastHeight = 14, PanelGap = 22, LegendHeight = 44;
    private const string Nothing = "#e6e6e6";

    /// <summary>One column of panels.</summary>
    /// <param name="Title">Over the column.</param>
    /// <param name="Of">The measure.</param>
    /// <param name="Worse">Whether the first number is worse than the second.</param>
    /// <param name="Level">How bad a number is, from 0 (white) to 1.</param>
    /// <param name="Print">A number in words.</param>
    /// <param name="Hue">Red, green and blue of level 1.</param>
    /// <param name="Good">Legend at level 0.</param>
    /// <param name="Bad">Legend at level 1.</param>
    private sealed record Measure(
        string Title, Func<TensorNumerics, double> Of, Func<double, double, bool> Worse, Func<double, double> Level, Func<double, string> Print, (int Red, int Green, int Blue) Hue, string Good, string Bad);

    private static readonly Measure[] measures =
    [
        new("underflow to zero, share", n => n.UnderflowShare, (a, b) => a > b, Decades, v => Text($"{100 * v:G3} %"), (33, 76, 160), "1e-6 or less", "1"),
        new("saturated, share", n => n.SaturatedShare, (a, b) => a > b, Decades, v => Text($"{100 * v:G3} %"), (178, 34, 34), "1e-6 or less", "1"),
        new("signal to noise, dB", n => n.SignalToNoise, (a, b) => a < b, v => Math.Clamp((40 - v) / 40, 0, 1), v => Text($"{v:F1} dB"), (96, 40, 130), "40 dB or more", "0 dB"),
    ];

    /// <summary>The picture.</summary>
    /// <param name="title">Over everything.</param>
    /// <param name="reports">Reports of all sampled steps.</param>
    public static string Svg(string title, IReadOnlyList<CastReport> reports)
    {
        ArgumentNullException.ThrowIfNull(reports);
        long[] steps = [.. reports.Select(r => r.Step).Distinct().Order()];
        (string Name, string Role, int Layers, CastReport[] Reports)[] tensors =
        [
            .. reports.GroupBy(r => (r.Name, r.Role)).Select(g => (g.Key.Name, g.Key.Role, Math.Max(1, g.Max(r => r.Layer) + 1), (CastReport[])[.. g])),
        ];
        int rows = measures.Length * tensors.Sum(t => t.Layers);
        int columns = Math.Min(steps.Length, Math.Max(8, MostCells / Math.Max(1, rows)));
        Dictionary<long, int> columnOf = steps.Select((s, i) => (s, i)).ToDictionary(p => p.s, p => (int)((long)p.i * columns / steps.Length));
        int height = Top + tensors.Sum(t => Height(t.Layers) + PanelGap) + LegendHeight, width = Left + (measures.Length * (PanelWidth + Gap));
        var svg = new StringBuilder();
        Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">");
        Append($"<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
        Append($"<text x=\"12\" y=\"24\" font-size=\"15\">{SecurityElement.Escape(title)}</text>");
        string span = steps.Length == 0 ? "no sampled steps" : Text($"steps {steps[0]} to {steps[^1]}, {steps.Length} sampled{(columns < steps.Length ? "; a column shows the worst of its steps" : "")}; layer 0 on top");
        Append($"<text x=\"12\" y=\"42\" fill=\"#555\">{span}</text>");
        for (int m = 0; m < measures.Length; m++)
        {
            Append($"<text x=\"{X(m)}\" y=\"{Top - 8}\" font-weight=\"bold\">{measures[m].Title}</text>");
        }

        int y = Top;
        foreach ((string name, string role, int layers, CastReport[] of) in tensors)
        {
            Append($"<text x=\"{Left - 10}\" y=\"{y + 11}\" text-anchor=\"end\">{SecurityElement.Escape(name)}</text>");
            Append($"<text x=\"{Left - 10}\" y=\"{y + 24}\" text-anchor=\"end\" fill=\"#555\">{SecurityElement.Escape(role)} {of[0].Format}</text>");
            for (int m = 0; m < measures.Length; m++)
            {
                Panel(measures[m], of, layers, X(m), y);
            }

            y += Height(layers) + PanelGap;
        }

        for (int m = 0; m < measures.Length; m++)
        {
            Legend(measures[m], X(m), y + 6);
        }

        Append($"</svg>");
        return svg.ToString();

        int X(int measure) => Left + (measure * (PanelWidth + Gap));

        static int Height(int layers) => Math.Max(LeastHeight, layers * LayerHeight);

        void Panel(Measure measure, CastReport[] of, int layers, int left, int top)
        {
            var cells = new (double Value, long Step)?[layers, columns];
            foreach (CastReport report in of)
            {
                ref (double Value, long Step)? cell = ref cells[Math.Max(0, report.Layer), columnOf[report.Step]];
                double value = measure.Of(report.Numerics);
                if (!double.IsNaN(value) && (cell is null || measure.Worse(value, cell.Value.Value)))
                {
                    cell = (value, report.Step);
                }
            }

            // Cells are unit squares, which the group stretches: short, and without seams.
            Append($"<g transform=\"translate({left} {top}) scale({(double)PanelWidth / columns:G6} {(double)Height(layers) / layers:G6})\" shape-rendering=\"crispEdges\">");
            for (int layer = 0; layer < layers; layer++)
            {
                for (int column = 0; column < columns; column++)
                {
                    Append($"<rect class=\"cell\" x=\"{column}\" y=\"{layer}\" width=\"1\" height=\"1\" fill=\"{(cells[layer, column] is { } cell ? Colour(measure, cell.Value) : Nothing)}\"/>");
                }
            }

            Append($"</g>");
            double? worst = of.Select(r => (double?)measure.Of(r.Numerics)).Where(v => !double.IsNaN(v!.Value)).Aggregate((double?)null, (a, b) => a is null || measure.Worse(b!.Value, a.Value) ? b : a);
            Append($"<text x=\"{left + PanelWidth}\" y=\"{top + Height(layers) + 12}\" text-anchor=\"end\" fill=\"#555\" font-size=\"9\">worst {(worst is { } number ? measure.Print(number) : "unknown")}</text>");
        }

        void Legend(Measure measure, int left, int top)
        {
            const int Steps = 20;
            for (int i = 0; i < Steps; i++)
            {
                Append($"<rect x=\"{left + (i * PanelWidth / Steps)}\" y=\"{top}\" width=\"{PanelWidth / Steps}\" height=\"10\" fill=\"{Colour(measure.Hue, (double)i / (Steps - 1))}\"/>");
            }

            Append($"<text x=\"{left}\" y=\"{top + 24}\">{measure.Good}</text>");
            Append($"<text x=\"{left + PanelWidth}\" y=\"{top + 24}\" text-anchor=\"end\">{measure.Bad}</text>");
        }

        void Append(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    private static string Text(FormattableString text) => FormattableString.Invariant(text);

    /// <summary>Six decades up to all elements.</summary>
    private static double Decades(double share) => share <= 0 ? 0 : Math.Clamp((Math.Log10(share) + 6) / 6, 0, 1);

    private static string Colour(Measure measure, double value) => Colour(measure.Hue, measure.Level(value));

    private static string Colour((int Red, int Green, int Blue) hue, double level)
    {
        // White would be the paper; the best still shows as a cell.
        static int Mix(int to, double level) => (int)Math.Round(250 + ((to - 250) * level));
        return string.Create(CultureInfo.InvariantCulture, $"#{Mix(hue.Red, level):x2}{Mix(hue.Green, level):x2}{Mix(hue.Blue, level):x2}");
    }
}
