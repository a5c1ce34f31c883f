using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Security;
using System.Text;

namespace Fp8Lm.Training;

/// <summary>Draws loss curves: an SVG file, and a line of block characters for the terminal.</summary>
public static class LossChart
{
    private const int Width = 860, Height = 420, Left = 60, Right = 20, Top = 40, Bottom = 40;
    private const int MostPoints = 400;
    private const string Bars = "▁▂▃▄▅▆▇█";

    /// <summary>The losses as a line of block characters, at most <paramref name="width"/> long.</summary>
    public static string Sparkline(IReadOnlyList<(long Step, double Loss)> losses, int width = 60)
    {
        List<(long Step, double Loss)> points = Thin(losses, width);
        if (points.Count == 0)
        {
            return "";
        }

        double low = points.Min(p => p.Loss), span = Math.Max(1e-12, points.Max(p => p.Loss) - low);
        return string.Concat(points.Select(p => Bars[(int)Math.Round((p.Loss - low) / span * (Bars.Length - 1))]));
    }

    /// <summary>A picture of training (line) and held-out (dots) losses over steps.</summary>
    public static string Svg(string title, IReadOnlyList<(long Step, double Loss)> training, IReadOnlyList<(long Step, double Loss)> validation)
    {
        List<(long Step, double Loss)> line = Thin(training, MostPoints);
        List<(long Step, double Loss)> all = [.. line, .. validation.Where(v => double.IsFinite(v.Loss))];
        if (all.Count == 0)
        {
            all = [(0, 0)];
        }

        double low = all.Min(p => p.Loss), high = Math.Max(all.Max(p => p.Loss), low + 1e-6);
        double pad = 0.05 * (high - low);
        (low, high) = (low - pad, high + pad);
        double last = Math.Max(1, all.Max(p => p.Step));
        var svg = new StringBuilder();
        Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Append($"<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
        Append($"<text x=\"{Left}\" y=\"24\" font-size=\"15\">{SecurityElement.Escape(title)}</text>");
        for (int i = 0; i <= 4; i++)
        {
            double loss = low + ((high - low) * i / 4), step = last * i / 4;
            Append($"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(loss):F1}\" y2=\"{Y(loss):F1}\" stroke=\"#ddd\"/>");
            Append($"<text x=\"{Left - 8}\" y=\"{Y(loss) + 4:F1}\" text-anchor=\"end\">{loss:F3}</text>");
            Append($"<text x=\"{X(step):F1}\" y=\"{Height - Bottom + 20}\" text-anchor=\"middle\">{step:F0}</text>");
        }

        string path = string.Join(' ', line.Select(p => string.Create(CultureInfo.InvariantCulture, $"{X(p.Step):F1},{Y(p.Loss):F1}")));
        Append($"<polyline fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"1.5\" points=\"{path}\"><title>training loss</title></polyline>");
        foreach ((long step, double loss) in validation.Where(v => double.IsFinite(v.Loss)))
        {
            Append($"<circle cx=\"{X(step):F1}\" cy=\"{Y(loss):F1}\" r=\"4\" fill=\"#d62728\"><title>held-out loss {loss:F4} after step {step}</title></circle>");
        }

        Append($"<text x=\"{Width - Right}\" y=\"24\" text-anchor=\"end\"><tspan fill=\"#1f77b4\">training</tspan> <tspan fill=\"#d62728\">held-out</tspan></text>");
        Append($"</svg>");
        return svg.ToString();

        double X(double step) => Left + ((Width - Left - Right) * step / last);
        double Y(double loss) => Height - Bottom - ((Height - Top - Bottom) * (loss - low) / (high - low));
        void Append(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    /// <summary>Means of at most <paramref name="most"/> equal runs of points.</summary>
    private static List<(long Step, double Loss)> Thin(IReadOnlyList<(long Step, double Loss)> points, int most)
    {
        List<(long Step, double Loss)> finite = [.. points.Where(p => double.IsFinite(p.Loss))];
        if (finite.Count <= most)
        {
            return finite;
        }

        var thin = new List<(long Step, double Loss)>(most);
        for (int i = 0; i < most; i++)
        {
            int from = (int)((long)i * finite.Count / most), to = (int)((i + 1L) * finite.Count / most);
            thin.Add((finite[to - 1].Step, finite.Skip(from).Take(to - from).Average(p => p.Loss)));
        }

        return thin;
    }
}
