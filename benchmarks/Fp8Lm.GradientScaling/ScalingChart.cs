using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

namespace Fp8Lm.ScalingBench;

/// <summary>Draws Figure 7: a column per number of replicas; rows for underflow, overflow and signal-to-noise ratio; transformer blocks from left to right.</summary>
internal static class ScalingChart
{
    private const int PanelWidth = 270, PanelHeight = 170, Left = 62, Top = 74, GapX = 50, GapY = 46;

    private static readonly (string Scaling, string Sum, string Label, string Color, string Dash)[] lines =
    [
        ("PreScaling", "ring", "pre-scaling", "#1f77b4", ""),
        ("PostScaling", "ring", "post-scaling", "#d62728", ""),
        ("InverseSquareRoot", "ring", "1/sqrt(N)", "#7f7f7f", ""),
        ("Automatic, 1e-3", "ring", "automatic, 1e-3", "#ff7f0e", ""),
        ("Automatic", "ring", "automatic", "#2ca02c", ""),
        ("Automatic", "tree", "automatic, tree", "#2ca02c", "7,3"),
        ("Automatic", "exchange", "automatic, summed in F32", "#2ca02c", "2,3"),
    ];

    private static readonly (string Title, Func<Row, double> Value, bool Shares)[] measures =
    [
        ("underflow of the payloads, share", r => r.Underflow, true),
        ("overflow of the sum, share", r => r.Overflow, true),
        ("SNR of the mean, dB", r => r.SnrDb, false),
    ];

    public static string Svg(string title, IReadOnlyList<Row> rows)
    {
        int[] replicas = [.. rows.Select(r => r.Replicas).Distinct().Order()];
        int blocks = rows.Max(r => r.Block) + 1;
        int width = Left + (replicas.Length * (PanelWidth + GapX)), height = Top + 10 + (measures.Length * (PanelHeight + GapY));
        var svg = new StringBuilder();
        Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Append($"<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
        Append($"<text x=\"{Left}\" y=\"22\" font-size=\"15\">{title}</text>");
        double legend = Left;
        foreach ((_, _, string label, string color, string dash) in lines)
        {
            Append($"<line x1=\"{legend:F0}\" x2=\"{legend + 22:F0}\" y1=\"40\" y2=\"40\" stroke=\"{color}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>");
            Append($"<text x=\"{legend + 27:F0}\" y=\"44\">{label}</text>");
            legend += 44 + (6.2 * label.Length);
        }

        for (int m = 0; m < measures.Length; m++)
        {
            (string name, Func<Row, double> value, bool shares) = measures[m];
            IEnumerable<double> shown = rows.Where(r => Array.Exists(lines, l => l.Scaling == r.Scaling && l.Sum == r.Sum)).Select(value).Where(double.IsFinite);
            (double low, double high) = shares
                ? (Math.Floor(Math.Log10(shown.Where(v => v > 0).DefaultIfEmpty(1e-6).Min())) - 1, 0)
                : (Math.Floor(shown.Min() / 5) * 5, Math.Ceiling(shown.Max() / 5) * 5);
            for (int n = 0; n < replicas.Length; n++)
            {
                Panel(Left + (n * (PanelWidth + GapX)), Top + (m * (PanelHeight + GapY)), replicas[n], name, value, shares, low, high);
            }
        }

        Append($"</svg>");
        return svg.ToString();

        void Panel(double left, double top, int n, string name, Func<Row, double> value, bool shares, double low, double high)
        {
            Append($"<text x=\"{left}\" y=\"{top - 8}\">N = {n}: {name}</text>");
            int ticks = shares ? (int)(high - low) : (int)((high - low) / 5);
            int every = Math.Max(1, ticks / 6);
            for (int i = 0; i <= ticks; i += every)
            {
                double at = low + ((high - low) * i / ticks), y = Y(at);
                string label = !shares ? at.ToString("F0", CultureInfo.InvariantCulture) : i == 0 ? "0" : $"1e{at:F0}";
                Append($"<line x1=\"{left}\" x2=\"{left + PanelWidth}\" y1=\"{y:F1}\" y2=\"{y:F1}\" stroke=\"#ddd\"/>");
                Append($"<text x=\"{left - 6}\" y=\"{y + 4:F1}\" text-anchor=\"end\">{label}</text>");
            }

            for (int b = 0; b < blocks; b++)
            {
                Append($"<text x=\"{X(b):F1}\" y=\"{top + PanelHeight + 16}\" text-anchor=\"middle\">{b}</text>");
            }

            foreach ((string scaling, string sum, string label, string color, string dash) in lines)
            {
                Row[] points = [.. rows.Where(r => r.Replicas == n && r.Scaling == scaling && r.Sum == sum && double.IsFinite(value(r))).OrderBy(r => r.Block)];
                string path = string.Join(' ', points.Select(r => string.Create(CultureInfo.InvariantCulture, $"{X(r.Block):F1},{Y(Place(value(r))):F1}")));
                Append($"<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" points=\"{path}\"><title>{label}</title></polyline>");
            }

            double X(int block) => left + (PanelWidth * (block + 0.5) / blocks);
            double Y(double at) => top + PanelHeight - (PanelHeight * (at - low) / (high - low));
            double Place(double v) => shares ? Math.Max(low, v > 0 ? Math.Log10(v) : low) : v;
        }

        void Append(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }
}
