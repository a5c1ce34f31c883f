using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Training;

/// <summary>
/// Tells a spike of the loss from its noise. A loss is high when it is above <c>median + threshold * max(1.4826 * MAD, 1 % of the median)</c> of the last losses that
/// were not high; MAD is their median absolute deviation, which 1.4826 turns into the standard deviation of normal noise (Iglewicz and Hoaglin, How to Detect and Handle
/// Outliers, 1993), and which, unlike a mean and a deviation, the spike itself cannot move. So many high losses in a row are a spike. The default of seven deviations is
/// OLMo 2's (arXiv 2501.00656). Everything follows from the losses in their order.
/// </summary>
internal sealed class LossSpikeDetector(int window, float threshold, int steps)
{
    private const double Normal = 1.4826, LeastDeviation = 0.01;

    private readonly List<double> losses = [];

    /// <summary>Losses that say what is usual, oldest first.</summary>
    public IReadOnlyList<double> Losses => losses;

    /// <summary>High losses in a row so far.</summary>
    public int High { get; private set; }

    /// <summary>First of the high losses in a row; 0: the last loss was not high.</summary>
    public long Onset { get; private set; }

    /// <summary>Losses needed before one can be high.</summary>
    private int Fewest => Math.Max(2, window / 4);

    /// <summary>Looks at the loss of a step; the limit that was passed when this step makes a spike, else null. After a spike it starts anew.</summary>
    public double? Observe(long step, double loss)
    {
        double limit = losses.Count < Fewest ? double.PositiveInfinity : Limit();
        if (!(loss > limit))
        {
            losses.Add(loss);
            losses.RemoveRange(0, Math.Max(0, losses.Count - window));
            (High, Onset) = (0, 0);
            return null;
        }

        Onset = High == 0 ? step : Onset;
        High++;
        return High < steps ? null : limit;
    }

    /// <summary>Takes over what another one had seen.</summary>
    public void Restore(IEnumerable<double> seen, int high, long onset)
    {
        losses.Clear();
        losses.AddRange(seen);
        losses.RemoveRange(0, Math.Max(0, losses.Count - window));
        (High, Onset) = (high, onset);
    }

    private double Limit()
    {
        double median = Median(losses);
        double deviation = Normal * Median(losses.Select(loss => Math.Abs(loss - median)));
        return median + (threshold * Math.Max(deviation, LeastDeviation * Math.Abs(median)));
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
