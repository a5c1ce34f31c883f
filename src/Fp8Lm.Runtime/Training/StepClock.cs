using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;

namespace Fp8Lm.Training;

/// <summary>Times steps and remembers the last losses.</summary>
internal sealed class StepClock(long tokensPerStep)
{
    private const int RecentSteps = 20;
    private const int RecentLosses = 10;

    private readonly Queue<double> seconds = new();
    private readonly Queue<double> losses = new();
    private long ended;

    /// <summary>Tokens of all timed steps.</summary>
    public long Tokens { get; private set; }

    /// <summary>Seconds of all timed steps.</summary>
    public double Seconds { get; private set; }

    /// <summary>Tokens per second over all steps.</summary>
    public double AverageRate => Seconds > 0 ? Tokens / Seconds : 0;

    /// <summary>Tokens per second over the last steps.</summary>
    public double RecentRate => seconds.Count == 0 ? 0 : tokensPerStep * seconds.Count / Math.Max(1e-9, seconds.Sum());

    /// <summary>Mean of the last losses.</summary>
    public double RecentLoss => losses.Count == 0 ? double.NaN : losses.Average();

    /// <summary>The present, for <see cref="Add"/>.</summary>
    public static long Now => Stopwatch.GetTimestamp();

    /// <summary>Adds a step that is complete: it took the time since its beginning or, if that was earlier, since the end of the step before.</summary>
    public void Add(long begun, double loss)
    {
        long now = Now;
        double elapsed = Stopwatch.GetElapsedTime(Math.Max(begun, ended), now).TotalSeconds;
        ended = now;
        Tokens += tokensPerStep;
        Seconds += elapsed;
        Push(seconds, elapsed, RecentSteps);
        if (double.IsFinite(loss))
        {
            Push(losses, loss, RecentLosses);
        }
    }

    private static void Push(Queue<double> queue, double value, int most)
    {
        queue.Enqueue(value);
        if (queue.Count > most)
        {
            queue.Dequeue();
        }
    }
}
