using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Checkpoints;

namespace Fp8Lm.Training;

/// <summary>A return to an earlier checkpoint.</summary>
/// <param name="Step">Step at which the spike was found.</param>
/// <param name="Onset">First step of the spike.</param>
/// <param name="Checkpoint">Step of the checkpoint that training went back to.</param>
/// <param name="FirstBatch">First batch (counted in steps of data, from 1) that is left out from then on.</param>
/// <param name="LastBatch">The last.</param>
public sealed record Rewind(long Step, long Onset, long Checkpoint, long FirstBatch, long LastBatch);

/// <summary>
/// What the guards of a run have seen and decided. It is a function of the losses and skips in their order and is stored in checkpoints, so that a run that was killed and
/// resumed decides what it would have decided.
/// </summary>
internal sealed class RunGuards(TrainerOptions options)
{
    private readonly List<Rewind> rewinds = [];

    /// <summary>Detects spikes of the loss.</summary>
    public LossSpikeDetector Spikes { get; } = new(options.SpikeWindow, options.SpikeThreshold, options.SpikeSteps);

    /// <summary>Skipped steps in a row, up to the last step.</summary>
    public int SkippedInRow { get; private set; }

    /// <summary>Skipped steps of the run.</summary>
    public long Skipped { get; private set; }

    /// <summary>Returns to earlier checkpoints, in order.</summary>
    public IReadOnlyList<Rewind> Rewinds => rewinds;

    /// <summary>Batches that were left out so far: step n trains on batch n + this.</summary>
    public long LeftOut => rewinds.Sum(r => r.LastBatch - r.FirstBatch + 1);

    /// <summary>
    /// Checkpoints up to this step are from well before a spike, if one has begun or begins with the next step. The one that training went back to last is good, however
    /// soon the next spike comes.
    /// </summary>
    public long LastGoodStep(long step) =>
        Math.Max(rewinds.Count > 0 ? rewinds[^1].Checkpoint : -1, (Spikes.Onset > 0 ? Spikes.Onset : step + 1) - 1 - options.SpikeMargin);

    /// <summary>Counts a step that was skipped or not.</summary>
    public void Count(bool skipped)
    {
        SkippedInRow = skipped ? SkippedInRow + 1 : 0;
        Skipped += skipped ? 1 : 0;
    }

    /// <summary>A return to a checkpoint that has just been loaded: what it holds about earlier returns may be older than <paramref name="before"/>.</summary>
    public void Add(IReadOnlyList<Rewind> before, Rewind rewind)
    {
        rewinds.Clear();
        rewinds.AddRange(before);
        rewinds.Add(rewind);
    }

    /// <summary>As text for a checkpoint.</summary>
    public IReadOnlyDictionary<string, string> Save() => new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["losses"] = string.Join(' ', Spikes.Losses.Select(l => l.ToString("R", CultureInfo.InvariantCulture))),
        ["high"] = Text([Spikes.High, Spikes.Onset]),
        ["skipped"] = Text([SkippedInRow, Skipped]),
        ["rewinds"] = string.Join(',', rewinds.Select(r => Text([r.Step, r.Onset, r.Checkpoint, r.FirstBatch, r.LastBatch]))),
    };

    /// <summary>Takes over what a checkpoint holds; one without guards is of a run that has seen nothing.</summary>
    /// <exception cref="CheckpointException">What the checkpoint says is not what <see cref="Save"/> writes.</exception>
    public void Load(IReadOnlyDictionary<string, string> saved)
    {
        try
        {
            string Part(string name, string without) => saved.TryGetValue(name, out string? text) ? text : without;
            long[] high = Numbers(Part("high", "0 0"), 2), skipped = Numbers(Part("skipped", "0 0"), 2);
            double[] losses = [.. Words(Part("losses", "")).Select(l => double.Parse(l, NumberStyles.Float, CultureInfo.InvariantCulture))];
            Rewind[] returns = [.. Part("rewinds", "").Split(',', StringSplitOptions.RemoveEmptyEntries).Select(r => Numbers(r, 5)).Select(r => new Rewind(r[0], r[1], r[2], r[3], r[4]))];
            Spikes.Restore(losses, (int)high[0], high[1]);
            (SkippedInRow, Skipped) = ((int)skipped[0], skipped[1]);
            rewinds.Clear();
            rewinds.AddRange(returns);
        }
        catch (FormatException failure)
        {
            throw new CheckpointException($"Metadata 'guard' cannot be read: {failure.Message} Expected what this library writes; use another checkpoint.", failure);
        }
    }

    private static string Text(long[] numbers) => string.Join(' ', numbers.Select(n => n.ToString(CultureInfo.InvariantCulture)));

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private static long[] Numbers(string text, int count)
    {
        long[] numbers = [.. Words(text).Select(w => long.Parse(w, NumberStyles.None, CultureInfo.InvariantCulture))];
        return numbers.Length == count ? numbers : throw new FormatException($"'{text}' has {numbers.Length} numbers where {count} should be.");
    }
}
