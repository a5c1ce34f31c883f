using System;
using System.Collections.Generic;
using Fp8Lm.Execution;

namespace Fp8Lm.GpuBench;

/// <summary>One measurement: a size of the sample GPT, what of it runs, and how. The same cases and names as <c>peers/gpt_peer.py</c>.</summary>
/// <param name="Name">The size.</param>
/// <param name="Part"><c>stack</c>: forward and backward of the layers; <c>train</c>: a whole training step.</param>
/// <param name="Recipe">Recipe of the sample.</param>
/// <param name="MicroBatch">Sequences.</param>
/// <param name="Shape">Sizes.</param>
internal sealed record BenchCase(string Name, string Part, string Recipe, long MicroBatch, GptShape Shape)
{
    private static readonly Dictionary<string, GptShape> Shapes = new(StringComparer.Ordinal)
    {
        ["gpt-125m"] = new(12, 768, 12, 1024, 50304),
        ["gpt-1.3b"] = new(24, 2048, 16, 2048, 50304),
        ["gpt-7b-layer"] = new(4, 4096, 32, 2048, 50304),
        ["gpt-13b-layer"] = new(3, 5120, 40, 2048, 50304),
        ["gpt-175b-layer"] = new(1, 12288, 96, 2048, 50304),
    };

    // The model has no form without embedding and head; with so few tokens they are under half a percent of the work, and that is on us.
    private const long StackVocabulary = 256;

    /// <summary>Reads <c>case:part:recipe:micro_batch</c>.</summary>
    public static BenchCase Parse(string spec)
    {
        string[] words = spec.Split(':');
        return words is [var name, "stack" or "train", var recipe, var microBatch] && Shapes.TryGetValue(name, out GptShape? shape)
            ? new BenchCase(name, words[1], recipe, long.Parse(microBatch, System.Globalization.CultureInfo.InvariantCulture), shape)
            : throw new ArgumentException($"'{spec}' is not case:stack|train:recipe:micro_batch with a case of {string.Join(", ", Shapes.Keys)}.", nameof(spec));
    }

    /// <summary>Whether a whole training step runs.</summary>
    public bool Trains => Part == "train";

    /// <summary>The sizes of the sample's dimensions: vocabulary, context, width, heads, layers.</summary>
    public DimBinding Dims =>
        new(MicroBatch, Shape.Sequence, Trains ? Shape.Vocabulary : StackVocabulary, Shape.Sequence, Shape.Width, Shape.Heads, Shape.Layers);

    /// <summary>Parameters as the peer counts them.</summary>
    public long Parameters => (Shape.Layers * Shape.BlockParameters) + (Trains ? ((Shape.Vocabulary + Shape.Sequence + 2) * Shape.Width) : 0);

    /// <summary>6 N + 12 L d T per token, attention counted in full as Megatron does.</summary>
    public double FlopsPerToken =>
        (6.0 * ((Shape.Layers * Shape.BlockParameters) + (Trains ? Shape.Vocabulary * Shape.Width : 0))) + (12.0 * Shape.Layers * Shape.Width * Shape.Sequence);
}

/// <summary>Sizes of a GPT.</summary>
internal sealed record GptShape(long Layers, long Width, long Heads, long Sequence, long Vocabulary)
{
    /// <summary>Parameters of one layer.</summary>
    public long BlockParameters => (12 * Width * Width) + (13 * Width);
}
