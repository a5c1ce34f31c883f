using System;
using System.Collections.Generic;

namespace Fp8Lm.Collectives;

/// <summary>
/// Moves payloads and scales between the ranks of a data-parallel group; everything about numbers is in <see cref="GradientReducer"/>. A process holds one
/// rank (MPI, NCCL) or several (simulated replicas); lists have one entry per local rank, in rank order.
/// </summary>
public interface IGradientTransport
{
    /// <summary>Ranks of the group.</summary>
    int Ranks { get; }

    /// <summary>Number of the first rank in this process.</summary>
    int FirstLocalRank { get; }

    /// <summary>Ranks in this process.</summary>
    int LocalRanks { get; }

    /// <summary>All-reduce MIN of F32 vectors of equal length, in place. Negative infinity wins; there are no NaN.</summary>
    void AllReduceMinimum(IReadOnlyList<Memory<float>> vectors);

    /// <summary>FP8 SUM all-reduce of the codes, in place, every addition with the semantics of <see cref="Fp8Sum"/>.</summary>
    /// <param name="payloads">The payloads of the local ranks; afterwards all have the same codes.</param>
    /// <param name="saturated">
    /// Gets, per tensor, how many elements of the sum sit at the largest magnitude: counted in the last addition, or where that is out of reach in the pass
    /// that reads the sum. Zero without any addition.
    /// </param>
    void AllReduceSum(IReadOnlyList<GradientPayload> payloads, Span<long> saturated);

    /// <summary>All-to-all of equal blocks: block j of rank i becomes block i of rank j.</summary>
    /// <param name="send">[ranks, block] of each local rank.</param>
    /// <param name="receive">[ranks, block] of each local rank.</param>
    void AllToAll(IReadOnlyList<Memory<byte>> send, IReadOnlyList<Memory<byte>> receive);

    /// <summary>All-gather in place: every rank gets block i of rank i.</summary>
    /// <param name="buffers">[ranks, block] of each local rank; its own block is filled.</param>
    void AllGather(IReadOnlyList<Memory<byte>> buffers);

    /// <summary>Sums over the processes of the group, in place, for measurements (not for training).</summary>
    void SumOverProcesses(Span<double> values);
}
