using System;
using System.Collections.Generic;

namespace Fp8Lm.Collectives;

/// <summary>A gradient tensor of a payload.</summary>
/// <param name="Name">Its name, for checkpoints, metrics and messages.</param>
/// <param name="Elements">Its elements, at least 1.</param>
public sealed record GradientTensor(string Name, int Elements);

/// <summary>
/// Where the tensors of a payload lie: one after the other in a flat run of bytes, which is padded with zeros so that it falls into equal shards, one per
/// rank. Every rank has the same layout.
/// </summary>
public sealed class GradientLayout
{
    private const int TensorAlignment = 16;
    private const int ShardAlignment = 64;

    /// <summary>Lays out tensors.</summary>
    /// <param name="tensors">At least one, with different names.</param>
    /// <param name="ranks">Data-parallel ranks.</param>
    /// <exception cref="ArgumentException">No tensor, a tensor without elements, two with one name, or more bytes than one payload holds.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="ranks"/> is below 1.</exception>
    public GradientLayout(IReadOnlyList<GradientTensor> tensors, int ranks)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        if (ranks < 1)
        {
            throw new ArgumentOutOfRangeException(nameof(ranks), ranks, $"A reduction has at least 1 rank; got {ranks}.");
        }

        if (tensors.Count == 0)
        {
            throw new ArgumentException("A payload has at least one gradient tensor; got none.", nameof(tensors));
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        int[] offsets = new int[tensors.Count];
        long bytes = 0;
        for (int i = 0; i < offsets.Length; i++)
        {
            GradientTensor tensor = tensors[i];
            if (tensor.Elements < 1)
            {
                throw new ArgumentException($"Gradient {tensor.Name} has {tensor.Elements} elements; leave tensors without elements out.", nameof(tensors));
            }

            if (!names.Add(tensor.Name))
            {
                throw new ArgumentException($"Two gradients are called {tensor.Name}; factors and metrics are kept by name, so give each its own.", nameof(tensors));
            }

            offsets[i] = bytes <= int.MaxValue ? (int)bytes : 0;
            bytes = Align(bytes + tensor.Elements, TensorAlignment);
        }

        bytes = Align(bytes, (long)ranks * ShardAlignment);
        if (bytes > Array.MaxLength)
        {
            throw new ArgumentException($"The gradients have {bytes} bytes with padding; one payload holds {Array.MaxLength}. Split them into several payloads (buckets).", nameof(tensors));
        }

        Tensors = [.. tensors];
        Offsets = offsets;
        Ranks = ranks;
        Bytes = (int)bytes;
    }

    /// <summary>The tensors.</summary>
    public IReadOnlyList<GradientTensor> Tensors { get; }

    /// <summary>First byte of each tensor.</summary>
    public IReadOnlyList<int> Offsets { get; }

    /// <summary>Data-parallel ranks.</summary>
    public int Ranks { get; }

    /// <summary>Bytes of the payload, padding included; a multiple of <see cref="Ranks"/>.</summary>
    public int Bytes { get; }

    /// <summary>Bytes of one rank's shard.</summary>
    public int ShardBytes => Bytes / Ranks;

    /// <summary>The part of a tensor that lies in bytes [<paramref name="first"/>, <paramref name="end"/>) of the payload; null: none.</summary>
    internal (int First, int Count)? Within(int tensor, int first, int end)
    {
        int from = Math.Max(first, Offsets[tensor]), to = Math.Min(end, Offsets[tensor] + Tensors[tensor].Elements);
        return from < to ? (from, to - from) : null;
    }

    private static long Align(long value, long alignment) => (value + alignment - 1) / alignment * alignment;
}
