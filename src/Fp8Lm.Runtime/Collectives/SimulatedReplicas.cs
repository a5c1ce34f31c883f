using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.Collectives;

/// <summary>In which order a collective adds the ranks; FP8 rounds after every addition, so the order is part of the result.</summary>
public enum ReductionOrder
{
    /// <summary>Chunk c starts at rank c + 1 and takes in one rank after the other, rank c last: N - 1 roundings in a row.</summary>
    Ring,
    /// <summary>Neighbours, then pairs, then pairs of pairs: at most ceil(log2 N) roundings in a row. NCCL prefers it for FP8.</summary>
    Tree,
}

/// <summary>All ranks of a group in one process: the arithmetic of real collectives without a network.</summary>
public sealed unsafe class SimulatedReplicas : IGradientTransport
{
    private const int Tile = 4096;

    private readonly CpuPool pool;

    /// <summary>Creates a group.</summary>
    /// <param name="ranks">Replicas, 1 to 1024.</param>
    /// <param name="order">Order of FP8 sums.</param>
    /// <param name="pool">Workers.</param>
    /// <exception cref="ArgumentOutOfRangeException">Too few or too many replicas.</exception>
    public SimulatedReplicas(int ranks, ReductionOrder order, CpuPool pool)
    {
        ArgumentNullException.ThrowIfNull(pool);
        if (ranks is < 1 or > 1024)
        {
            throw new ArgumentOutOfRangeException(nameof(ranks), ranks, $"One process simulates 1 to 1024 replicas; got {ranks}.");
        }

        Ranks = ranks;
        Order = order;
        this.pool = pool;
    }

    /// <inheritdoc/>
    public int Ranks { get; }

    /// <summary>Order of FP8 sums.</summary>
    public ReductionOrder Order { get; }

    /// <inheritdoc/>
    public int FirstLocalRank => 0;

    /// <inheritdoc/>
    public int LocalRanks => Ranks;

    /// <inheritdoc/>
    public void AllReduceMinimum(IReadOnlyList<Memory<float>> vectors)
    {
        CheckCount(vectors);
        Span<float> least = vectors[0].Span;
        for (int rank = 1; rank < Ranks; rank++)
        {
            ReadOnlySpan<float> vector = vectors[rank].Span;
            for (int i = 0; i < least.Length; i++)
            {
                least[i] = Math.Min(least[i], vector[i]);
            }
        }

        for (int rank = 1; rank < Ranks; rank++)
        {
            least.CopyTo(vectors[rank].Span);
        }
    }

    /// <inheritdoc/>
    public void AllReduceSum(IReadOnlyList<GradientPayload> payloads, Span<long> saturated)
    {
        CheckCount(payloads);
        saturated.Clear();
        if (Ranks == 1)
        {
            return;
        }

        GradientLayout layout = payloads[0].Layout;
        nint[] addresses = new nint[Ranks];
        for (int rank = 0; rank < Ranks; rank++)
        {
            addresses[rank] = (nint)payloads[rank].Address;
        }

        List<Piece> pieces = Cut(layout);
        fixed (nint* address = addresses)
        fixed (long* counts = saturated)
        fixed (Piece* piece = CollectionsMarshal.AsSpan(pieces))
        {
            var kernel = new SumKernel(address, Ranks, Order, payloads[0].Format, piece, counts, pool);
            pool.Run(ref kernel, pieces.Count);
        }
    }

    /// <inheritdoc/>
    public void AllToAll(IReadOnlyList<Memory<byte>> send, IReadOnlyList<Memory<byte>> receive)
    {
        CheckCount(send);
        CheckCount(receive);
        int block = send[0].Length / Ranks;
        for (int from = 0; from < Ranks; from++)
        {
            for (int to = 0; to < Ranks; to++)
            {
                send[from].Span.Slice(to * block, block).CopyTo(receive[to].Span[(from * block)..]);
            }
        }
    }

    /// <inheritdoc/>
    public void AllGather(IReadOnlyList<Memory<byte>> buffers)
    {
        CheckCount(buffers);
        int block = buffers[0].Length / Ranks;
        for (int from = 0; from < Ranks; from++)
        {
            for (int to = 0; to < Ranks; to++)
            {
                if (to != from)
                {
                    buffers[from].Span.Slice(from * block, block).CopyTo(buffers[to].Span[(from * block)..]);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void SumOverProcesses(Span<double> values)
    {
        // One process.
    }

    /// <summary>Stretches of one tensor and one ring chunk each, short enough for the first-level cache.</summary>
    private static List<Piece> Cut(GradientLayout layout)
    {
        var pieces = new List<Piece>();
        for (int chunk = 0; chunk < layout.Ranks; chunk++)
        {
            int first = chunk * layout.ShardBytes;
            for (int tensor = 0; tensor < layout.Tensors.Count; tensor++)
            {
                if (layout.Within(tensor, first, first + layout.ShardBytes) is { } part)
                {
                    for (int done = 0; done < part.Count; done += Tile)
                    {
                        pieces.Add(new Piece(tensor, chunk, part.First + done, Math.Min(Tile, part.Count - done)));
                    }
                }
            }
        }

        return pieces;
    }

    private void CheckCount<T>(IReadOnlyList<T> values, [CallerArgumentExpression(nameof(values))] string name = "")
    {
        if (values.Count != Ranks)
        {
            throw new ArgumentException($"The group has {Ranks} replicas, all in this process; got {values.Count} {name}.", name);
        }
    }

    private readonly record struct Piece(int Tensor, int Chunk, int First, int Count);

    private readonly struct SumKernel(
        nint* ranks, int count, ReductionOrder order, ElementFormat format, Piece* pieces, long* saturated, CpuPool pool) : ITileKernel
    {
        public void Run(int tile, int worker)
        {
            Piece piece = pieces[tile];
            int levels = 1 + (int)uint.Log2((uint)count);
            byte* scratch = (byte*)pool.Scratch(worker, (levels + 1) * Tile / sizeof(float));
            long top = order == ReductionOrder.Ring ? Ring(piece, scratch) : Tree(piece, 0, count, scratch);
            System.Threading.Interlocked.Add(ref saturated[piece.Tensor], top);
            for (int rank = 0; rank < count; rank++)
            {
                Unsafe.CopyBlockUnaligned((byte*)ranks[rank] + piece.First, scratch, (uint)piece.Count);
            }
        }

        private long Ring(Piece piece, byte* sum)
        {
            long top = 0;
            for (int hop = 1; hop <= count; hop++)
            {
                byte* own = (byte*)ranks[(piece.Chunk + hop) % count] + piece.First;
                if (hop == 1)
                {
                    Unsafe.CopyBlockUnaligned(sum, own, (uint)piece.Count);
                }
                else
                {
                    top = Fp8Sum.Add(sum, own, piece.Count, format);
                }
            }

            return top;
        }

        /// <summary>Sum of ranks [first, first + size): the lower half, a power of two, and the rest.</summary>
        private long Tree(Piece piece, int first, int size, byte* sum)
        {
            if (size == 1)
            {
                Unsafe.CopyBlockUnaligned(sum, (byte*)ranks[first] + piece.First, (uint)piece.Count);
                return 0;
            }

            int half = 1 << (int)uint.Log2((uint)size - 1);
            byte* other = sum + Tile;
            Tree(piece, first, half, sum);
            Tree(piece, first + half, size - half, other);
            return Fp8Sum.Add(sum, other, piece.Count, format);
        }
    }
}
