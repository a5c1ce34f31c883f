using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Serialization;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using TinyGpt;

namespace Fp8Lm.LossCurves;

/// <summary>
/// What a comparison of curves trains, as <c>curve.json</c> tells both sides: sizes, schedule, optimizer, which parameters decay. The peer computes none of it.
/// </summary>
internal sealed record CurvePlan
{
    private const string FileName = "curve.json";
    private static readonly JsonSerializerOptions json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };

    public required string Size { get; init; }

    public required long MicroBatch { get; init; }

    public required int Sequence { get; init; }

    public required long Steps { get; init; }

    public required float LearningRate { get; init; }

    public required long WarmupSteps { get; init; }

    /// <summary>Every seed has initial weights and batches of its own.</summary>
    public required ulong[] Seeds { get; init; }

    public required long TextBytes { get; init; }

    public long Vocabulary => ModelDim(0);

    public long Context => ModelDim(1);

    public long Width => ModelDim(2);

    public long Heads => ModelDim(3);

    public long Layers => ModelDim(4);

    public float Beta1 => Options.Beta1;

    public float Beta2 => Options.Beta2;

    public float Epsilon => Options.Epsilon;

    public float WeightDecay => Options.WeightDecay;

    public float MaxGradientNorm => Options.MaxGradientNorm;

    /// <summary>The learning rate of every step.</summary>
    public IEnumerable<float> Rates => Enumerable.Range(1, checked((int)Steps)).Select(step => LearningRateSchedule.Rate(Options, step));

    /// <summary>Parameters with weight decay.</summary>
    public IEnumerable<string> Decayed => Gpt.Definition.Parameters.Where(p => p.Decay).SelectMany(p => WeightFile.Instances(p, Dims));

    [JsonIgnore]
    public TrainerOptions Options => new()
    {
        Steps = Steps, LearningRate = LearningRate, WarmupSteps = WarmupSteps, MaxGradientNorm = 1f, EvaluationInterval = 0, CheckpointInterval = 0,
    };

    [JsonIgnore]
    public DimBinding Dims => DimsOf(MicroBatch, Sequence);

    /// <summary>The sizes with another micro-batch and sequence; weights do not depend on those.</summary>
    public DimBinding DimsOf(long microBatch, long sequence) => new([microBatch, sequence, .. SizeInfo.Values]);

    public static CurvePlan Load(string folder) => JsonSerializer.Deserialize<CurvePlan>(File.ReadAllText(Path.Combine(folder, FileName)), json)!;

    public void Save(string folder) => File.WriteAllText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, json));

    private ModelSizeInfo SizeInfo => Gpt.Definition.Sizes.FirstOrDefault(s => s.Name == Size)
        ?? throw new ArgumentException($"There is no size '{Size}'. The model has {string.Join(", ", Gpt.Definition.Sizes.Select(s => s.Name))}.");

    private long ModelDim(int index) => SizeInfo.Values[index];
}
