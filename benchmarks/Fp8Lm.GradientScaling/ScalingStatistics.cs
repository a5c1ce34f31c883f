using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Collectives;
using Fp8Lm.Training;

namespace Fp8Lm.ScalingBench;

/// <summary>Means over tensors and measured steps of what a way to reduce has done, per transformer block.</summary>
internal sealed class ScalingStatistics(IReadOnlyList<GradientPlace> linears)
{
    private readonly Dictionary<(int Replicas, string Scaling, string Sum, int Block), Sums> table = [];

    public void Add(int replicas, string scaling, string sum, IReadOnlyList<ReductionNumerics> numerics)
    {
        for (int t = 0; t < numerics.Count; t++)
        {
            var key = (replicas, scaling, sum, (int)linears[t].Layer);
            if (!table.TryGetValue(key, out Sums? sums))
            {
                table.Add(key, sums = new Sums());
            }

            sums.Add(numerics[t]);
        }
    }

    public IEnumerable<Row> Rows() => table
        .OrderBy(e => e.Key.Replicas).ThenBy(e => e.Key.Sum, StringComparer.Ordinal).ThenBy(e => e.Key.Scaling, StringComparer.Ordinal).ThenBy(e => e.Key.Block)
        .Select(e => e.Value.Row(e.Key.Replicas, e.Key.Scaling, e.Key.Sum, e.Key.Block));

    private sealed class Sums
    {
        private double elements;
        private double underflow;
        private double overflow;
        private double meanUnderflow;
        private double decibels;
        private double logMu;
        private int records;

        public void Add(ReductionNumerics numerics)
        {
            elements += numerics.Elements;
            underflow += numerics.Underflow * numerics.Elements;
            overflow += numerics.Overflow * numerics.Elements;
            meanUnderflow += numerics.Mean!.Value.Underflow;
            decibels += numerics.SignalToNoise;
            logMu += Math.Log2(numerics.Mu);
            records++;
        }

        public Row Row(int replicas, string scaling, string sum, int block) => new(
            replicas, scaling, sum, block, underflow / elements, overflow / elements, meanUnderflow / elements, decibels / records, Math.Pow(2, logMu / records), records);
    }
}

/// <summary>One line of the results.</summary>
/// <param name="Replicas">N.</param>
/// <param name="Scaling">Name of the <see cref="GradientScaling"/>; <c>Automatic, 1e-3</c> has the threshold of the authors' pull request.</param>
/// <param name="Sum">ring, tree or exchange.</param>
/// <param name="Block">Transformer block.</param>
/// <param name="Underflow">Share of payload elements that became zero.</param>
/// <param name="Overflow">Share of the sum's elements at 448.</param>
/// <param name="MeanUnderflow">Share of elements whose mean became zero.</param>
/// <param name="SnrDb">Mean over tensors and steps of the ratio in dB.</param>
/// <param name="Mu">Geometric mean of the factor.</param>
/// <param name="Samples">Tensors times steps.</param>
internal sealed record Row(
    int Replicas, string Scaling, string Sum, int Block, double Underflow, double Overflow, double MeanUnderflow, double SnrDb, double Mu, int Samples);
