using System;

namespace Fp8Lm.Training;

/// <summary>Learning rates as a function of options and step.</summary>
public static class LearningRateSchedule
{
    /// <summary>The rate of a step; steps count from 1.</summary>
    public static float Rate(TrainerOptions options, long step)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (step <= options.WarmupSteps)
        {
            return (float)(options.LearningRate * (double)step / options.WarmupSteps);
        }

        double floor = options.LearningRateFloor;
        double factor = options.Schedule switch
        {
            ScheduleKind.Cosine => floor + ((1 - floor) * 0.5 * (1 + Math.Cos(Math.PI * Progress(options.WarmupSteps, options.Horizon, step)))),
            ScheduleKind.WarmupStableDecay => 1 - ((1 - floor) * Progress((long)(options.Horizon * (1.0 - options.DecayFraction)), options.Horizon, step)),
            _ => 1,
        };
        return (float)(options.LearningRate * factor);
    }

    /// <summary>0 up to <paramref name="start"/>, 1 from <paramref name="end"/> on, linear between.</summary>
    private static double Progress(long start, long end, long step) => end <= start ? 1 : Math.Clamp((step - start) / (double)(end - start), 0, 1);
}
