using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Fp8Lm.Collectives;

namespace Fp8Lm.Runtime.Tests.Collectives;

/// <summary>A group of which every "process" is a thread with one rank: what MPI and NCCL look like to a reducer.</summary>
internal sealed class ThreadedRanks(SimulatedReplicas arithmetic) : IDisposable
{
    private readonly SimulatedReplicas arithmetic = arithmetic;
    private readonly Barrier barrier = new(arithmetic.Ranks);
    private readonly object[] posted = new object[arithmetic.Ranks];

    public IGradientTransport Rank(int rank) => new OneRank(this, rank);

    public void Dispose() => barrier.Dispose();

    /// <summary>Everyone posts, the first does it for all, everyone goes on.</summary>
    private void Together<T>(int rank, T value, Action<List<T>> work) where T : notnull
    {
        posted[rank] = value;
        barrier.SignalAndWait();
        if (rank == 0)
        {
            work([.. posted.Cast<T>()]);
        }

        barrier.SignalAndWait();
    }

    private sealed class OneRank(ThreadedRanks group, int rank) : IGradientTransport
    {
        public int Ranks => group.posted.Length;

        public int FirstLocalRank => rank;

        public int LocalRanks => 1;

        public void AllReduceMinimum(IReadOnlyList<Memory<float>> vectors) => group.Together(rank, vectors[0], group.arithmetic.AllReduceMinimum);

        public void AllReduceSum(IReadOnlyList<GradientPayload> payloads, Span<long> saturated)
        {
            long[] counts = new long[saturated.Length];
            group.Together(rank, (payloads[0], counts), all =>
            {
                group.arithmetic.AllReduceSum([.. all.Select(a => a.Item1)], all[0].counts);
                all.ForEach(a => all[0].counts.CopyTo(a.counts, 0));
            });
            counts.CopyTo(saturated);
        }

        public void AllToAll(IReadOnlyList<Memory<byte>> send, IReadOnlyList<Memory<byte>> receive) =>
            group.Together(rank, (send[0], receive[0]), all => group.arithmetic.AllToAll([.. all.Select(a => a.Item1)], [.. all.Select(a => a.Item2)]));

        public void AllGather(IReadOnlyList<Memory<byte>> buffers) => group.Together(rank, buffers[0], group.arithmetic.AllGather);

        public void SumOverProcesses(Span<double> values)
        {
            double[] copy = values.ToArray();
            group.Together(rank, copy, all =>
            {
                double[] sum = [.. Enumerable.Range(0, copy.Length).Select(i => all.Sum(a => a[i]))];
                all.ForEach(a => sum.CopyTo(a, 0));
            });
            copy.CopyTo(values);
        }
    }
}
