using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Generators.Model;
using Fp8Lm.Training;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>A model at one size with numbers for everything: weights, one micro-batch, dropout's state. Both the reference and the sessions read it.</summary>
internal sealed class Problem
{
    private readonly Dictionary<string, long> extents = new(StringComparer.Ordinal);

    public Problem(ModelSpec spec, int microBatch = 3, int sequence = 32, ulong seed = 1, int size = 0)
    {
        Spec = spec;
        MicroBatch = microBatch;
        Sequence = sequence;
        Size = spec.Sizes[size];
        for (int i = 0; i < spec.Dims.Count; i++)
        {
            extents[spec.Dims[i]] = Size.Values[i];
        }

        extents["MicroBatch"] = microBatch;
        extents["Sequence"] = sequence;
        Weights = [.. spec.Parameters.Select((_, p) => Enumerable.Range(0, Instances(p)).Select(l => Draw(p, l, seed)).ToArray())];
        FillBatch(seed);
    }

    public ModelSpec Spec { get; }

    /// <summary>The emitted program, if it is not one of Fp8Lm.Parity.Models.</summary>
    public ModelDefinition? Definition { get; init; }

    public SizeSpec Size { get; }

    public int MicroBatch { get; }

    public int Sequence { get; }

    public int TokenCount => MicroBatch * Sequence;

    /// <summary>By parameter, layer and element; numbers that are exact in binary32.</summary>
    public double[][][] Weights { get; }

    public int[] Tokens { get; private set; } = [];

    public int[] Labels { get; private set; } = [];

    public float[] LabelWeights { get; private set; } = [];

    /// <summary>Sum of the weights of labels that count.</summary>
    public double WeightSum => Labels.Zip(LabelWeights, (l, w) => l < 0 ? 0 : (double)w).Sum();

    /// <summary>What sessions get; the reference reads seed, micro-step and training.</summary>
    public StepState State => new()
    {
        LossScale = (float)(1 / WeightSum), SeedLow = 7, SeedHigh = 11, MicroStep = 5, Training = 1,
    };

    public long Extent(DimExpr extent) =>
        extent.AsConstant() ?? extent.Evaluate(name => extents[name], out string exact) ?? throw new InvalidOperationException($"{extent} is {exact}");

    public int Instances(int parameter) =>
        Spec.Parameters[parameter].Loop is var loop && loop < 0 ? 1 : (int)Extent(Spec.Forward.OfType<LoopSpec>().First(l => l.Id == loop).Count);

    public string Name(int parameter, int layer) => Spec.Parameters[parameter].Path.Replace("*", layer.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal);

    public void SetBatch(int[] tokens, int[] labels, float[] labelWeights) => (Tokens, Labels, LabelWeights) = (tokens, labels, labelWeights);

    /// <summary>Zeros in the shape of all weights.</summary>
    public double[][][] ZeroGradients() => [.. Weights.Select(p => p.Select(l => new double[l.Length]).ToArray())];

    /// <summary>Larger than a fresh model's, so that no gradient is close to zero: matrices of unit gain, vectors of a fifth, gains around one.</summary>
    private double[] Draw(int parameter, int layer, ulong seed)
    {
        ParameterSpec spec = Spec.Parameters[parameter];
        long[] shape = [.. spec.Shape.Select(Extent)];
        double[] values = new double[shape.Aggregate(1L, (a, b) => a * b)];
        ulong key = CounterRandom.Key(seed, Name(parameter, layer));
        double centre = spec.Init.Kind is "Ones" or "Constant" ? spec.Init.Value : 0;
        double deviation = shape.Length == 2 && shape[1] > 1 ? 1 / Math.Sqrt(shape[1]) : 0.2;
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)(centre + (deviation * CounterRandom.NormalPair(key, (ulong)i).First));
        }

        return values;
    }

    private void FillBatch(ulong seed)
    {
        ulong key = CounterRandom.Key(seed, "batch");
        long vocabulary = Extent(Spec.Parameters[Spec.Forward.OfType<OpSpec>().First(o => o.Op == "embed").Operands[0].Index].Shape[0]);
        Tokens = [.. Enumerable.Range(0, TokenCount).Select(i => (int)(CounterRandom.Mix(key, (ulong)i) % (ulong)vocabulary))];
        Labels = [.. Enumerable.Range(0, TokenCount).Select(i => i % 11 == 4 ? -1 : (int)(CounterRandom.Mix(key, (ulong)i + 100000) % (ulong)vocabulary))];
        LabelWeights = [.. Enumerable.Range(0, TokenCount).Select(i => i % 3 == 1 ? 0.5f : 1f)];
    }
}
